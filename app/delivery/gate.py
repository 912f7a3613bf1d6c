"""The gate before each Cordial account: pure decisions on whether sending goes on.

Each integration has one gate, in the ledger, so all replicas share it. While the gate is not open,
the worker claims nothing, and what waits spends no attempts. A closed or blocked gate lets a single
probe through when its time has come.
"""

from dataclasses import replace

from app.ledger.integrations import Gate
from app.ledger.schema import GateState

CLOSES_AFTER = 5  # failures in a row
SHORTEST = 5.0  # seconds
LONGEST = 300.0
_SHORTEST_HOLD = 1.0  # even if Cordial says 0
BLOCKED_PROBE = 300.0  # somebody may mend an allow list at Cordial, so we look by ourselves


def succeeded(gate: Gate) -> Gate:
    """Cordial took a contact: the trouble is over, and the gate opens.

    A wait that Cordial asked for goes on: this contact was under way before Cordial asked.
    """
    return gate if gate.state is GateState.HELD else Gate()


def failed(gate: Gate, *, reason: str, probe: bool, now: float) -> Gate:
    """Cordial did not answer, or answered with 5xx.

    When the gate closes, other submissions are still under way: their failures tell nothing new. A
    failed probe doubles the time until the next one. A blocked gate stays so: whether we may pass
    is not told.
    """
    if gate.state is not GateState.OPEN and not probe:
        return gate
    if gate.state is GateState.BLOCKED:
        return replace(gate, until=now + BLOCKED_PROBE)
    failures = gate.failures + 1
    if failures < CLOSES_AFTER and gate.state is GateState.OPEN:
        return replace(gate, failures=failures)
    since = gate.since if gate.state is GateState.CLOSED else now
    until = now + _doubled(failures - CLOSES_AFTER)
    return Gate(GateState.CLOSED, reason, since, until, failures)


def rate_limited(gate: Gate, *, reason: str, retry_after: float | None, now: float) -> Gate:
    """Cordial asks us to wait (429, 503): for as long as it says, or for a time that doubles.

    A blocked gate stays so, and is probed after that: whether we may pass is not told.
    """
    if gate.state is GateState.BLOCKED:
        return replace(gate, until=max(now + (retry_after or 0.0), gate.until or now))
    if retry_after is None and gate.state is GateState.HELD:
        return gate  # another answer of the same burst has begun the wait
    failures = gate.failures + (retry_after is None)
    wait = _doubled(failures - 1) if retry_after is None else max(retry_after, _SHORTEST_HOLD)
    held = gate.state is GateState.HELD
    until = max(now + wait, (gate.until or 0.0) if held else 0.0)
    since = gate.since if held else now
    return Gate(GateState.HELD, reason, since, until, failures)


def refused(gate: Gate, *, reason: str, now: float) -> Gate:
    """Cordial refuses our access: the gate is blocked until a person mends it; we probe."""
    since = gate.since if gate.state is GateState.BLOCKED else now
    return Gate(GateState.BLOCKED, reason, since, now + BLOCKED_PROBE, gate.failures)


def untold(gate: Gate, *, now: float) -> Gate:
    """The probe was not sent after all: the next one may go at once."""
    shut = gate.state in (GateState.CLOSED, GateState.BLOCKED)
    return replace(gate, until=now) if shut else gate


def _doubled(times: int) -> float:
    return min(SHORTEST * 2.0 ** min(max(times, 0), 16), LONGEST)
