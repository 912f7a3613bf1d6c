"""What may stand in the place of a statement or an expression: the small changes."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from tests.mutants.patterns import pattern_variants

_COMPARISONS: Mapping[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: Mapping[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_OTHER_CALLS = {
    one: other
    for pair in (
        "min max",
        "any all",
        "startswith endswith",
        "partition rpartition",
        "split rsplit",
        "ljust rjust",
        "lstrip rstrip",
        "removeprefix removesuffix",
        "union intersection",
    )
    for one, other in (pair.split(), reversed(pair.split()))
}
_CLEANING = (
    "strip lstrip rstrip lower upper casefold title replace removeprefix removesuffix".split()
)
SAYS_NOTHING = {"description", "title", "examples", "json_schema_extra", "maxsize", "cache_strings"}

_FEW_WORDS = 2  # a text of more is for people: what it says is not changed
_LONGEST = 70  # characters of a change's two sides


def statement_variants(node: ast.stmt) -> Iterator[ast.stmt]:
    match node:
        case ast.If():
            yield _with(node, test=ast.Constant(True))
            yield _with(node, test=ast.Constant(False))
        case ast.While():
            yield _with(node, test=ast.Constant(False))
        case ast.Return(value=ast.expr() as value) if not _is_none(value):
            yield ast.Return(ast.Constant(None))
        case ast.Expr() | ast.AugAssign() | ast.Raise() | ast.Delete() | ast.Assert():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript(), *_]):
            yield ast.Pass()
        case ast.Continue():
            yield ast.Break()
        case ast.Break():
            yield ast.Pass()


def _with(node: Any, **fields: Any) -> Any:
    """Return a copy of a node that has other children in some places, the rest being shared."""
    new = type(node)(**{**dict(ast.iter_fields(node)), **fields})
    return ast.copy_location(new, node)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


@dataclass(frozen=True)
class Variant:
    """What an expression is replaced by; `left_out` is the part it then lacks, to name it by."""

    node: ast.expr
    left_out: ast.AST | str | None = None


def expression_variants(node: ast.expr, parent: ast.AST, name: str) -> Iterator[Variant]:
    match node:
        case ast.Compare():
            for at, op in enumerate(node.ops):
                for other in _COMPARISONS[type(op)]:
                    yield Variant(_with(node, ops=_changed(node.ops, at, other())))
        case ast.BoolOp():
            yield Variant(_with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And()))
            for at, value in enumerate(node.values):
                left = _without(node.values, at)
                yield Variant(left[0] if len(left) == 1 else _with(node, values=left), value)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield Variant(node.operand)
        case ast.BinOp():
            yield Variant(_with(node, op=_ARITHMETIC[type(node.op)]()))
        case ast.IfExp():
            yield Variant(node.body)
            yield Variant(node.orelse)
        case ast.Constant():
            yield from _other_constants(node.value, parent, name)
        case ast.JoinedStr():
            yield from _other_f_strings(node)
        case ast.Call():
            yield from _other_calls(node)
        case ast.Slice():
            if node.lower is not None:
                yield Variant(_with(node, lower=None))
            if node.upper is not None:
                yield Variant(_with(node, upper=None))
        case ast.Dict():
            for at, key in enumerate(node.keys):
                keys, values = _without(node.keys, at), _without(node.values, at)
                yield Variant(_with(node, keys=keys, values=values), key or node.values[at])
        case ast.Set() | ast.List():
            for at, each in enumerate(node.elts):
                left = _without(node.elts, at)
                empty = isinstance(node, ast.Set) and not left  # `{}` would be a dict
                yield Variant(_call("set") if empty else _with(node, elts=left), each)
        case ast.Tuple() if not isinstance(parent, ast.Return | ast.Assign | ast.Subscript):
            for at, each in enumerate(node.elts):
                yield Variant(_with(node, elts=_without(node.elts, at)), each)


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def _changed(items: Sequence[Any], at: int, new: Any) -> list[Any]:
    return [*items[:at], new, *items[at + 1 :]]


def _without(items: Sequence[Any], at: int) -> list[Any]:
    return [*items[:at], *items[at + 1 :]]


def _other_constants(value: Any, parent: ast.AST, name: str) -> Iterator[Variant]:
    if isinstance(value, str) and isinstance(parent, ast.Attribute) and parent.attr == "split":
        words = value.split()  # a table of words
        for at, word in enumerate(words):
            yield Variant(ast.Constant(" ".join(_without(words, at))), repr(word))
        return
    for other in _other_values(value, parent, name):
        yield Variant(ast.Constant(other))


def _other_values(value: Any, parent: ast.AST, name: str) -> Iterator[Any]:
    match value:
        case bool():
            yield not value
        case int() | float():
            yield value + 1
            yield value - 1
        case bytes():
            yield value + b"XX"
        case str() if _is_element(parent, name):
            return  # another mutant leaves it out
        case str() if isinstance(parent, ast.Call) and _is_pattern(parent):
            yield from pattern_variants(value)
        case "":
            yield "XX"
        case str() if len(value.split()) > _FEW_WORDS:
            return  # a sentence for people
        case str():
            yield f"XX{value}XX"


def _is_element(parent: ast.AST, name: str) -> bool:
    return isinstance(parent, ast.Set | ast.List | ast.Tuple) or (
        isinstance(parent, ast.Dict) and name == "keys"
    )


def _is_pattern(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and ast.unparse(call.func) == "re.compile"


def _other_f_strings(node: ast.JoinedStr) -> Iterator[Variant]:
    """Yield an f-string without one of its values, then without texts that are no sentence."""
    for at, value in enumerate(node.values):
        if isinstance(value, ast.FormattedValue):
            yield Variant(_with(node, values=_without(node.values, at)), value.value)
    values = [each for each in node.values if isinstance(each, ast.FormattedValue)]
    texts = [each.value for each in node.values if isinstance(each, ast.Constant)]
    if 0 < len(" ".join(texts).split()) <= _FEW_WORDS:
        yield Variant(_with(node, values=values))


def _other_calls(node: ast.Call) -> Iterator[Variant]:
    for at, keyword in enumerate(node.keywords):
        if keyword.arg not in (*SAYS_NOTHING, None):
            left_out = f"{keyword.arg}={text_of(keyword.value)}"
            yield Variant(_with(node, keywords=_without(node.keywords, at)), left_out)
    called = name_of(node)
    if called in _OTHER_CALLS and not (called == "split" and _splits_everywhere(node)):
        func = deepcopy(node.func)
        match func:
            case ast.Attribute():
                func.attr = _OTHER_CALLS[called]
            case ast.Name():
                func.id = _OTHER_CALLS[called]
        yield Variant(_with(node, func=func))
    if isinstance(node.func, ast.Attribute) and called in _CLEANING:
        yield Variant(node.func.value)
    if called == "sorted" and node.args:
        yield Variant(_call("list", node.args[0]))
    if called in ("get", "compile") and len(node.args) == 2:  # its default, its flags
        yield Variant(_with(node, args=node.args[:1]), node.args[1])


def _splits_everywhere(node: ast.Call) -> bool:
    """Whether a call of `split` says no number, so that it does not matter where it starts."""
    return len(node.args) < 2 and not node.keywords


def text_of(node: Any) -> str:
    """Return a node as source, in one line; of a block its head."""
    text = ast.unparse(ast.fix_missing_locations(deepcopy(node)))
    line = " ".join(text.split("\n")[0].split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def name_of(node: ast.AST) -> str | None:
    """Return the last name of what is called or used as a decorator."""
    match node:
        case ast.Call():
            return name_of(node.func)
        case ast.Attribute():
            return node.attr
        case ast.Name():
            return node.id
    return None
