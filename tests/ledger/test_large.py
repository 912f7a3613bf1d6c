"""What is settled costs no time: each question finds its rows by an index, also among millions."""

import random
import re

from sqlalchemy import event, insert, text

from app.ledger.counts import add_up
from app.ledger.decisions import of_keys, prune_decisions
from app.ledger.figures import count_waiting
from app.ledger.listing import count as count_by_reason
from app.ledger.listing import latest, newest
from app.ledger.retention import Retention, wipe_payloads
from app.ledger.schema import SubmissionStatus, submissions
from app.ledger.submissions import Filter, count, payloads
from tests.ledger.conftest import NOW
from tests.ledger.test_claims import used
from tests.ledger.test_counts import DAY, rows

LARGE = {"submissions", "attempts", "contacts", "decisions"}
BY_STATUS, BY_REASON = "submissions_by_status", "submissions_by_reason"
BY_CONTACT = "submissions_by_contact"
DECISIONS = {"decisions_by_phone", "decisions_by_former_key", "decisions_pkey"}
SINCE, SPRING = {"since": NOW - 20 * DAY}, {"integration_id": "spring-quiz"}
SKIPPED = {"status": SubmissionStatus.SKIPPED}


def lists(**wanted):
    async def ask(database):
        await newest(database, Filter(**wanted), limit=50, before=None)

    return ask


QUESTIONS = {
    "by status": (lists(**SKIPPED), {BY_STATUS}),
    "by integration": (lists(**SPRING), {BY_STATUS}),
    "by reason": (lists(reason="opted_out"), {BY_REASON}),
    "by a reason and a status": (lists(reason="opted_out", **SKIPPED), {BY_REASON}),
    "by a reason that nothing has": (lists(reason="stale"), set()),
    "since": (lists(**SINCE), {"submissions_pkey"}),
    "until": (lists(until=NOW - 20 * DAY), {"submissions_pkey"}),
    "until, by status": (lists(until=NOW - 20 * DAY, **SKIPPED), {BY_STATUS}),
    "by contact": (
        lists(contact_keys=["1"], **SINCE),
        {BY_CONTACT, "submissions_by_phone"},
    ),
    "counts": (lambda database: count_by_reason(database, Filter()), set()),
    "counts since an hour": (
        lambda database: count_by_reason(database, Filter(since=NOW // 3600 * 3600)),
        set(),
    ),
    "stats": (lambda database: count(database, NOW), {BY_STATUS}),
    "metrics": (lambda database: count_waiting(database, NOW), {BY_STATUS}),
    "adding up": (lambda database: add_up(database, NOW), set()),
    "the overview": (latest, {BY_STATUS}),
    "what a source sent": (
        lambda database: payloads(database, "spring-quiz", limit=500),
        {BY_STATUS, "submissions_pkey"},  # which are the newest, then so many of them at a time
    ),
    "retention": (
        lambda database: wipe_payloads(database, Retention(DAY, DAY), NOW - 25 * DAY),
        {"submissions_with_payload", "submissions_pkey", "ix_attempts_submission_seq"},
    ),
    "decisions of a contact": (
        lambda database: of_keys(database, ["1"], 10),
        {BY_CONTACT, "ix_decisions_submission_seq", *DECISIONS},
    ),
    "retention of decisions": (
        lambda database: prune_decisions(database, NOW),
        {"every row", "decisions_pkey"},  # so many at a time, in their order
    ),
}


async def test_nothing_goes_through_what_is_settled(database):
    """On both engines; PostgreSQL reads small tables as a whole only where no index would do."""
    times = [NOW - each * DAY / 20 for each in range(600, 0, -1)]
    async with database.write() as connection:
        if not database.is_sqlite:  # what other tests deleted takes room, which makes plans dear
            await connection.execute(text("TRUNCATE submissions CASCADE"))
        await connection.execute(insert(submissions), list(rows(random.Random(1), times)))
        if not database.is_sqlite:
            await connection.execute(text("ANALYZE submissions"))
    for name, (ask, indexes) in QUESTIONS.items():
        seen = set()
        for statement, plan in await plans(database, ask, together=BY_CONTACT in indexes):
            bitmaps = re.findall(r"Bitmap Index Scan on (submissions_\w+)", plan)
            for table, index in [*used(plan), *(("submissions", each) for each in bitmaps)]:
                if table in LARGE:
                    seen.add(index)
                    assert index in indexes, (name, statement, plan)
        assert bool(seen) == bool(indexes), name


async def plans(database, ask, *, together):
    """Return each statement that a question leads to, and how the engine would answer it.

    `together`: PostgreSQL may find rows by two indexes together.
    """
    asked, found = [], []

    def note(_c, _cursor, statement, parameters, *_):
        asked.append((statement, tuple(parameters)))

    engine = database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        await ask(database)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    async with database.write() as connection:
        explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
        if not database.is_sqlite:
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
            if not together:
                await connection.execute(text("SET LOCAL enable_bitmapscan = off"))
        for statement, parameters in asked:
            if re.match(r"\s*(SELECT|UPDATE|DELETE|WITH)", statement):
                plan = await connection.exec_driver_sql(explain + statement, parameters)
                found.append((statement, " ".join(str(tuple(row)) for row in plan)))
    return found
