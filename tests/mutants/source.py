"""The mutants of one source file: each is one small change that some test should notice.

Docstrings, annotations, the texts of the API's description and the arguments of decorators are left
alone: they decide nothing.
"""

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutants.operators import (
    SAYS_NOTHING,
    Variant,
    expression_variants,
    name_of,
    statement_variants,
    text_of,
)

_KEPT_DECORATORS = {
    "abstractmethod", "asynccontextmanager", "cache", "cached_property", "classmethod",
    "contextmanager", "dataclass", "lru_cache", "overload", "override", "property", "staticmethod",
}  # fmt: skip


MODULE = "<module>"


@dataclass(frozen=True)
class Mutant:
    """One change: where it is, in words that outlive a shift of lines, and how it is made.

    `function` is the qualified name of the function that holds it, or `<module>`. `swappable` is
    False where the line runs at import: then the module must be imported anew to see it.
    """

    file: str
    function: str
    line: str
    change: str
    number: int
    swappable: bool
    apply: Callable[[], None]

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What names it in the list of equivalent mutants."""
        return self.file, self.function, self.line, self.change


class Source:
    """A source file as a tree, and its mutants; applying one changes the tree for good."""

    def __init__(self, path: Path, file: str) -> None:
        self.path, self.file = path, file
        self.module = file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        self.tree = ast.parse(path.read_text())
        self.lines = path.read_text().splitlines()
        self.mutants = list(self._named_apart(_Walk(self).run()))

    def _named_apart(self, mutants: Iterator[Mutant]) -> Iterator[Mutant]:
        """Number the mutants that would else have one key: the same change twice in a line."""
        seen: dict[tuple[str, ...], int] = {}
        for each in mutants:
            times = seen[each.key] = seen.get(each.key, 0) + 1
            change = each.change if times == 1 else f"{each.change} ({times})"
            yield Mutant(**{**vars(each), "change": change})


class _Walk:
    """Goes through a tree and makes the mutants of each node."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.names: list[str] = []  # of the classes and functions around
        self.function: str | None = None  # the outermost one, if any

    def run(self) -> Iterator[Mutant]:
        yield from self.body(self.source.tree, "body")

    def mutant(self, node: ast.AST, change: str, apply: Callable[[], None]) -> Mutant:
        number = getattr(node, "lineno", 1)
        return Mutant(
            self.source.file,
            self.function or ".".join(self.names) or MODULE,
            self.source.lines[number - 1].strip(),
            change,
            number,
            self.function is not None,
            apply,
        )

    def replaced(self, parent: ast.AST, name: str, at: int | None, new: Any) -> Mutant:
        """Return the mutant that has `new` in the place of one child of a node."""
        old = _child(parent, name, at)
        change = f"{text_of(old)} → {text_of(new)}"
        return self.mutant(old, change, lambda: _put(parent, name, at, new))

    def varied(self, parent: ast.AST, name: str, at: int | None, new: Variant) -> Mutant:
        """Return the mutant of an expression, named by the part that it lacks, if any."""
        if new.left_out is None:
            return self.replaced(parent, name, at, new.node)
        old = _child(parent, name, at)
        place = new.left_out if isinstance(new.left_out, ast.AST) else old
        change = (
            f"without {new.left_out if isinstance(new.left_out, str) else text_of(new.left_out)}"
        )
        return self.mutant(place, change, lambda: _put(parent, name, at, new.node))

    # --- statements

    def body(self, parent: ast.AST, name: str) -> Iterator[Mutant]:
        for at, statement in enumerate(getattr(parent, name)):
            yield from self.statement(parent, name, at, statement)

    def statement(self, parent: ast.AST, name: str, at: int, node: ast.stmt) -> Iterator[Mutant]:
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Global() | ast.Nonlocal():
                return
            case ast.Expr(value=ast.Constant()):  # a docstring
                return
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from self.a_function(node)
                return
            case ast.ClassDef():
                self.names.append(node.name)
                yield from self.body(node, "body")
                self.names.pop()
                return
            case ast.AnnAssign():
                if self.names and self.function is None:  # `Annotated[..., Field(...)]` decides
                    yield from self.calls_in(node, "annotation", node.annotation)
                if node.value is not None:
                    yield from self.expression(node, "value", None)
                return
            case ast.Match():
                yield from self.a_match(node)
                return
        for new in statement_variants(node):
            yield self.replaced(parent, name, at, new)
        for field, value in ast.iter_fields(node):
            if field in ("body", "orelse", "finalbody"):
                yield from self.body(node, field)
            elif field == "handlers":
                yield from self.handlers(value)
            elif field == "items":
                for item in value:
                    yield from self.expression(item, "context_expr", None)
            else:
                yield from self.expressions(node, field, value)

    def a_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Mutant]:
        for at, decorator in enumerate(node.decorator_list):
            if name_of(decorator) not in _KEPT_DECORATORS:
                change = f"@{text_of(decorator)} → none"
                yield self.mutant(decorator, change, lambda at=at: node.decorator_list.pop(at))
        for name in ("defaults", "kw_defaults"):
            yield from self.expressions(node.args, name, getattr(node.args, name))
        self.names.append(node.name)
        outermost, self.function = self.function, self.function or ".".join(self.names)
        yield from self.body(node, "body")
        self.function = outermost
        self.names.pop()

    def handlers(self, handlers: Sequence[ast.ExceptHandler]) -> Iterator[Mutant]:
        for each in handlers:
            if each.type is not None:
                yield from self.expression(each, "type", None)
            if not isinstance(each.body[0], ast.Raise):
                change = f"except {text_of(each.type) if each.type else ''}: ... → raise"
                yield self.mutant(each, change, lambda each=each: _put(each, "body", None, _RAISE))
            yield from self.body(each, "body")

    def a_match(self, node: ast.Match) -> Iterator[Mutant]:
        yield from self.expression(node, "subject", None)
        for at, case in enumerate(node.cases):
            if len(node.cases) > 1:
                change = f"case {text_of(case.pattern)} → none"
                yield self.mutant(case.pattern, change, lambda at=at: node.cases.pop(at))
            if case.guard is not None:
                for value in (True, False):
                    yield self.replaced(case, "guard", None, ast.Constant(value))
                yield from self.expression(case, "guard", None)
            yield from self.body(case, "body")

    # --- expressions

    def expressions(self, parent: ast.AST, name: str, value: Any) -> Iterator[Mutant]:
        if isinstance(value, ast.expr):
            yield from self.expression(parent, name, None)
        elif isinstance(value, list):
            for at, each in enumerate(value):
                if isinstance(each, ast.expr):
                    yield from self.expression(parent, name, at)
                elif isinstance(each, ast.comprehension):
                    yield from self.a_comprehension(each)
                elif isinstance(each, ast.keyword) and each.arg not in SAYS_NOTHING:
                    yield from self.expression(each, "value", None)

    def a_comprehension(self, node: ast.comprehension) -> Iterator[Mutant]:
        yield from self.expression(node, "iter", None)
        for at in range(len(node.ifs)):
            yield self.replaced(node, "ifs", at, ast.Constant(True))
            yield self.replaced(node, "ifs", at, ast.Constant(False))
            yield from self.expression(node, "ifs", at)

    def calls_in(self, parent: ast.AST, name: str, node: ast.expr) -> Iterator[Mutant]:
        """Make the mutants of the calls within an annotation."""
        for holder in ast.walk(node):
            for field, value in ast.iter_fields(holder):
                for at, each in enumerate(value) if isinstance(value, list) else [(None, value)]:
                    if isinstance(each, ast.Call):
                        yield from self.expression(holder, field, at)
        if isinstance(node, ast.Call):
            yield from self.expression(parent, name, None)

    def expression(self, parent: ast.AST, name: str, at: int | None) -> Iterator[Mutant]:
        node = _child(parent, name, at)
        if isinstance(getattr(node, "ctx", None), ast.Store | ast.Del):
            return
        for new in expression_variants(node, parent, name):
            yield self.varied(parent, name, at, new)
        if isinstance(node, ast.JoinedStr):  # its literal texts are changed as one
            for each in node.values:
                if isinstance(each, ast.FormattedValue):
                    yield from self.expression(each, "value", None)
            return
        if isinstance(node, ast.Call) and name_of(node) in ("cast", "TypeVar", "lru_cache"):
            return
        if isinstance(node, ast.Subscript) and name_of(node.value) == "Callable":  # a type
            return
        for field, value in ast.iter_fields(node):
            yield from self.expressions(node, field, value)


_RAISE: list[ast.stmt] = [ast.Raise()]


def _child(parent: ast.AST, name: str, at: int | None) -> Any:
    return getattr(parent, name) if at is None else getattr(parent, name)[at]


def _put(parent: ast.AST, name: str, at: int | None, new: Any) -> None:
    if at is None:
        setattr(parent, name, new)
    else:
        getattr(parent, name)[at] = new


def compiled(source: Source) -> Any:
    """Return the code of the tree as it stands."""
    tree = ast.fix_missing_locations(source.tree)
    return compile(tree, str(source.path), "exec", dont_inherit=True)
