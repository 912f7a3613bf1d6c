"""Play every scenario in its long form and print what came of it: `make faults`."""

import argparse
import secrets
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from tests.faults.scenarios import SCENARIOS, missing
from tests.faults.stage import Report
from tests.faults.theatre import Theatre
from tests.hostile.playing import ALL, ON_THE_LEDGER, Row, play
from tests.hostile.playing import table as hostile_table

_HOSTILE = "strangers"
_SECONDS = 5.0  # of each attack
_COLUMNS = (
    "scenario",
    "engine",
    "accepted",
    "delivered",
    "dead",
    "sent again",
    "lost",
    "out of order",
    "overlapping",
    "s",
    "notes",
)


def main() -> int:
    """Return 0 if all that must be zero is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--only", default="", help="part of a scenario's name")
    parser.add_argument("--scale", type=int, help="instead of each scenario's own")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    reports: list[Report] = []
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, Theatre(Path(folder)) as theatre:
        for name, (play, engines, long) in SCENARIOS.items():
            for engine in engines if chosen.only in name else ():
                started = time.monotonic()
                if lacking := missing(name):
                    report = Report(name, engine, chosen.seed)
                    report.notes.append(f"NOT PLAYED: {', '.join(lacking)} is not installed")
                    reports.append(report)
                    print(report, flush=True)
                    continue
                try:
                    report = theatre.play(name, play, engine, chosen.seed, chosen.scale or long)
                except Exception as error:  # the others are to be seen all the same
                    traceback.print_exc()
                    report = Report(name, engine, chosen.seed, failure=repr(error))
                report.seconds = time.monotonic() - started
                reports.append(report)
                print(report, flush=True)
        for engine, attacks in (("sqlite", ALL), ("postgresql", ON_THE_LEDGER)):
            if chosen.only in _HOSTILE:
                rows += _hostile(theatre, engine, attacks, chosen.seed, reports)
    Console(width=400).print(_table(reports))
    if rows:
        Console(width=400).print(hostile_table(rows))
    return 0 if all(each.sound for each in (*reports, *rows)) else 1


def _hostile(
    theatre: Theatre, engine: str, attacks: Sequence[str], seed: int, reports: list[Report]
) -> list[Row]:
    """Play what strangers do; what is lost meanwhile is reported as for the others."""
    rows: list[Row] = []
    started = time.monotonic()
    try:
        report = theatre.play(
            _HOSTILE, lambda stage, _: play(stage, attacks, _SECONDS, rows), engine, seed, 1
        )
    except Exception as error:
        traceback.print_exc()
        report = Report(_HOSTILE, engine, seed, failure=repr(error))
    report.seconds = time.monotonic() - started
    reports.append(report)
    print(report, flush=True)
    return rows


def _table(reports: list[Report]) -> Table:
    table = Table(*_COLUMNS, box=MARKDOWN)  # as docs/reliability.md shows it
    for each in reports:
        counts = (
            each.accepted,
            each.delivered,
            each.dead,
            each.again,
            each.lost,
            each.out_of_order,
            each.overlapping,
            round(each.seconds),
        )
        notes = [f"FAILED: {each.failure}"] * bool(each.failure) + each.notes
        table.add_row(each.scenario, each.engine, *map(str, counts), "; ".join(notes))
    return table


if __name__ == "__main__":
    sys.exit(main())
