"""Change the code in small ways and count which changes no test notices: `make mutants`.

Every mutant of these files is killed by a test, or is listed in equivalents.toml with the reason
why nobody could tell it from the code as it is.
"""

import argparse
import os
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from tests.mutants.source import Mutant, Source
from tests.mutants.trial import FailsWithout, try_all

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("equivalents.toml")

# What is mutated, and the tests that are to notice: folders, or single files that need no fixture
# of their folder.
SUBJECTS = {
    "app/rules/*.py": ("tests/rules", "tests/jebbit", "tests/mutants/planes.py"),
    "app/jebbit/*.py": ("tests/rules", "tests/jebbit", "tests/mutants/planes.py"),
    "app/delivery/gate.py": ("tests/delivery/test_gate.py",),
    "app/delivery/schedule.py": ("tests/delivery/test_schedule.py",),
    "app/cordial/errors.py": ("tests/cordial/test_errors.py",),
    "app/ledger/vault.py": ("tests/ledger/test_vault.py",),
}

# Tried only if they are named: nothing is sent or subscribed by them.
DECIDE_NOTHING = {
    "app/jebbit/samples.py",  # data
    "app/rules/sheet.py",  # a person sees each row of it before it is saved
    "app/rules/suggestion.py",  # and each that is suggested
}

Key = tuple[str, str, str, str]


@dataclass
class Tally:
    """What came of one file's mutants."""

    file: str
    killed: int = 0
    equivalent: int = 0
    surviving: list[Mutant] = field(default_factory=list)
    untrue: list[str] = field(default_factory=list)  # what the list says and is not so
    seconds: float = 0.0


def main() -> int:
    """Return 0 if every mutant is killed or listed, and every listed one survives."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("files", nargs="*", help="app/rules/policy.py, app/jebbit/ ...; else all")
    parser.add_argument("--only", default="", help="mutants of functions whose name holds this")
    chosen = parser.parse_args()
    os.chdir(ROOT)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # plugins of what is not tested here
    _import_what_all_need()
    tallies = []
    for file, tests in _subjects(chosen.files):
        tallies.append(_tally(file, tests, chosen.only))
        _print_what_is_wrong(tallies[-1])
    Console(width=200).print(_table(tallies))
    return 1 if not tallies or any(each.surviving or each.untrue for each in tallies) else 0


def _import_what_all_need() -> None:
    """Import other people's packages once, before the children are forked."""
    import anyio.pytest_plugin
    import cryptography.fernet
    import email_validator
    import hypothesis.strategies
    import phonenumbers
    import pydantic
    import sqlalchemy.ext.asyncio

    del anyio, cryptography, email_validator, hypothesis, phonenumbers, pydantic, sqlalchemy


def _subjects(files: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for pattern, tests in SUBJECTS.items():
        for path in sorted(ROOT.glob(pattern)):
            file = path.relative_to(ROOT).as_posix()
            named = any(file == each or file.startswith(f"{each.rstrip('/')}/") for each in files)
            if named or (not files and file not in DECIDE_NOTHING):
                yield file, tests


def _tally(file: str, tests: tuple[str, ...], only: str) -> Tally:
    started = time.monotonic()
    source = Source(ROOT / file, file)
    mutants = [each for each in source.mutants if only in each.function]
    listed = {key: reason for key, reason in _listed() if key[0] == file}
    tally = Tally(file)
    existing = {each.key for each in source.mutants}
    tally.untrue = [f"exists no more: {_named(key)}" for key in listed if key not in existing]
    try:
        for number, (mutant, killer) in enumerate(try_all(source, mutants, tests), 1):
            _count(tally, mutant, killer, mutant.key in listed)
            _show_progress(f"{file}: {number} of {len(mutants)}")
    except FailsWithout as error:
        tally.untrue.append(str(error))
    _show_progress("")
    tally.seconds = time.monotonic() - started
    return tally


def _show_progress(text: str) -> None:
    """Write over the line before, where a person looks on."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _count(tally: Tally, mutant: Mutant, killer: str | None, listed: bool) -> None:
    if killer is None and listed:
        tally.equivalent += 1
    elif killer is None:
        tally.surviving.append(mutant)
    else:
        tally.killed += 1
        if listed:
            tally.untrue.append(f"is killed, by {killer}: {_named(mutant.key)}")


def _listed() -> Iterator[tuple[Key, str]]:
    """Yield what equivalents.toml lists: the key of a mutant and the reason."""
    for entry in tomllib.loads(LIST.read_text()).get("equivalent", []):
        for change in entry["changes"]:
            yield (entry["file"], entry["function"], entry["line"], change), entry["reason"]


def _named(key: Key) -> str:
    return " | ".join(key)


def _print_what_is_wrong(tally: Tally) -> None:
    """Print the surviving mutants in the form of the list, and what the list says wrongly."""
    for each in sorted(tally.surviving, key=lambda each: each.number):
        print(
            f"# {each.file}:{each.number}\n[[equivalent]]\n"
            f"file = {each.file!r}\nfunction = {each.function!r}\nline = '''{each.line}'''\n"
            f"changes = ['''{each.change}''']\nreason = \"\"\n"
        )
    for wrong in tally.untrue:
        print(f"{tally.file}: {wrong}")


def _table(tallies: Sequence[Tally]) -> Table:
    columns = ("file", "mutants", "killed", "equivalent", "surviving", "s")
    table = Table(*columns, box=MARKDOWN)
    rows = [
        (each.file, each.killed, each.equivalent, len(each.surviving), each.seconds)
        for each in tallies
    ]
    whole = ("all", *(sum(column) for column in zip(*(row[1:] for row in rows), strict=True)))
    for file, killed, equivalent, surviving, seconds in (*rows, whole):
        counts = (killed + equivalent + surviving, killed, equivalent, surviving, round(seconds))
        table.add_row(str(file), *map(str, counts))
    return table


if __name__ == "__main__":
    sys.exit(main())
