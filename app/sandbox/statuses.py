"""Subscribe statuses: one per email channel, one per program of an SMS channel. H, C."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from app.sandbox.refusals import ContactRefused
from app.sandbox.switches import Switches

Status: TypeAlias = Literal["none", "subscribed", "unsubscribed", "pendingDOI"]


@dataclass(frozen=True, slots=True)
class Program:
    """A contact's standing in one SMS program."""

    status: Status = "none"
    keyword: str | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """An address and its status. SMS keeps the status per program instead. H, C."""

    address: str
    status: Status = "none"
    programs: dict[str, Program] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProgramChange:
    """What a write asks of one SMS program."""

    status: Status | None
    keyword: str | None
    suppress_doi: bool


@dataclass(frozen=True, slots=True)
class ChannelChange:
    """What a write asks of one channel; no status means no change of it."""

    address: str
    status: Status | None = None
    programs: dict[str, ProgramChange] = field(default_factory=dict)


def next_status(
    current: Status, asked: Status | None, *, forced: bool, switches: Switches
) -> Status:
    """Where a status goes. Only a forced `subscribed` leads out of `unsubscribed`. S, H."""
    if asked is None or current != "unsubscribed":
        return asked or current
    if asked == "subscribed" and forced:
        return "subscribed"
    if asked == "subscribed" and switches.unsubscribed == "reject":
        raise ContactRefused("Contact is unsubscribed: forceSubscribe is needed")
    return "unsubscribed"


def _next_program(
    current: Program, change: ProgramChange, *, forced: bool, switches: Switches
) -> Program:
    status = next_status(current.status, change.status, forced=forced, switches=switches)
    if status == "subscribed" and current.status != "subscribed" and not change.suppress_doi:
        status = "pendingDOI"  # until the person answers the text: H
    return Program(status, change.keyword or current.keyword)


def next_channel(
    current: Channel, change: ChannelChange, *, forced: bool, switches: Switches
) -> Channel:
    """The channel after a write. Raises `ContactRefused` where a status may not be asked for."""
    programs = {
        name: _next_program(
            current.programs.get(name, Program()), asked, forced=forced, switches=switches
        )
        for name, asked in change.programs.items()
    }
    return Channel(
        change.address,
        next_status(current.status, change.status, forced=forced, switches=switches),
        current.programs | programs,
    )
