"""The gate: pure decisions on whether sending to an account goes on."""

import pytest

from app.delivery.gate import failed, rate_limited, refused, succeeded, untold
from app.ledger.integrations import Gate
from app.ledger.schema import GateState

NOW = 1_700_000_000.0
OPEN, HELD = GateState.OPEN, GateState.HELD
CLOSED, BLOCKED = GateState.CLOSED, GateState.BLOCKED


def shut(state, failures=5, until=NOW + 5, since=NOW):
    return Gate(state, "why", since, until, failures)


@pytest.mark.parametrize("gate", [Gate(failures=4), *map(shut, (CLOSED, BLOCKED))])
def test_a_success_opens_whatever_was_shut(gate):
    """And nothing of the past counts any more."""
    assert succeeded(gate) == Gate()


def test_a_success_of_what_was_under_way_does_not_cut_a_wait_short():
    """Cordial took one and asked to wait at about the same time."""
    assert succeeded(shut(HELD)) == shut(HELD)


def test_five_failures_in_a_row_close_the_gate():
    """Four do not."""
    gate = Gate()
    for number in range(1, 5):
        gate = failed(gate, reason="HTTP 503", probe=False, now=NOW)
        assert gate == Gate(failures=number)
    gate = failed(gate, reason="HTTP 503", probe=False, now=NOW)
    assert gate == Gate(CLOSED, "HTTP 503", NOW, NOW + 5, 5)


def test_a_success_in_between_starts_the_count_again():
    """In a row means in a row."""
    gate = failed(Gate(failures=3), reason="r", probe=False, now=NOW)
    gate = failed(succeeded(gate), reason="r", probe=False, now=NOW)
    assert gate == Gate(failures=1)


def test_each_failed_probe_doubles_the_wait_up_to_five_minutes():
    """5 s, 10 s, ... 5 min; the gate remembers since when it is closed."""
    gate, waits, now = shut(CLOSED), [], NOW
    for _ in range(8):
        waits.append(gate.until - now)
        now = gate.until
        gate = failed(gate, reason="HTTP 502", probe=True, now=now)
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300]
    assert (gate.state, gate.reason, gate.since) == (CLOSED, "HTTP 502", NOW)


def test_an_outage_of_days_does_not_overflow():
    """However long it lasts, the wait stays five minutes."""
    gate = failed(shut(CLOSED, failures=100_000), reason="r", probe=True, now=NOW)
    assert gate.until == NOW + 300


@pytest.mark.parametrize("state", [HELD, CLOSED, BLOCKED])
def test_what_was_under_way_when_the_gate_shut_tells_nothing_new(state):
    """Its failure neither lengthens the wait nor hides why it is shut."""
    gate = shut(state)
    assert failed(gate, reason="late", probe=False, now=NOW + 3) == gate


def test_a_failed_probe_of_a_blocked_gate_leaves_it_blocked():
    """Cordial is away now, so it has not said that we may pass: it is asked in five minutes."""
    gate = failed(shut(BLOCKED, failures=0), reason="HTTP 503", probe=True, now=NOW + 9)
    assert gate == Gate(BLOCKED, "why", NOW, NOW + 9 + 300, 0)


@pytest.mark.parametrize(("seconds", "until"), [(600, 609), (None, 60), (2, 60)])
def test_a_blocked_gate_that_is_asked_to_wait_stays_blocked(seconds, until):
    """Who must mend it is not told that it sends again; it is probed once the wait is over."""
    gate = rate_limited(
        shut(BLOCKED, until=NOW + 60), reason="429", retry_after=seconds, now=NOW + 9
    )
    assert gate == Gate(BLOCKED, "why", NOW, NOW + until, 5)


@pytest.mark.parametrize(("said", "held"), [(0, 1), (0.2, 1), (1, 1), (7, 7), (3600, 3600)])
def test_429_holds_for_as_long_as_cordial_says(said, held):
    """At least a second, so that a 0 is no hammering; the failures before stay, it is none."""
    gate = rate_limited(Gate(failures=3), reason="429", retry_after=said, now=NOW)
    assert (gate.state, gate.since, gate.until, gate.failures) == (HELD, NOW, NOW + held, 3)
    assert "429" in gate.reason


def test_429_without_a_time_doubles():
    """5 s, 10 s, ... 5 min, each after the wait before is over and the next 429 came."""
    failures, waits = 0, []
    for _ in range(8):
        gate = rate_limited(Gate(failures=failures), reason="429", retry_after=None, now=NOW)
        waits.append(gate.until - NOW)
        failures = gate.failures
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300]


def test_a_burst_of_429_counts_once():
    """Fifty answers to fifty requests under way say one thing."""
    gate = rate_limited(Gate(), reason="429", retry_after=None, now=NOW)
    assert rate_limited(gate, reason="429", retry_after=None, now=NOW + 0.1) == gate


@pytest.mark.parametrize(("seconds", "until"), [(2, 9), (30, 31)])
def test_the_longest_wait_of_a_burst_holds(seconds, until):
    """Whatever order the answers came in."""
    gate = rate_limited(Gate(), reason="429", retry_after=9, now=NOW)
    gate = rate_limited(gate, reason="429", retry_after=seconds, now=NOW + 1)
    assert (gate.until, gate.since) == (NOW + until, NOW)


def test_a_429_takes_the_place_of_an_outage():
    """Cordial answers again, and says when: not the longer wait of before, nor its beginning."""
    gate = rate_limited(
        shut(CLOSED, until=NOW + 300), reason="Cordial answered 429", retry_after=7, now=NOW + 2
    )
    assert gate == Gate(HELD, "Cordial answered 429", NOW + 2, NOW + 9, 5)


@pytest.mark.parametrize("state", [CLOSED, BLOCKED])
def test_a_probe_that_was_not_sent_may_be_sent_at_once(state):
    """It says nothing of Cordial: nothing else about the gate changes."""
    gate = shut(state, until=NOW + 300)
    assert untold(gate, now=NOW + 7) == Gate(state, "why", NOW, NOW + 7, 5)


@pytest.mark.parametrize("gate", [Gate(failures=2), shut(HELD)])
def test_without_a_probe_there_is_none_to_repeat(gate):
    """An open gate needs none, and a wait that Cordial asked for is waited."""
    assert untold(gate, now=NOW + 7) == gate


def test_a_refusal_blocks_and_is_looked_at_every_five_minutes():
    """With the reason for a person, and since when."""
    gate = refused(Gate(failures=2), reason="HTTP 401", now=NOW)
    assert (gate.state, gate.reason, gate.since, gate.until) == (
        BLOCKED,
        "HTTP 401",
        NOW,
        NOW + 300,
    )
    again = refused(gate, reason="HTTP 403", now=NOW + 300)
    assert (again.reason, again.since, again.until) == ("HTTP 403", NOW, NOW + 600)
