"""The fault suite's short form: once each, gently, on the engine that each is harder for."""

import secrets
from collections.abc import Iterator
from functools import partial

import pytest

from tests.faults.scenarios import SCENARIOS, missing
from tests.faults.theatre import Theatre

_PAUSE = 0.1  # s; some forty webhooks a second, of which some are always under way
_PLAYED = (
    ("killed under load", "postgresql"),
    ("PostgreSQL restarted", "postgresql"),
    ("disk full", "sqlite"),
    ("Cordial fails in every way at once", "sqlite"),
    ("replays and backfills", "postgresql"),
    ("woken by another replica", "postgresql"),
    ("half-open connections", "sqlite"),
    ("out through tinyproxy", "sqlite"),
    ("behind nginx", "sqlite"),
)


@pytest.fixture(scope="module")
def theatre(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Theatre]:
    """Where they are played."""
    postgresql = partial(request.getfixturevalue, "postgresql_server")
    with Theatre(tmp_path_factory.mktemp("faults"), _PAUSE, postgresql) as opened:
        yield opened


@pytest.mark.parametrize(("name", "engine"), _PLAYED)
def test_nothing_is_lost_reordered_or_sent_twice_at_once(theatre, name, engine):
    """What was answered 202 is with Cordial or on the list of dead submissions, in order."""
    if lacking := missing(name):
        pytest.skip(f"NOT PLAYED: {', '.join(lacking)} is not installed")
    play, _, _ = SCENARIOS[name]
    seed = secrets.randbelow(1_000_000)
    print(f"seed {seed}")
    report = theatre.play(name, play, engine, seed, 1)
    print(report)
    assert report.sound, report
