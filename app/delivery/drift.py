"""Drift: looked for as time goes by, and told once when it begins and once when it ends."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from app.ledger import sources, tallies
from app.ledger.database import Database
from app.ledger.integrations import StoredIntegration
from app.ledger.notices import NoticeKind, announce
from app.rules.drift import (
    Drift,
    DriftKind,
    News,
    Numbers,
    Spells,
    by_kind,
    follow,
    hours_to_ask,
    judge,
    say,
)

Judged = tuple[StoredIntegration, Sequence[Drift], Spells]
"""An integration, what drifts of it, and what was found before."""


async def drift_of(database: Database, stored: StoredIntegration, now: float) -> Sequence[Drift]:
    """Say what drifts of one integration, at a time (unix seconds)."""
    numbers = await sources.numbers_of(database, stored.id)
    return await _judge(database, stored, numbers, now)


async def drift_of_all(
    database: Database, integrations: Iterable[StoredIntegration], now: float
) -> Sequence[Judged]:
    """Say what drifts of each integration that somebody is to hear of: not of a paused one."""
    known = await sources.numbers_of_all(database)
    return [
        (each, await _judge(database, each, numbers, now) if not each.paused else (), lasting)
        for each in integrations
        for numbers, lasting in [known.get(each.id, (Numbers(), {}))]
    ]


async def _judge(
    database: Database, stored: StoredIntegration, numbers: Numbers, now: float
) -> Sequence[Drift]:
    # Only of one that has been silent for hours are the tallies asked, hour by hour by their key.
    hours = () if stored.paused else hours_to_ask(numbers.last_at, now)
    if hours:
        received = await tallies.received_in(database, stored.id, hours)
        numbers = numbers._replace(received=received)
    return judge(numbers, stored.integration, now)


async def watch(database: Database, integrations: Iterable[StoredIntegration], now: float) -> None:
    """Keep what drifts now, and tell people of what began and what is over.

    What is kept is what all processes show; whoever changes it tells of it in the same commit.
    """
    for stored, drifts, before in await drift_of_all(database, integrations, now):
        news = follow(before, drifts, now) if not stored.paused else News({}, (), ())
        if news.spells != before:
            await _keep(database, stored, before, news, now)


async def _keep(
    database: Database, stored: StoredIntegration, before: Spells, news: News, now: float
) -> None:
    async with database.write() as connection:
        if await sources.lock_spells(connection, stored.id) != before:
            return  # another process looked at the same time, and told of it
        await sources.keep_spells(connection, stored.id, news.spells)
        for text in _told(stored, news):
            await announce(connection, NoticeKind.DRIFT, stored.id, now, text)


def _told(stored: StoredIntegration, news: News) -> Iterator[str]:
    for began in by_kind(news.began).values():
        said = say(began, stored.integration)
        yield f"{said.state}. {said.cause} {said.remedy}"
    yield from filter(None, (_OVER[kind] for kind in news.over))


_OVER: Mapping[DriftKind, str | None] = {
    DriftKind.OPT_IN_MISSING: "gets its opt-in attribute again. Replay what came in between.",
    DriftKind.ATTRIBUTE_MISSING: "misses none of its attributes any more.",
    DriftKind.PHONES_UNUSABLE: "gets phone numbers that can be used again.",
    DriftKind.NEW_ANSWER: None,  # it is over after a day, whether somebody looked or not
    DriftKind.NOTHING_RECEIVED: "receives again.",
}
