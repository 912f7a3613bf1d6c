"""Accepting and delivering while very many submissions wait."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from sqlalchemy import insert, text

from app.ledger.accepting import new_id
from app.ledger.database import Database
from app.ledger.schema import SubmissionStatus, contacts, ready_at, submissions
from app.ledger.vault import Pseudonyms, Vault
from tests.load.client import address, occurred_at, phone, submission
from tests.load.measuring import NAME, Bench, Finding, per_second
from tests.load.service import SECRET_KEY, Ledger, Service, serve

_FEW = 1_000
_MEGABYTES = 300
_CHUNK = 20_000  # rows in a transaction
_FIRST = 10**15  # their numbers are nobody else's
_STEADY = 0.9  # of the few: the last ones leave the connections idle


def waiting(bench: Bench) -> list[Finding]:
    """6: accepting and delivering with very many pending, and with a thousand.

    What waits belongs to the integration that accepts, and is what goes out. With a thousand there
    is no more to deliver than that; with many, what goes out in as many seconds as any measurement
    takes counts too, where it is slower: a queue may get worse as it is worked off.
    """
    with ExitStack() as stack:
        many, few = (
            stack.enter_context(_holding(bench, count)) for count in (bench.options.pending, _FEW)
        )

        def of_few() -> float:
            rate = per_second(bench.drain(few, _FEW)[: int(_FEW * _STEADY)])
            bench.fill(few, _FEW)
            return rate

        def of_many() -> float:
            most = int(bench.options.pending * _STEADY / (bench.options.rounds + 1))
            times = bench.drain(many, most, bench.options.seconds)
            return min(per_second(times), per_second(times[: int(_FEW * _STEADY)]))

        of_few(), of_many()  # warm up
        delivered = bench.alternate({"many": of_many, "few": of_few})
        accepted = bench.alternate(
            {
                "many": lambda: bench.post(many.process).rate,
                "few": lambda: bench.post(few.process).rate,
            }
        )
        memory = many.process.memory()
    many_name, few_name = f"{bench.options.pending:,} pending", f"{_FEW:,} pending"
    return [
        *(
            bench.compare(
                6,
                f"{what}, {many_name}",
                "/s",
                rates["many"],
                few_name,
                rates["few"],
                at_least=0.8,
            )
            for what, rates in (("accept", accepted), ("deliver", delivered))
        ),
        *(
            Finding(6, bench.engine, f"{what}, {many_name}", size, "MB", at_most=_MEGABYTES)
            for what, size in memory.items()
        ),
    ]


@contextmanager
def _holding(bench: Bench, count: int) -> Iterator[Service]:
    """Run a service that starts with so many pending."""
    ledger = bench.ledger()
    with serve(ledger) as service:
        service.create(NAME)
    fill(ledger, count)
    with serve(ledger) as service:
        yield service


def fill(ledger: Ledger, count: int) -> None:
    """Let so many contacts wait, each with a submission, as if they had been accepted."""
    asyncio.run(_fill(ledger, count))


async def _fill(ledger: Ledger, count: int) -> None:
    database = Database(ledger.url)
    pseudonyms = await database.pseudonyms(Vault([SECRET_KEY]))
    for start in range(_FIRST, _FIRST + count, _CHUNK):
        rows = list(_rows(pseudonyms, range(start, min(start + _CHUNK, _FIRST + count))))
        async with database.write() as connection:
            await connection.execute(insert(submissions), [row for row, _ in rows])
            await connection.execute(insert(contacts), [contact for _, contact in rows])
    if not database.is_sqlite:  # PostgreSQL does so by itself, within a minute or so
        async with database.write() as connection:
            await connection.execute(text("ANALYZE submissions, contacts"))
    await database.close()


def _rows(
    pseudonyms: Pseudonyms, numbers: range
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each submission's row, and its contact's."""
    now = time.time()
    for number in numbers:
        payload = submission(number)
        email, phone_key = pseudonyms.keys(address(number), phone(number))
        row = {
            "id": new_id(now),
            "integration_id": NAME,
            "status": SubmissionStatus.PENDING,
            "test": False,
            "contact_key": email,
            "phone_key": phone_key,
            "session_key": pseudonyms.session(
                f"session-{number}", payload, occurred_at(number).timestamp()
            ),
            "received_at": now,
            "tries": 0,
            "forced": False,
            "payload": payload,
        }
        contact = {
            "integration_id": NAME,
            "contact_key": email,
            "due_at": ready_at(now),
            "newest_content": pseudonyms.content(payload),
        }
        yield row, contact
