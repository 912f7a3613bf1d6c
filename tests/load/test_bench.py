"""The benchmark itself, in its smallest form."""

import json
import sys
from pathlib import Path

import pytest

from tests.load import bench
from tests.thorough import thorough


def test_shows_and_keeps_what_it_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each row asked for is in the table and in the file, with what it was measured against."""
    out = tmp_path / "bench.json"
    rows = "3,7" if thorough() else "7"  # 3 starts some processes
    chosen = f"--quick --rows {rows} --engines sqlite --backlog 100 --seconds 0.3".split()
    arguments = ["bench", *chosen, "--folder", str(tmp_path), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", arguments)

    assert bench.main() == 0

    shown, kept = capsys.readouterr().out, json.loads(out.read_text())
    assert {each["row"] for each in kept["rows"]} == set(map(int, rows.split(",")))
    for each in kept["rows"]:
        assert each["ratio"] > 0
        assert each["measure"] in shown
        assert each["against"] in shown
    assert [each for each in tmp_path.iterdir() if each != out] == []
