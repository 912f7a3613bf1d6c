"""The ledger's time: all of its processes agree on it, whatever their wall clocks say."""

import time

import pytest

from app.ledger.clock import zero_at

HOUR = 3600.0


@pytest.mark.parametrize("wrong", [-HOUR, HOUR])
async def test_a_process_whose_clock_was_set_agrees_with_one_from_before(
    database, monkeypatch, wrong
):
    """Else it would take the other's claims for abandoned, or its own for held by another."""
    before = await zero_at(database)
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + wrong)
    assert abs(await zero_at(database) - before) < 60


async def test_a_clock_that_was_far_off_is_believed_once_it_is_right(database, monkeypatch):
    """A machine may start in 1970 until it has found the time."""
    right = time.time
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: 0.0)
        await zero_at(database)
    assert abs(await zero_at(database) + time.monotonic() - right()) < 60
