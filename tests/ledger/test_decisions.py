"""Decisions and tallies: written with what they tell of, kept, bounded, erased."""

from datetime import UTC
from typing import Any

import pytest
from sqlalchemy import insert

from app.api.decisions import HoursView, _written
from app.console import consent
from app.console.times import Times
from app.jebbit.submission import Submission
from app.ledger import decisions, tallies
from app.ledger.claims import (
    ONE_OF_SEVERAL,
    Claim,
    Settlement,
    settle,
    texted_elsewhere,
    texted_key,
)
from app.ledger.decisions import prune_decisions
from app.ledger.erasure import Person, erase
from app.ledger.schema import DeadReason, SubmissionStatus
from app.ledger.schema import tallies as tallies_table
from app.ledger.tallies import RefusedWebhook, Tally, hour_of
from app.rules.decision import Basis, basis_of
from app.rules.plan import plan
from tests.beside import make_work_slow, others
from tests.ledger.conftest import NOW, Ledger, item, new_integration

DELIVERED = SubmissionStatus.DELIVERED


def basis(**attributes: Any) -> Basis:
    """Return what is kept of the plan for a person with these attributes."""
    integration, submission = (
        new_integration(),
        Submission({"email": "ann@example.com", **attributes}),
    )
    made = plan(submission, integration, received_at=NOW, now=NOW)
    return basis_of(made, submission, integration)


def settled(claimed: Claim, **more: Any) -> Settlement:
    """Return the settlement of a delivered person from Germany who said yes."""
    return Settlement(
        claimed, DELIVERED, basis=basis(opt_in="Yes", country_code="DE"), phone_key="phone", **more
    )


async def test_what_was_decided_is_kept_by_person_and_submission(ledger: Ledger) -> None:
    """Both of a person's addresses and the submission lead to the decision, as it was made."""
    await ledger.accept(item("ann", "a"))
    (ann,) = await ledger.claim()
    await settle(ledger.database, [settled(ann)], NOW + 1)
    (kept,) = await decisions.of_keys(ledger.database, ["ann"], 10)
    assert (kept.submission_id, kept.outcome, kept.decided_at) == (ann.id, "delivered", NOW + 1)
    assert kept.version == ann.version
    said: Any = kept.basis
    assert (said["region"], said["region_by"], said["region_value"]) == ("eu", "country", "DE")
    assert said["opt_in"] == {
        "answer": "yes",
        "attribute": "opt_in",
        "label": "Yes",
        "believed": True,
    }
    assert said["email_status"] == "subscribed"
    assert said["given_at"] == NOW
    assert await decisions.of_keys(ledger.database, ["phone"], 10) == [kept]
    assert await decisions.of_submission(ledger.database, ann.seq) == [kept]


async def test_what_did_not_settle_has_no_decision(ledger: Ledger) -> None:
    """Neither a submission that waits for another try, nor one whose lease was lost."""
    await ledger.accept(item("ann", "a"), item("bob", "b"))
    ann, bob = await ledger.claim()
    await settle(ledger.database, [Settlement(ann, SubmissionStatus.PENDING, due_at=NOW + 9)], NOW)
    await ledger.run("UPDATE contacts SET lease = 'taken' WHERE contact_key = 'bob'")
    assert await settle(ledger.database, [settled(bob)], NOW) == [False]
    assert await decisions.of_keys(ledger.database, ["ann", "bob", "phone"], 10) == []
    assert {each.outcome for each, _ in await tallies.hourly(ledger.database, None, 0)} == {
        "received"
    }


async def test_an_erasure_removes_decisions(ledger: Ledger) -> None:
    """By either key, and of the person alone."""
    await ledger.accept(item("ann", "a"), item("bob", "b"))
    ann, bob = await ledger.claim()
    await settle(ledger.database, [settled(ann), Settlement(bob, DELIVERED)], NOW)
    person = Person(["phone"], lambda _: False, lambda document: document)
    await erase(ledger.database, person, NOW)
    assert await decisions.of_keys(ledger.database, ["ann", "phone"], 10) == []
    assert len(await decisions.of_keys(ledger.database, ["bob"], 10)) == 1


async def test_the_phone_that_gets_texts_is_kept_until_they_are_ended_or_it_is_erased(
    ledger: Ledger,
) -> None:
    """By what was delivered, or may have been; what asks for no status changes nothing."""
    texts, ended = (
        basis(opt_in="Yes")._replace(sms_status=status) for status in ("subscribed", "unsubscribed")
    )
    silent, skipped = basis(opt_in="Yes"), SubmissionStatus.SKIPPED
    numbers = iter("abcdefghij")

    async def after(
        status: SubmissionStatus, made: Basis, phone: str, reason: DeadReason | None = None
    ) -> str | None:
        await ledger.accept(item("ann", next(numbers)))
        (ann,) = await ledger.claim()
        made_of = Settlement(ann, status, reason=reason, basis=made, phone_key=phone)
        await settle(ledger.database, [made_of], NOW)
        kept = await texted_key(ledger.database, "spring-quiz", "ann")
        await ledger.accept(item("ann", next(numbers)))
        (claimed,) = await ledger.claim()
        assert claimed.texted_key == kept
        await settle(ledger.database, [Settlement(claimed, skipped)], NOW)
        return kept

    dead = SubmissionStatus.DEAD
    assert await after(dead, texts, "one", DeadReason.REJECTED) is None
    assert await after(DELIVERED, texts, "one") == "one"
    assert await after(DELIVERED, silent, "two") == "one"
    assert await after(dead, texts, "two", DeadReason.UNAVAILABLE) == ONE_OF_SEVERAL
    assert await after(DELIVERED, ended, "two") is None
    await ledger.accept(item("ann", "z", phone_key="one"))
    (ann,) = await ledger.claim()
    of_one = Settlement(ann, DELIVERED, basis=texts, phone_key="one")
    await settle(ledger.database, [of_one], NOW)
    assert await texted_key(ledger.database, "spring-quiz", "ann") == "one"
    await ledger.create("Autumn quiz")
    assert await texted_elsewhere(ledger.database, "spring-quiz", "ann") == set()
    assert await texted_elsewhere(ledger.database, "autumn-quiz", "ann") == {"one"}
    for of in ("spring-quiz", "autumn-quiz"):
        await ledger.accept(item("ann", of), item("bob", of), integration_id=of)
    known = {
        (each.contact_key, each.texted_key, *each.texted_elsewhere) for each in await ledger.claim()
    }
    assert known == {("ann", "one"), ("ann", None, "one"), ("bob", None)}
    person = Person(["one"], lambda _: False, lambda document: document)
    await erase(ledger.database, person, NOW)
    assert await texted_key(ledger.database, "spring-quiz", "ann") is None


async def test_a_decision_stays_with_the_contact_it_was_about(ledger: Ledger) -> None:
    """Though a changed mapping makes the submission another's: each is found by its own key."""
    await ledger.accept(item("ann", "a"))
    (first,) = await ledger.claim()
    await settle(ledger.database, [Settlement(first, DELIVERED)], NOW)
    await ledger.run("UPDATE submissions SET status = 'pending'")
    await ledger.run("UPDATE contacts SET due_at = 0")
    (again,) = await ledger.claim()
    moved = Settlement(again, SubmissionStatus.PENDING, rekeyed=("bob", None))
    await settle(ledger.database, [moved], NOW + 1)
    (of_bob,) = await ledger.claim()
    await settle(ledger.database, [Settlement(of_bob, DELIVERED)], NOW + 2)

    async def decided(*keys: str) -> list[float]:
        found = await decisions.of_keys(ledger.database, keys, 10)
        return [each.decided_at - NOW for each in found]

    assert [await decided(each) for each in ("ann", "bob")] == [[0], [2]]
    assert await decided("ann", "bob") == [2, 0]
    nobody = Person(["ann"], lambda _: False, lambda document: document)
    await erase(ledger.database, nobody, NOW + 3)
    assert [await decided(each) for each in ("ann", "bob")] == [[], [2]]


async def test_old_decisions_are_deleted(ledger: Ledger) -> None:
    """Those made before the time given; the others stay."""
    for number, contact in enumerate(("ann", "bob")):
        await ledger.accept(item(contact, contact))
        claimed = await ledger.claim()
        await settle(ledger.database, [Settlement(claimed[0], DELIVERED)], NOW + number)
    assert await prune_decisions(ledger.database, NOW + 1) == 1
    kept = await decisions.of_keys(ledger.database, ["ann", "bob"], 10)
    assert [each.decided_at for each in kept] == [NOW + 1]


async def test_the_newest_of_whom_the_same_was_decided_are_found(ledger: Ledger) -> None:
    """By region, answer and status asked, since a time; words that look like it change nothing."""
    await ledger.accept(*(item(name, "a") for name in ("ann", "bob", "cid")))
    ann, bob, cid = await ledger.claim()
    sly = basis(opt_in='"region":"eu","opt_in":{"answer":"yes"', country_code="US")
    await settle(ledger.database, [settled(ann), settled(bob)], NOW + 1)
    await settle(ledger.database, [Settlement(cid, DELIVERED, basis=sly)], NOW + 2)

    async def newest(since: float = NOW, of: str | None = None, **how: Any) -> list[str]:
        kind = decisions.Alike(**{"region": "eu", "answer": "yes", "sent": True, **how})
        return await decisions.newest_alike(ledger.database, of, since, kind, 9)

    assert set(await newest(asked="subscribed")) == {ann.id, bob.id}
    assert set(await newest(asked="subscribed", of="spring-quiz")) == {ann.id, bob.id}
    assert await newest(asked="subscribed", of="another") == []
    assert await newest(asked="subscribed", since=NOW + 2) == []
    assert await newest(asked=None) == []
    assert await newest(asked="subscribed", sent=False) == []
    found = await newest(asked=sly.email_status, answer=sly.opt_in.answer, region=sly.region)
    assert found == [cid.id]


def test_what_may_be_an_address_is_not_kept_as_a_label() -> None:
    """An opt-in attribute that by mistake names the email's or phone's keeps neither."""
    for value in ("ann@example.com", "+1 6175550123", "x" * 200):
        assert basis(opt_in=value).opt_in.label == "(another text)"


async def test_tallies_count_what_came_in_and_what_was_decided(ledger: Ledger) -> None:
    """By hour: what was received, repeated, unreadable or a test; then by decision."""
    await ledger.accept(item("ann", "a", "s1"), item("bob", "b"))
    await ledger.accept(item("ann", "a", "s1"))
    await ledger.accept(item("cid", "c"), test=True)
    await settle(ledger.database, [settled(each) for each in await ledger.claim()], NOW + 3600)
    first = hour_of(NOW)
    of, later = (first, "spring-quiz"), (first + 1, "spring-quiz")
    decided = Tally(*later, "delivered", "", "eu", "yes", "subscribed", "")
    assert await tallies.hourly(ledger.database, "spring-quiz", NOW) == [
        (Tally(*of, "duplicate"), 1),
        (Tally(*of, "received"), 2),
        (Tally(*of, "test"), 1),
        (decided, 2),
    ]
    assert await tallies.hourly(ledger.database, None, NOW + 3600) == [(decided, 2)]
    assert await tallies.hourly(ledger.database, "another", 0) == []


async def test_many_tallies_are_read_and_written_in_turns_with_others(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them, in order, while other work goes on."""
    counted = [Tally(hour, "spring-quiz", "received") for hour in range(4_000)]
    async with ledger.database.write() as connection:
        rows = [{**each._asdict(), "number": each.hour + 1} for each in counted]
        await connection.execute(insert(tallies_table), rows)
    make_work_slow(monkeypatch)
    async with others() as had:
        found = await tallies.hourly(ledger.database, "spring-quiz", 0)
        read = had.turns
        written = HoursView.model_validate_json(await _written(found))
        shown = had.turns
        decided = [(each._replace(outcome="delivered", region="eu"), n) for each, n in found]
        file = await consent._written(Times(NOW, UTC), decided)
    assert [each for each, _ in found] == counted
    assert [each.count for each in written.hours] == [number for _, number in found]
    assert [int(line.rpartition(",")[2]) for line in file.splitlines()[1:]] == [*range(1, 4_001)]
    assert read >= 3
    assert shown - read >= 3
    assert had.turns - shown >= 3


async def test_the_last_refused_webhooks_are_kept(ledger: Ledger) -> None:
    """Fifty of each integration, the newest first."""
    refused = [RefusedWebhook(NOW + each, "wrong") for each in range(60)]
    await tallies.note_refused(ledger.database, "spring-quiz", refused[:30])
    await tallies.note_refused(ledger.database, "spring-quiz", refused[30:])
    await tallies.note_refused(ledger.database, "another", refused[:1])
    kept = await tallies.refused_of(ledger.database, "spring-quiz")
    assert [each.at for each in kept] == [NOW + each for each in range(59, 9, -1)]


async def test_refused_webhooks_go_with_their_integration(ledger: Ledger) -> None:
    """Another one under the name begins with none; those of others stay."""
    for name in ("spring-quiz", "another"):
        await tallies.note_refused(ledger.database, name, [RefusedWebhook(NOW, "mismatch")])
    await ledger.integrations.delete("spring-quiz", force=False, now=NOW)
    await ledger.create("Spring quiz")
    assert await tallies.refused_of(ledger.database, "spring-quiz") == []
    assert len(await tallies.refused_of(ledger.database, "another")) == 1
