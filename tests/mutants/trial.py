"""How the tests are run against a mutant.

What is within a function is put into the running process: a child forked after pytest's collection
gets the function's changed code, and tries the tests that enter that function. What runs at import
(tables, patterns, defaults) needs the module anew: a child forked before any of the service was
imported collects and runs the tests with the changed module in the place of the real one. So is a
mutant that survived in the first way, which says nothing of what is kept from the import on.
"""

import functools
import gc
import importlib.abc
import importlib.util
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.mutants.children import Bounds, Broken, OutOfBounds, in_children
from tests.mutants.source import Mutant, Source, compiled

EXAMPLES = 25  # of each property test
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
    """What is known of a file's tests: what each enters, and how many mutants it has killed."""

    tests: Mapping[str, Timed]
    at_import: frozenset[str]
    kills: dict[str, int] = field(default_factory=dict)

    def order(self, mutant: Mutant) -> list[str]:
        """Return the tests to try: those that have killed before, then the fastest first."""
        everywhere = not mutant.swappable or mutant.function in self.at_import
        tests = [
            name
            for name, each in self.tests.items()
            if everywhere or mutant.function in each.entered
        ]
        return sorted(tests, key=lambda name: (-self.kills.get(name, 0), self.tests[name].seconds))

    def bounds(self, mutant: Mutant) -> Bounds:
        """Return what a trial may take: several times what the tests take on the code as it is."""
        usual = sum(self.tests[name].seconds for name in self.order(mutant))
        return Bounds(int(10 + 4 * usual), LONGEST)


Result = str | None  # the test that noticed, or what did instead of a test


def try_all(
    source: Source, mutants: Sequence[Mutant], paths: Sequence[str]
) -> Iterator[tuple[Mutant, Result]]:
    """Yield each mutant with the test that noticed it, None where none did.

    Raises:
        FailsWithout: tests fail without any mutant.
    """
    knowledge = _learn(source, paths)
    inside = [each for each in mutants if each.swappable]
    anew = [each for each in mutants if not each.swappable]
    for mutant, result in _tried_inside(source, inside, paths, knowledge):
        if result is None:
            anew.append(mutant)
        else:
            yield mutant, result
    work = functools.partial(_try_anew, source, paths, knowledge)
    for mutant, result in in_children(anew, work, knowledge.bounds):
        killer = _killer(result, knowledge)
        yield mutant, killer


def _killer(result: Any, knowledge: Knowledge) -> Result:
    if isinstance(result, OutOfBounds):
        return "its time or memory ran out"
    if result in knowledge.tests:
        knowledge.kills[result] = knowledge.kills.get(result, 0) + 1
    return None if result is None else str(result)


# --- Running pytest -----------------------------------------------------------------------------


def _pytest(paths: Sequence[str], plugin: object) -> int:
    """Run pytest without the fixtures of the whole service: a folder's own are enough."""
    folder = not paths[0].endswith(".py")
    conftest = f"--confcutdir={paths[0]}" if folder else "--noconftest"
    quiet = ["-q", "-s", "--tb=no", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    options = [
        *quiet,
        "-k",
        f"not ({' or '.join(MEASURING)})",
        "-p",
        "no:cacheprovider",
        "-p",
        "anyio",
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
    if chosen:
        plugins = chosen[0].config.pluginmanager
        plugins.register(noted)
    for item, following in zip(chosen, [*chosen[1:], None], strict=True):
        _forget_cached()
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if noted.name is not None:
            break
    if chosen:
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
    return Knowledge(tests, frozenset(told["at_import"].get(file, ())))


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
    _pytest(paths, _Plugin(run))
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
            if not (tests := knowledge.order(mutant)):
                return None
            mutant.apply()
            if not _swap_in(source, compiled(source), mutant.function):
                return None  # to be tried anew
            return _first_failure(items[name] for name in tests)

        def bounds(number: int) -> Bounds:
            return knowledge.bounds(mutants[number])

        _caches()
        for number, result in in_children(mutants, work, bounds):
            told[number] = _killer(result, knowledge)

    if _pytest(paths, _Plugin(run)) not in (0, 5) or len(told) != len(mutants):
        raise Broken("pytest ended early")
    return told


def _swap_in(source: Source, changed: CodeType, name: str) -> bool:
    """Give a function its changed code, wherever it is held; say whether that could be done."""
    code = {each.co_firstlineno: each for each in _codes(changed) if each.co_qualname == name}
    swapped = False
    for each in gc.get_objects():
        if not isinstance(each, FunctionType) or each.__code__.co_filename != str(source.path):
            continue
        old = each.__code__
        if old.co_qualname == name:
            new = code[old.co_firstlineno]
            if len(new.co_freevars) != len(old.co_freevars):
                return False
            each.__code__ = new
            swapped = True
    return swapped


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


def _try_anew(source: Source, paths: Sequence[str], knowledge: Knowledge, mutant: Mutant) -> Result:
    tests = knowledge.order(mutant)
    if not tests:
        return None
    mutant.apply()
    module = source.file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    if module in sys.modules:
        raise Broken(f"{module} was imported before its mutants")
    sys.meta_path.insert(0, _InItsPlace(module, compiled(source)))
    told: list[Result] = ["a module could not be imported"]

    def run(items: Mapping[str, pytest.Item]) -> None:
        gone = [name for name in tests if name not in items]
        told[0] = gone[0] if gone else _first_failure(items[name] for name in tests)

    files = list(dict.fromkeys(name.partition("::")[0] for name in tests))
    where = files if paths[0].endswith(".py") else [paths[0], *files]
    _pytest(where if len(where) == 1 else paths, _Plugin(run))
    return told[0]
