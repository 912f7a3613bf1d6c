"""Drift on a real ledger: told once when it begins and when it is over, shown everywhere."""

from collections import Counter
from itertools import count
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.delivery.drift import drift_of, drift_of_all, watch
from app.ledger import tallies
from app.ledger.database import Database
from app.ledger.figures import count_waiting
from app.ledger.integrations import Integrations, StoredIntegration
from app.ledger.notices import NoticeKind, claim_notices, settle_notice
from app.ledger.tallies import RECEIVED, Tally, hour_of
from app.ledger.vault import Vault
from app.rules.drift import DriftKind, word_of
from app.rules.values import Answer
from tests.conftest import SECRET_KEY
from tests.ledger.conftest import NOW, Ledger, item

HOUR, DAY = 3600.0, 86_400.0
_people = count()
KEYS: Any = (("email", "text"), ("outcome", "text"), ("opt_in", "yes/no"), ("phone", "text"))
WITHOUT: Any = KEYS[:1] + KEYS[2:]
RULES = [
    {"attribute": "email", "field": "channels.email.address"},
    {"attribute": "phone", "field": "channels.sms.address"},
    {"attribute": "outcome", "field": "quiz_outcome"},
]


@pytest.fixture
async def ledger(database: Database) -> Ledger:
    made = Ledger(database, Integrations(database, Vault([SECRET_KEY])))
    await made.create("Quiz", mapping=RULES, cordial={"sms": {"channel": "sms"}})
    return made


async def quiz(ledger: Ledger) -> StoredIntegration:
    return await ledger.integrations.get("quiz")


async def send(ledger: Ledger, number: int, at: float = NOW, **seen: Any) -> None:
    """Accept so many submissions of people of their own."""
    usual: Any = {"kinds": KEYS, "asked": True, "phone": True, **seen}
    new = [item(f"person {next(_people)}", "a", **usual) for _ in range(number)]
    await ledger.accept(*new, integration_id="quiz", received_at=at, version=1)


async def told(ledger: Ledger, now: float) -> list[str]:
    """Look, and return what people are told then that they were not told before."""
    await watch(ledger.database, await ledger.integrations.list(), now)
    new = await claim_notices(ledger.database, now)
    for each in new:
        await settle_notice(ledger.database, each, told=True, now=now)
    return [each.detail or "" for each in new if each.kind is NoticeKind.DRIFT]


async def test_names_that_no_text_can_hold_are_told_and_keep_nothing_else_from_it(ledger):
    """A configuration may hold any character, PostgreSQL's text may not; a message has one line."""
    odd = [*RULES, {"attribute": "out\x00\ncome", "field": "quiz_outcome_2"}]
    await ledger.create("A quiz before it", mapping=odd)
    unseen = [item(f"person {next(_people)}", "a", kinds=KEYS, asked=True) for _ in range(200)]
    await ledger.accept(*unseen, integration_id="a-quiz-before-it", received_at=NOW, version=1)
    await send(ledger, 200)
    await send(ledger, 50, kinds=WITHOUT, asked=False)
    of_attribute, of_opt_in = await told(ledger, NOW)
    assert "out come" in of_attribute
    assert "opt_in" in of_opt_in


async def kinds(ledger: Ledger, now: float = NOW) -> list[DriftKind]:
    return [each.kind for each in await drift_of(ledger.database, await quiz(ledger), now)]


async def gauge(ledger: Ledger, now: float = NOW) -> set[str]:
    """Return the kinds that the metrics show."""
    (figures,) = await count_waiting(ledger.database, now)
    return set(figures.drift)


async def test_an_opt_in_that_goes_missing_is_told(ledger: Ledger) -> None:
    """Once; and once more when it is there again."""
    await send(ledger, 1)
    await send(ledger, 50, asked=False)
    assert await kinds(ledger) == [DriftKind.OPT_IN_MISSING]
    (text,) = await told(ledger, NOW + 5)
    assert text.startswith("no longer gets opt_in.")
    assert "nobody is subscribed by silence" in text
    assert await gauge(ledger) == {"opt_in_missing"}
    assert await told(ledger, NOW + 10) == []
    await send(ledger, 1)
    assert (await told(ledger, NOW + 15))[0].startswith("gets its opt-in attribute again")
    assert await gauge(ledger) == set()
    assert await told(ledger, NOW + 20) == []


async def test_an_attribute_that_goes_missing_is_told(ledger: Ledger) -> None:
    """By its name, which the configuration has too."""
    await send(ledger, 1)
    await send(ledger, 199, kinds=WITHOUT)
    assert await told(ledger, NOW + 5) == []
    await send(ledger, 1, kinds=WITHOUT)
    (text,) = await told(ledger, NOW + 10)
    assert text.startswith("no longer gets outcome.")
    await send(ledger, 1)
    assert len(await told(ledger, NOW + 15)) == 1


async def test_phone_numbers_that_turn_bad_are_told_until_the_rules_change(
    ledger: Ledger,
) -> None:
    """Other rules may read them otherwise."""
    await send(ledger, 20)
    await send(ledger, 21, phone=False)
    (text,) = await told(ledger, NOW + 5)
    assert text.startswith("gets phone numbers that cannot be used. 21 of the last 41")
    await ledger.accept(item("new", "a", phone=False), integration_id="quiz", version=2)
    assert len(await told(ledger, NOW + 10)) == 1


async def test_an_answer_that_was_never_seen_before_is_told(ledger: Ledger) -> None:
    """Without the answer; that a day is over is not told."""
    await send(ledger, 100, words=[(word_of("yes"), Answer.YES)])
    await send(ledger, 1, NOW + DAY, words=[(word_of("Oui"), Answer.UNCLEAR)])
    (text,) = await told(ledger, NOW + DAY)
    assert text.startswith("gets an answer that was never seen before.")
    assert "Oui" not in text
    assert await told(ledger, NOW + 3 * DAY) == []
    assert await gauge(ledger) == set()


async def test_silence_is_told_until_something_comes(ledger: Ledger) -> None:
    """From the tallies of the weeks before."""
    counted = Counter({Tally(hour_of(NOW) - each, "quiz", RECEIVED): 10 for each in range(21 * 24)})
    await ledger.database.transact(lambda each: tallies.count(each, ledger.database, counted))
    await send(ledger, 1)
    later = NOW + 7 * HOUR
    (text,) = await told(ledger, later)
    assert text.startswith("gets nothing any more. Nothing was received for 7 hours;")
    await send(ledger, 1, later)
    assert await told(ledger, later) == ["receives again."]


async def test_of_a_paused_integration_nobody_is_told(ledger: Ledger) -> None:
    """It is in somebody's hands; when it sends again, what still holds is told."""
    await send(ledger, 1)
    await send(ledger, 50, asked=False)
    await ledger.integrations.pause("quiz", reason="Paused by a person.", now=NOW)
    assert await told(ledger, NOW + 5) == []
    assert [
        list(found)
        for _, found, _ in await drift_of_all(
            ledger.database, await ledger.integrations.list(), NOW
        )
    ] == [[]]
    assert await kinds(ledger) == [DriftKind.OPT_IN_MISSING]  # the check says it all the same
    await ledger.integrations.resume("quiz", now=NOW)
    assert len(await told(ledger, NOW + 10)) == 1
    await ledger.integrations.pause("quiz", reason="Paused by a person.", now=NOW)
    assert await told(ledger, NOW + 15) == []
    assert await gauge(ledger) == set()


async def test_several_processes_tell_it_once(ledger: Ledger, monkeypatch: Any) -> None:
    """Who looked before another changed what is kept leaves it to that one."""
    await send(ledger, 1)
    await send(ledger, 50, asked=False)
    integrations = await ledger.integrations.list()
    before = await drift_of_all(ledger.database, integrations, NOW)
    await watch(ledger.database, integrations, NOW)

    async def as_it_was(*_: Any) -> Any:
        return before

    monkeypatch.setattr("app.delivery.drift.drift_of_all", as_it_was)
    await watch(ledger.database, integrations, NOW)
    notices = await claim_notices(ledger.database, NOW)
    assert [each.kind for each in notices].count(NoticeKind.DRIFT) == 1


async def test_no_content_of_a_submission_is_shown_or_kept(service: Any, sqlite_url: str) -> None:
    """Neither keys nor answers nor addresses: in no metric, in no notice."""
    running = service(run_worker=False)
    running.create_integration(mapping=RULES, cordial={"sms": {"channel": "sms"}})
    usual = {"opt_in": "zebra yes", "outcome": "zebra", "phone": "zebra 1"}
    running.post([{**usual, "email": "zebra@example.com"}])
    odd = {"phone": "zebra", "zebra": "zebra"}
    running.post([{"email": f"zebra{each}@example.com", **odd} for each in range(210)])
    findings = running.client.post("/integrations/spring-quiz/check").json()["findings"]
    places = {each["place"] for each in findings if "Spring quiz" in each["problem"]}
    assert places == {"jebbit.attributes.opt_in", "mapping.1.attribute", "mapping.2.attribute"}
    database = Database(sqlite_url)
    integrations = Integrations(database, Vault([SECRET_KEY]))
    await watch(database, await integrations.list(), NOW)
    notices = await claim_notices(database, 2 * NOW)
    await database.close()
    assert [each.kind for each in notices].count(NoticeKind.DRIFT) == 3
    metrics = running.client.get("/metrics").text
    assert samples(metrics) == {
        "opt_in_missing": 1,
        "attribute_missing": 1,
        "phones_unusable": 1,
        "new_answer": 0,
        "nothing_received": 0,
    }
    assert "zebra" not in metrics + str(notices)


def samples(metrics: str) -> dict[str, float]:
    """Return the gauge of drift by kind."""
    families = text_string_to_metric_families(metrics)
    (found,) = [each for each in families if each.name == "jebbit_sync_drift"]
    return {each.labels["kind"]: each.value for each in found.samples}
