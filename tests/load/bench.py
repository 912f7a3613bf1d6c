"""Measure how fast the service is, against baselines of the same run: `make bench`.

The service runs as its users start it (`python -m app serve`, settings from the environment), with
its log as JSON in a file. The load and Cordial are processes of their own.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.load.measuring import Bench, Finding, Options
from tests.load.rows import NEEDS, PURE, ROWS
from tests.load.service import databases, stub

_LONG = Options(rounds=3, seconds=5.0, sustained=60.0, backlog=20_000, pending=1_000_000)
_QUICK = Options(rounds=1, seconds=1.0, sustained=3.0, backlog=1_000, pending=10_000)
_BUSY = 0.9  # a client that works more than this share of the time measures itself


def main() -> int:
    """Measure, print a table, write the figures to a file; return 0."""
    chosen = _arguments()
    options = _options(chosen)
    findings: list[Finding] = []
    busiest = 0.0
    try:
        for bench, found in _measured(chosen, options):
            findings += found
            busiest = max(busiest, bench.busiest)
    finally:  # a row that fails does not take the others with it
        Console(width=None if sys.stdout.isatty() else 160).print(_table(findings))
        if busiest > _BUSY:
            print(f"The client was at work {busiest:.0%} of the time: it may have been measured.")
        _write(Path(chosen.out), options, findings, busiest)
    return 0


def _measured(
    chosen: argparse.Namespace, options: Options
) -> Iterator[tuple[Bench, list[Finding]]]:
    """Yield what each row finds on each engine, in ledgers that are gone afterwards."""
    folder = Path(chosen.folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for engine in chosen.engines:
        with (
            tempfile.TemporaryDirectory(prefix="bench-", dir=folder) as made,
            databases(engine, Path(made)) as database,
            stub(Path(made)) as cordial,
        ):
            bench = Bench(engine, options, Path(made), cordial, database)
            for row in _rows(chosen, engine):
                print(f"{engine}: row {row}", file=sys.stderr, flush=True)
                yield bench, ROWS[row](bench)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=_numbers, default=[*ROWS], help="1,3 or the like")
    parser.add_argument("--engines", type=_engines, default=["sqlite", "postgresql"])
    parser.add_argument("--quick", action="store_true", help="only to see that it works")
    for name, value in asdict(_LONG).items():
        parser.add_argument(f"--{name}", type=type(value), help=f"{value} unless given")
    parser.add_argument("--folder", default="data", help="where the ledgers are meanwhile")
    parser.add_argument("--out", default="bench.json")
    return parser.parse_args()


def _rows(chosen: argparse.Namespace, engine: str) -> list[int]:
    """Return the rows to measure, with those that they compare with."""
    wanted = set(chosen.rows).union(*(NEEDS.get(row, set()) for row in chosen.rows))
    return sorted(wanted - (PURE if engine != chosen.engines[0] else set()))


def _numbers(text: str) -> list[int]:
    rows = sorted({int(each) for each in text.split(",")})
    if unknown := set(rows) - set(ROWS):
        raise argparse.ArgumentTypeError(f"no row {unknown}; there are {[*ROWS]}")
    return rows


def _engines(text: str) -> list[str]:
    engines = text.split(",")
    if unknown := set(engines) - {"sqlite", "postgresql"}:
        raise argparse.ArgumentTypeError(f"no engine {unknown}; there are sqlite, postgresql")
    return engines


def _options(chosen: argparse.Namespace) -> Options:
    given = {name: getattr(chosen, name) for name in asdict(_LONG)}
    preset = asdict(_QUICK if chosen.quick else _LONG)
    return Options(**{k: preset[k] if v is None else v for k, v in given.items()})


def _table(findings: list[Finding]) -> Table:
    table = Table("#", "measure", "engine", "here", "baseline", "", "ratio", "to reach", "reached")
    for each in findings:
        bounds = ((each.at_least, "≥"), (each.at_most, "≤"))
        bound = " ".join(f"{sign} {value:g}" for value, sign in bounds if value is not None)
        table.add_row(
            str(each.row),
            each.measure,
            each.engine,
            f"{each.value:,.1f} {each.unit}",
            each.against,
            "" if each.baseline is None else f"{each.baseline:,.1f} {each.unit}",
            "" if each.ratio is None else f"{each.ratio:.2f}",
            bound if each.ratio is not None else f"{bound} {each.unit}",
            ("yes" if each.reached else "[red]no") if bound else "",
        )
    return table


def _write(file: Path, options: Options, findings: list[Finding], busiest: float) -> None:
    machine = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
    }
    rows = [{**asdict(each), "reached": each.reached} for each in findings]
    document = {
        "machine": machine,
        "options": asdict(options),
        "client_busy": round(busiest, 2),
        "rows": rows,
    }
    file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
