"""What strangers do, in short: good webhooks are taken meanwhile, and nothing fills up."""

from collections.abc import Iterator
from functools import partial

import pytest

from tests.conftest import engines
from tests.faults.theatre import Theatre
from tests.hostile.playing import Row, play

_SECONDS = 0.25  # of each attack
_PLAYED = {
    "sqlite": (
        "wrong signatures, 500 a second",
        "1,000 signatures on 1 MiB",
        "made-up ids, 500 a second",
        "Content-Length of 5,000 zeros",
        "an upgrade to WebSocket",
        "24 MB of header lines",
        "trailers without end",
        "200 bodies of 1 MiB that stall",
        "a refusal of 900,000 characters",
        "100 KB that become 100 MB",
    ),
    "postgresql": ("wrong signatures, 500 a second", "48 x 0.9 MB from another source"),
}


@pytest.fixture(scope="module")
def theatre(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Theatre]:
    """Where they are played."""
    postgresql = partial(request.getfixturevalue, "postgresql_server")
    with Theatre(tmp_path_factory.mktemp("hostile"), postgresql=postgresql) as opened:
        yield opened


@pytest.mark.parametrize("engine", engines())
def test_a_good_webhook_is_taken_whatever_strangers_do(theatre: Theatre, engine: str) -> None:
    """Each is answered 202 within seconds, none is lost, and memory stays bounded."""
    rows: list[Row] = []
    report = theatre.play(
        "strangers", lambda stage, _: play(stage, _PLAYED[engine], _SECONDS, rows), engine, 0, 1
    )
    print(report, *rows, sep="\n")
    assert report.sound, report
    assert [each for each in rows if not each.sound] == []
