"""How the tests are run against a mutant.

What is within a function, or in a table of the module, is put into the running process: a child
forked after pytest's collection gets the function's changed code, or the changed table wherever its
name was imported. It tries the tests that enter the function, or those of the file itself for a
table: first the tests that have noticed most, so that it mostly ends after some hundredths of a
second.

What that cannot show (classes, defaults, what is computed at import) needs the module anew: a child
forked before any of the service was imported collects and runs the tests with the changed module in
the place of the real one; first those of the file itself, then all.
"""

import ast
import functools
import gc
import importlib.abc
import importlib.util
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.mutants.children import Bounds, Broken, OutOfBounds, in_children
from tests.mutants.source import MODULE, Mutant, Source, compiled

EXAMPLES = 25  # of each property test
# What mutants do not meet: the whole grid (planes.py has a sample), the test of the tests, and the
# property test that makes its own rounds.
LEFT_OUT = (
    "tests/rules/test_grid.py",
    "tests/rules/test_breaches.py",
    "tests/rules/test_law.py::test_the_law",
)
SLOWEST = 30.0  # s of CPU while it is watched; a test that takes longer is left out
MEASURING = ("costs_more",)  # tests that measure time fail while another process is watched
LONGEST = 300.0  # s by the clock, however busy the machine is


class FailsWithout(Exception):
    """Tests fail on the code as it is: there is nothing to be learnt from mutants."""


@dataclass(frozen=True)
class Timed:
    """A test as it ran on the code as it is: its seconds, and the functions that it entered."""

    seconds: float
    entered: frozenset[str]


@dataclass
class Knowledge:
    """What is known of a file's tests: what each enters, and how many mutants it has killed.

    `own` is in the names of those that are of the file itself.
    """

    own: str
    tests: Mapping[str, Timed]
    at_import: frozenset[str]
    kills: dict[str, int] = field(default_factory=dict)

    def order(self, mutant: Mutant) -> list[str]:
        """Return the tests to try: first those that killed most, then those of the file itself."""
        everywhere = not mutant.swappable or mutant.function in self.at_import
        tests = [
            name
            for name, each in self.tests.items()
            if everywhere or mutant.function in each.entered
        ]
        return sorted(tests, key=self._turn)

    def first(self, mutant: Mutant) -> list[str]:
        """Return those of them that are of the file itself, or have killed before."""
        return [name for name in self.order(mutant) if self.own in name or name in self.kills]

    def _turn(self, name: str) -> tuple[int, bool, float]:
        return -self.kills.get(name, 0), self.own not in name, self.tests[name].seconds

    def bounds(self, mutant: Mutant) -> Bounds:
        """Return what a trial may take: several times what the tests take on the code as it is."""
        usual = sum(self.tests[name].seconds for name in self.order(mutant))
        return Bounds(int(10 + 4 * usual), LONGEST)


Result = str | None  # the test that noticed, or what did instead of a test
NOT_IMPORTED = "the module could not be imported"
NOT_INSIDE = "a function that cannot be changed while it is there"


def try_all(
    source: Source, mutants: Sequence[Mutant], paths: Sequence[str]
) -> Iterator[tuple[Mutant, Result]]:
    """Yield each mutant with the test that noticed it, None where none did.

    Raises:
        FailsWithout: tests fail without any mutant.
    """
    knowledge = _learn(source, paths)
    inside, anew = [], []
    for each in mutants:
        (inside if each.swappable or each.function == MODULE else anew).append(each)
    for mutant, result in _tried_inside(source, inside, paths, knowledge):
        if result == NOT_INSIDE or (result is None and mutant.function in knowledge.at_import):
            anew.append(mutant)
        else:
            yield mutant, result
    for tests_of in (knowledge.first, knowledge.order):
        work = functools.partial(_try_anew, source, paths, tests_of)
        trials, anew = in_children(anew, work, knowledge.bounds), []
        for mutant, result in trials:
            killer = _killer(result, knowledge)
            if killer is None and tests_of == knowledge.first:
                anew.append(mutant)
            else:
                yield mutant, killer


def _killer(result: Any, knowledge: Knowledge) -> Result:
    if isinstance(result, OutOfBounds):
        return "its time or memory ran out"
    if result in knowledge.tests:
        knowledge.kills[result] = knowledge.kills.get(result, 0) + 1
    return None if result is None else str(result)


# --- Running pytest -----------------------------------------------------------------------------


def _pytest(paths: Sequence[str], folder: str, plugin: object) -> int:
    """Run pytest without the fixtures of the whole service: a folder's own are enough."""
    conftest = "--noconftest" if folder.endswith(".py") else f"--confcutdir={folder}"
    quiet = ["-q", "-s", "--tb=no", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    options = [
        *quiet,
        "-k",
        f"not ({' or '.join(MEASURING)})",
        "-p",
        "no:cacheprovider",
        "-p",
        "anyio",
        *(f"--deselect={each}" for each in LEFT_OUT),
        conftest,
    ]
    return pytest.main([*options, *paths], plugins=[plugin])


class _Plugin:
    """Gives pytest's tests to `run`, the property tests being short and always the same."""

    def __init__(self, run: Any) -> None:
        self.run = run

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise pytest.UsageError("tests could not be collected")
        items = {each.nodeid: each for each in session.items}
        for each in items.values():
            _shorten(each)
        self.run(items)
        return True


def _shorten(item: Any) -> None:
    """Give a property test few examples, drawn the same way each time.

    By hypothesis's own mark on the test: its public decorator refuses a test that has settings.
    """
    test = getattr(item, "obj", None)
    if not hasattr(test, "hypothesis"):
        return
    own = test._hypothesis_internal_use_settings
    test._hypothesis_internal_use_settings = settings(
        own,
        max_examples=min(own.max_examples, EXAMPLES),
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )


class _FirstFailure:
    """Notes the first test that fails."""

    def __init__(self) -> None:
        self.name: str | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self.name is None:
            self.name = report.nodeid


def _first_failure(items: Iterable[pytest.Item]) -> str | None:
    """Run tests until one fails; return its name."""
    chosen, noted = list(items), _FirstFailure()
    if not chosen:
        return None
    plugins = chosen[0].config.pluginmanager
    plugins.register(noted)
    for item, following in zip(chosen, [*chosen[1:], None], strict=True):
        _forget_cached()
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if noted.name is not None:
            break
    plugins.unregister(noted)
    return noted.name


def _forget_cached() -> None:
    """Empty the caches of functions, so that each test enters all that it needs."""
    for each in _caches():
        each.cache_clear()


@functools.cache
def _caches() -> list[Any]:
    kind = type(_caches)
    found = [each for each in gc.get_objects() if isinstance(each, kind)]
    return [each for each in found if str(each.__wrapped__.__module__).startswith("app.")]


# --- The code as it is --------------------------------------------------------------------------


def _learn(source: Source, paths: Sequence[str]) -> Knowledge:
    told = _watched(tuple(paths))
    file = str(source.path)
    tests = {
        name: Timed(seconds, frozenset(entered.get(file, ())))
        for name, (seconds, entered) in told["tests"].items()
        if seconds <= SLOWEST
    }
    own = f"test_{source.path.stem}.py"
    return Knowledge(own, tests, frozenset(told["at_import"].get(file, ())))


@functools.cache
def _watched(paths: tuple[str, ...]) -> dict[str, Any]:
    """Return what `_watch` tells; several files share their tests."""
    bounds = Bounds(600, 600)
    for _, told in in_children([paths], _watch, lambda _: bounds):
        if isinstance(told, OutOfBounds):
            raise FailsWithout("the tests take more than ten minutes")
        if told["failed"]:
            raise FailsWithout(f"fails without any mutant: {told['failed']}")
        return dict(told)
    raise FailsWithout("no tests were run")


def _watch(paths: Sequence[str]) -> dict[str, Any]:
    """Run all tests once; tell what each took, and which functions of which file it entered."""
    service = str(Path("app").resolve())
    entered: dict[str, set[str]] = {}

    def trace(frame: Any, event: str, argument: Any) -> None:
        code = frame.f_code
        if code.co_filename.startswith(service):
            names = entered.setdefault(code.co_filename, set())
            names.add(code.co_qualname.partition(".<locals>")[0])

    def so_far() -> dict[str, list[str]]:
        return {file: sorted(names) for file, names in entered.items()}

    told: dict[str, Any] = {"tests": {}, "failed": "nothing was collected"}

    def run(items: Mapping[str, pytest.Item]) -> None:
        told["at_import"], told["failed"] = so_far(), None
        for name, item in items.items():
            entered.clear()
            started = time.process_time()
            told["failed"] = told["failed"] or _first_failure([item])
            told["tests"][name] = time.process_time() - started, so_far()

    sys.settrace(trace)
    _pytest(paths, paths[0], _Plugin(run))
    sys.settrace(None)
    return told


# --- A mutant within a function -----------------------------------------------------------------


def _tried_inside(
    source: Source, mutants: Sequence[Mutant], paths: Sequence[str], knowledge: Knowledge
) -> Iterator[tuple[Mutant, Result]]:
    """Try the mutants in children of one process that has collected the tests."""
    numbered = dict(enumerate(mutants))
    work = functools.partial(_collect_and_try, source, paths, knowledge)
    bounds = Bounds(7200, 7200.0)
    for _, told in in_children([numbered], work, lambda _: bounds) if mutants else ():
        if isinstance(told, OutOfBounds):
            raise Broken("the process that had collected the tests was ended")
        for name in filter(None, told.values()):
            knowledge.kills[name] = knowledge.kills.get(name, 0) + 1
        for number, mutant in numbered.items():
            yield mutant, told[str(number)]


def _collect_and_try(
    source: Source, paths: Sequence[str], knowledge: Knowledge, mutants: Mapping[int, Mutant]
) -> dict[int, Result]:
    told: dict[int, Result] = {}

    def run(items: Mapping[str, pytest.Item]) -> None:
        def work(number: int) -> Result:
            mutant = mutants[number]
            mutant.apply()
            if mutant.function == MODULE:
                try:
                    _swap_tables(source)
                except Exception:  # whatever a changed line may raise
                    return NOT_IMPORTED
                tests = knowledge.first(mutant)
            elif _swap_in(functions, compiled(source), mutant.function):
                tests = knowledge.order(mutant)
            else:
                return NOT_INSIDE
            return _first_failure(items[name] for name in tests)

        def bounds(number: int) -> Bounds:
            return knowledge.bounds(mutants[number])

        _caches()
        functions = _functions_of(source)
        gc.freeze()  # so that no child copies what it only looks at
        for number, result in in_children(mutants, work, bounds):
            told[number] = _killer(result, knowledge)

    if _pytest(paths, paths[0], _Plugin(run)) not in (0, 5) or len(told) != len(mutants):
        raise Broken("pytest ended early")
    return told


def _functions_of(source: Source) -> list[FunctionType]:
    """Return the functions of a file, wherever they are held."""
    functions = [each for each in gc.get_objects() if isinstance(each, FunctionType)]
    return [each for each in functions if each.__code__.co_filename == str(source.path)]


def _swap_in(functions: Iterable[FunctionType], changed: CodeType, name: str) -> bool:
    """Give a function its changed code; say whether that could be done."""
    code = {each.co_firstlineno: each for each in _codes(changed) if each.co_qualname == name}
    swapped = False
    for each in functions:
        old = each.__code__
        if old.co_qualname == name:
            new = code[old.co_firstlineno]
            if len(new.co_freevars) != len(old.co_freevars):
                return False
            each.__code__ = new
            swapped = True
    return swapped


def _swap_tables(source: Source) -> None:
    """Compute the tables of a module again, and put them wherever their names were imported."""
    assigned = [each for each in source.tree.body if isinstance(each, ast.Assign | ast.AnnAssign)]
    tree = ast.fix_missing_locations(ast.Module(list(assigned), []))
    known = vars(sys.modules[source.module])
    computed = dict(known)
    exec(compile(tree, str(source.path), "exec", dont_inherit=True), computed)
    changed = {name for name in known if computed[name] is not known[name]}
    tables = {name: known[name] for name in changed if not callable(known[name])}
    for name, module in list(sys.modules.items()):
        if name.startswith(("app.", "tests.")):
            for table, value in tables.items():
                if vars(module).get(table) is value:
                    setattr(module, table, computed[table])


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _codes(each)


# --- A mutant of the whole module ---------------------------------------------------------------


class _InItsPlace(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports one module from code given here."""

    def __init__(self, module: str, code: CodeType) -> None:
        self.module, self.code = module, code

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> Any:
        if fullname != self.module:
            return None
        spec = importlib.util.spec_from_loader(fullname, self, origin=self.code.co_filename)
        if spec is not None:
            spec.has_location = True
        return spec

    def get_code(self, fullname: str) -> CodeType:
        return self.code

    def get_source(self, fullname: str) -> str | None:
        return None


def _try_anew(
    source: Source, paths: Sequence[str], tests_of: Callable[[Mutant], list[str]], mutant: Mutant
) -> Result:
    if not (tests := tests_of(mutant)):
        return None
    mutant.apply()
    if source.module in sys.modules:
        raise Broken(f"{source.module} was imported before its mutants")
    sys.meta_path.insert(0, _InItsPlace(source.module, compiled(source)))
    told: list[Result] = [NOT_IMPORTED]

    def run(items: Mapping[str, pytest.Item]) -> None:
        gone = [name for name in tests if name not in items]
        told[0] = gone[0] if gone else _first_failure(items[name] for name in tests)

    files = list(dict.fromkeys(name.partition("::")[0] for name in tests))
    _pytest(files, paths[0], _Plugin(run))
    return told[0]
