"""The reach table: how often the law was tried on what matters, by place, answer and status."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from tests.rules.oracle import DAY, SUB, Source, When, World

PLACES = ("eu", "non_eu", "unknown", "express", "doubtful")
ANSWERS = ("yes", "no", "null", "unclear", "hidden")
CHANNELS = ("email", "sms")
CELLS = frozenset(product(PLACES, CHANNELS, ANSWERS))
# Circumstances under which a yes, or a null elsewhere, would subscribe or force if they were not.
CIRCUMSTANCES = frozenset(
    (
        *("forced", "stale", "stale, unsubscribed", "yes delivered before", "yes older than a day"),
        *("yes after a refusal", "yes before a refusal", "null after a refusal"),
        *(
            "null taken as consent",
            "null where the opt-in went missing",
            "skipped",
            "list joined",
            "list not joined",
        ),
    )
)


class Reach:
    """Counts of what plans were tried on, and what they asked for."""

    def __init__(self) -> None:
        self.cells: Counter[tuple[str, str, str]] = Counter()
        self.asked: Counter[tuple[str, str, str, str]] = Counter()
        self.circumstances: Counter[str] = Counter()

    def note(
        self, source: Source, when: When, worlds: Sequence[World], body: Mapping[str, Any] | None
    ) -> None:
        """Count one plan, if it has but one hard reading."""
        hard = [world for world in worlds if world.hard]
        if len(hard) != 1:
            return
        (world,) = hard
        place = place_of(world)
        email, sms = statuses(source, body)
        for channel, answer, status in (
            ("email", world.email_answer, email),
            ("sms", world.sms_answer, sms),
        ):
            self.cells[place, channel, answer] += 1
            self.asked[place, channel, answer, status] += 1
        self.circumstances.update(_circumstances(source, when, world, body, email, sms))

    def missing(self, cells: int, circumstances: int) -> list[str]:
        """Name what was reached less often than these floors say."""
        few = [" ".join(cell) for cell in sorted(CELLS) if self.cells[cell] < cells]
        return few + [
            each for each in sorted(CIRCUMSTANCES) if self.circumstances[each] < circumstances
        ]

    def table(self) -> str:
        """Return the counts as text."""
        columns = ("subscribed", "unsubscribed", "left", "not sent")
        lines = [f"{'place':10}{'answer':9}" + "".join(f"{each:>14}" for each in columns * 2)]
        lines.insert(0, f"{'':19}{'email':>14}{'':42}{'SMS':>14}")
        for place, answer in product(PLACES, ANSWERS):
            counts = (
                self.asked[place, channel, answer, status]
                for channel, status in product(CHANNELS, columns)
            )
            lines.append(f"{place:10}{answer:9}" + "".join(f"{each:14,}" for each in counts))
        lines += [f"{each:30}{self.circumstances[each]:9,}" for each in sorted(CIRCUMSTANCES)]
        return "\n".join(lines)


def place_of(world: World) -> str:
    """Return the kind of place that decides."""
    region, express, doubtful = world.place
    return "doubtful" if doubtful else "express" if express else region


def statuses(source: Source, body: Mapping[str, Any] | None) -> tuple[str, str]:
    """Return the statuses asked for email and SMS."""
    if body is None:
        return "not sent", "not sent"
    channels = body.get("channels") or {}
    email = channels.get(source.email_channel, {}).get("subscribeStatus")
    programs: Iterable[Any] = channels.get(source.sms_channel, {}).get("programs", {}).values()
    return email or "left", next((each["subscribeStatus"] for each in programs), "left")


def _circumstances(
    source: Source,
    when: When,
    world: World,
    body: Mapping[str, Any] | None,
    email: str,
    sms: str,
) -> Iterator[str]:
    said_yes, said_null = world.email_answer == "yes", world.email_answer == "null"
    refused = when.email_refused_at
    if body is None:
        yield "skipped"
    elif body.get("forceSubscribe"):
        yield "forced"
    if when.stale:
        yield "stale, unsubscribed" if "unsubscribed" in (email, sms) else "stale"
    elif email == SUB:
        if said_null and world.place.region != "non_eu":
            yield "null taken as consent"
        if said_yes and when.delivered_before:
            yield "yes delivered before"
        if said_yes and world.given < when.now - DAY:
            yield "yes older than a day"
    if said_null and when.opt_in_missing and source.opt_in_guard:
        yield "null where the opt-in went missing"
    if refused is not None and said_yes:
        yield "yes after a refusal" if world.given > refused else "yes before a refusal"
    if refused is not None and said_null:
        yield "null after a refusal"
    for field in world.may_join if body else ():
        yield "list joined" if body and body.get(field) else "list not joined"
