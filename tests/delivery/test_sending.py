"""What each answer of Cordial leads to: the table of the design, row by row."""

import socket
from datetime import UTC, datetime

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from app.delivery.gate import BLOCKED_PROBE
from app.delivery.schedule import DELAYS
from app.ledger.replays import replay
from app.sandbox.account import Attribute
from app.sandbox.faults import Fault
from app.serving import serving
from tests.conftest import API_KEY, database_url_on, engines
from tests.delivery.conftest import person

UNKNOWN_FIELD = [
    {"attribute": "email", "field": "channels.email.address"},
    {"attribute": "outcome", "field": "quiz_outcome"},
    {"attribute": "shoe_size", "field": "shoe_size"},
]


database_url = database_url_on(engines())


def outcomes(submission):
    return [each.outcome for each in submission.attempts]


# --- Delivered ------------------------------------------------------------------------------


async def test_what_cordial_takes_is_delivered(line):
    """With one attempt on record and the contact's id."""
    await line.create()
    ids = await line.accept(person(outcome="Bold"))
    await line.start()
    (one,) = await line.settled(*ids)
    contact = line.cordial.contact("ann@example.com")
    assert (one.status, one.reason, one.cordial_contact_id) == ("delivered", None, contact.cid)
    (attempt,) = one.attempts
    assert (attempt.outcome, attempt.http_status, attempt.error) == ("delivered", 201, None)
    assert contact.attributes == {"quiz_outcome": "Bold"}
    assert contact.channels["email"].status == "subscribed"


@pytest.mark.parametrize(
    "switch",
    [
        {"update_status": 201},
        {"success_body": "bare"},
        {"email_required": True},
        {"unknown_field": "drop"},
    ],
    ids=lambda each: next(iter(each)),
)
async def test_each_form_of_success_counts(line, switch):
    """An open question of Cordial's contract, answered either way, loses nothing."""
    sandbox = line.cordial.sandbox
    sandbox.switches = sandbox.switches.model_copy(update=switch)
    await line.create(mapping=UNKNOWN_FIELD)
    ids = await line.accept(person(outcome="A"), person(outcome="B", shoe_size="7"))
    await line.start()
    for one in await line.settled(*ids):
        assert one.status == "delivered"
    assert line.cordial.contact("ann@example.com").attributes["quiz_outcome"] == "B"


async def test_what_a_rule_refuses_is_skipped_and_not_sent(line):
    """No attempt, and the reason says which rule."""
    await line.create()
    ids = await line.accept(person(opt_in="no"), {"outcome": "no address"})
    await line.start()
    opted_out, nobody = await line.settled(*ids)
    assert (opted_out.status, opted_out.reason) == ("skipped", "opted_out")
    assert (nobody.status, nobody.reason) == ("skipped", "no_identity")
    assert opted_out.attempts == nobody.attempts == []
    assert line.cordial.bodies() == []


# --- Rejected -------------------------------------------------------------------------------


async def test_success_false_is_no_success(line):
    """A 2xx that says it was not done: given up, with Cordial's words."""
    await line.create()
    line.fail("success_false", email="ann@example.com")
    ids = await line.accept(person(), person("bob"))
    await line.start(concurrency=1)
    ann, bob = await line.settled(*ids)
    assert (ann.status, ann.reason, outcomes(ann)) == ("dead", "rejected", ["rejected"])
    assert "contact not saved" in ann.attempts[0].error
    assert bob.status == "delivered", "one refused contact says nothing of the next"


async def test_a_field_cordial_does_not_know_is_dropped(line):
    """Sent once more without it, and the warning names it."""
    await line.create(mapping=UNKNOWN_FIELD)
    ids = await line.accept(person(outcome="Bold", shoe_size="38"))
    await line.start()
    (one,) = await line.settled(*ids)
    assert one.status == "delivered"
    assert [(each["code"], each["field"]) for each in one.warnings] == [
        ("field_rejected", "shoe_size")
    ]
    assert ["shoe_size" in each for each in line.cordial.bodies()] == [True, False]
    assert line.cordial.contact("ann@example.com").attributes == {"quiz_outcome": "Bold"}


async def test_a_field_cordial_does_not_know_is_dead_where_that_was_chosen(line):
    """Nothing is written, and the field is named."""
    await line.create(mapping=UNKNOWN_FIELD, cordial={"on_rejected_field": "dead"})
    ids = await line.accept(person(outcome="Bold", shoe_size="38"))
    await line.start()
    (one,) = await line.settled(*ids)
    assert (one.status, one.reason, one.warnings) == ("dead", "rejected", ())
    assert "shoe_size" in one.attempts[0].error
    assert len(line.cordial.bodies()) == 1
    assert line.cordial.contact("ann@example.com") is None


async def test_what_cannot_go_without_its_field_is_dead(line):
    """A channel the account lacks names the contact: without it there is nobody to write."""
    line.cordial.sandbox.account.email_channels = ["mail"]
    await line.create()
    ids = await line.accept(person())
    await line.start()
    (one,) = await line.settled(*ids)
    assert (one.status, one.reason) == ("dead", "rejected")
    assert "email" in one.attempts[0].error


@pytest.mark.parametrize("status", [400, 415, 422])
async def test_another_refusal_is_kept_in_cordial_s_words(line, status):
    """Dead at once: the same again would be refused again."""

    async def refuse(_):
        return JSONResponse({"error": True, "message": "It will not do"}, status)

    app = Starlette(routes=[Route("/v2/contacts", refuse, methods=["POST"])])
    with serving(app) as url:
        await line.create(cordial={"account_url": url})
        ids = await line.accept(person())
        await line.start(extra_hosts=frozenset({url.removeprefix("http://")}))
        (one,) = await line.settled(*ids)
        assert (one.status, one.reason, outcomes(one)) == ("dead", "rejected", ["rejected"])
        assert (one.attempts[0].http_status, one.attempts[0].error) == (status, "It will not do")


async def test_an_address_in_cordial_s_words_is_not_kept(line):
    """Messages repeat what they refuse; people are not named in the ledger's errors."""
    await line.create()
    sandbox = line.cordial.sandbox
    sandbox.switches = sandbox.switches.model_copy(update={"unsubscribed": "reject"})
    ids = await line.accept(person("x" * 60, outcome="y" * 200))
    await line.start()
    (one,) = await line.settled(*ids)
    assert "example.com" not in str(one.attempts)


# --- Access refused -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["unauthorized", "forbidden", "not_found"])
async def test_a_refused_access_blocks_and_opens_by_itself_when_mended(line, kind):
    """Nothing is lost and no attempt spent; probed every five minutes, by one."""
    await line.create()
    line.fail(kind)
    ids = await line.accept(person(), person("bob"))
    await line.start(concurrency=1)
    blocked = await line.gate("blocked")
    for cause in ("key", "allow list", "permission", "account URL"):
        assert cause in blocked.state_reason
    assert blocked.state == "blocked"
    line.later(BLOCKED_PROBE - 1)
    assert await line.quiet() == 1
    line.later(1)
    await line.until(lambda: len(line.cordial.bodies()) == 2)
    assert await line.quiet() == 2, "one probe, which failed"
    for one in [await line.find(each) for each in ids]:
        assert (one.status, outcomes(one)) == ("pending", ["access_refused"]), "each was a probe"
    line.mend()
    line.later(BLOCKED_PROBE)
    for one in await line.settled(*ids):
        assert (one.status, outcomes(one)) == ("delivered", ["access_refused", "delivered"])
    assert (await line.integrations.get("spring-quiz")).state == "active"


async def test_new_credentials_open_a_blocked_integration_at_once(line):
    """The worker uses them for what waits."""
    await line.create(cordial={"api_key": "the-wrong-key-1"})
    ids = await line.accept(person())
    await line.start()
    await line.gate("blocked")
    await line.change(cordial={"api_key": API_KEY})
    (one,) = await line.settled(*ids)
    assert (one.status, outcomes(one)) == ("delivered", ["access_refused", "delivered"])
    assert [each.key for each in line.cordial.sandbox.journal] == ["ey-1", "-key"]


async def test_an_account_host_that_is_no_longer_allowed_blocks(line):
    """The key goes nowhere; the reason says how to allow it."""
    await line.create(cordial={"account_url": "http://127.0.0.1:9"})
    ids = await line.accept(person())
    await line.start()
    blocked = await line.gate("blocked")
    assert "CORDIAL_EXTRA_HOSTS" in blocked.state_reason
    assert (await line.find(ids[0])).status == "pending"


# --- Too fast -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "asked", "seconds"),
    [
        ("rate_limited", 7, 7),
        ("rate_limited_reset", 9, 9),
        ("rate_limited", None, 5),
    ],
    ids=["retry_after", "reset", "neither"],
)
async def test_429_holds_the_whole_integration(line, kind, asked, seconds):
    """For as long as Cordial says; all contacts wait, none spends an attempt."""
    await line.create()
    line.fail(kind, times=1, retry_after=asked)
    ids = await line.accept(person(), person("bob"))
    await line.start(concurrency=1)
    held = await line.gate("held")
    assert held.gate.until == line.clock.now + seconds
    assert held.state == "active"
    line.later(seconds - 0.1)
    assert await line.quiet() == 1
    line.later(0.1)
    for one in await line.settled(*ids):
        assert (one.status, outcomes(one)) == ("delivered", ["delivered"])
    assert (await line.integrations.get("spring-quiz")).gate.state == "open"


async def test_a_success_under_way_does_not_cut_the_wait_short(line):
    """It was sent before Cordial asked to wait, and says nothing of that."""
    await line.create()
    line.fail("slow", times=1, seconds=0.3, email="ann@example.com")
    line.fail("rate_limited", times=1, retry_after=60, email="bob@example.com")
    (under_way, _) = await line.accept(person(), person("bob"))
    await line.start()
    await line.gate("held")
    await line.settled(under_way)
    assert (await line.integrations.get("spring-quiz")).gate.state == "held"
    assert await line.quiet() == 2


async def test_429_holds_on_every_replica(line):
    """The gate is in the ledger, not in a process."""
    await line.create()
    line.fail("rate_limited", times=1, retry_after=60)
    first = await line.accept(person())
    await line.start(concurrency=1)
    await line.gate("held")
    await line.start(concurrency=1)
    second = await line.accept(person("bob"))
    assert await line.quiet() == 1
    line.later(60)
    await line.settled(*first, *second)


# --- Unavailable ----------------------------------------------------------------------------

PASSING = ["server_error", "html_502", "cut_body", "reset_after_write", "slow"]


@pytest.mark.parametrize("kind", PASSING)
async def test_what_passes_is_tried_again_quickly_and_then_by_the_schedule(line, kind):
    """Three tries make an attempt; the next is 30 s later, and there again it may pass."""
    await line.create()
    line.fail(kind, times=4, **({"seconds": 5} if kind == "slow" else {}))
    ids = await line.accept(person("late", outcome="Bold"))  # a slow one is written later
    await line.start(answer_within=0.15 if kind == "slow" else 10)
    failing = await line.tried(*ids, 1)
    assert (failing.status, failing.attempts[0].outcome) == ("pending", "unavailable")
    assert failing.attempts[0].error
    assert len(line.cordial.bodies()) == 3
    line.later(29)
    assert await line.quiet() == 3
    line.later(1)
    (one,) = await line.settled(*ids)
    assert (one.status, outcomes(one)) == ("delivered", ["unavailable", "delivered"])
    assert len(line.cordial.bodies()) == 5
    assert line.cordial.contact("late@example.com").attributes == {"quiz_outcome": "Bold"}
    assert len(line.cordial.sandbox.contacts) == 1, "sent again, and still one contact"


async def test_an_account_that_does_not_answer_is_tried_again(line):
    """Nothing listens there: as if Cordial were down."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{unused.getsockname()[1]}"
        await line.create(cordial={"account_url": f"http://{host}"})
        ids = await line.accept(person())
        await line.start(extra_hosts=frozenset({host}), delays=())
        (one,) = await line.settled(*ids)
    assert (one.status, one.reason) == ("dead", "unavailable")
    assert (one.attempts[0].http_status, one.attempts[0].error[:9]) == (None, "no answer")


async def test_after_the_schedule_a_person_must_look(line):
    """Dead, `unavailable`; a replay starts the schedule anew."""
    await line.create()
    line.fail("server_error")
    ids = await line.accept(person())
    await line.start(delays=(1, 2))
    for spent, delay in enumerate((1, 2), 1):
        await line.tried(*ids, spent)
        line.later(delay)
    (one,) = await line.settled(*ids)
    assert (one.status, one.reason, outcomes(one)) == ("dead", "unavailable", ["unavailable"] * 3)
    assert (one.attempts[0].http_status, one.attempts[0].error) == (500, "an error has occurred")
    line.mend()
    await replay(line.database, ids[0], force=False, now=line.clock())
    line.wake()
    (one,) = await line.settled(*ids)
    assert (one.status, len(one.attempts)) == ("delivered", 4)


async def test_five_failures_in_a_row_close_the_gate_for_those_that_wait(line):
    """They spend no attempt; one probe at a time, of one request, finds Cordial back."""
    await line.create()
    line.fail("server_error")
    failing = await line.accept(*(person(f"p{each}") for each in range(5)))
    await line.start()
    closed = (await line.gate("closed")).gate
    assert (closed.failures, closed.until) == (5, line.clock.now + 5)
    waiting = await line.accept(*(person(f"q{each}") for each in range(3)))
    assert await line.quiet() == 15
    line.later(5)
    await line.until(lambda: len(line.cordial.bodies()) == 16)
    assert await line.quiet() == 16, "a probe is one request"
    gate = (await line.integrations.get("spring-quiz")).gate
    assert (gate.state, gate.until) == ("closed", line.clock.now + 10)
    line.mend()
    line.later(10)
    await line.gate("open")
    line.later(30)
    settled = await line.settled(*failing, *waiting)
    assert {one.status for one in settled} == {"delivered"}
    assert [len(one.attempts) for one in settled[:5]] == [2] * 5
    assert sorted(len(one.attempts) for one in settled[5:]) == [1, 1, 2]


async def test_a_probe_that_turns_out_not_to_be_sent_makes_room_for_the_next(line):
    """A skip says nothing of Cordial; those behind it do not wait a minute for each."""
    await line.create(policy={"opt_in": "opted_in_only"})
    line.fail("server_error")
    failing = await line.accept(*(person(f"p{each}") for each in range(5)))
    await line.start(concurrency=5)
    for one in failing:
        await line.tried(one, 1)
    await line.gate("closed")
    line.mend()
    skipped = await line.accept(*(person(f"q{each}", opt_in="no") for each in range(3)))
    line.clock.now += 1
    (waiting,) = await line.accept(person("last"))
    for _ in range(4):
        line.later(5)
        await line.quiet()
    assert {(await line.find(each)).status for each in skipped} == {"skipped"}
    assert (await line.find(waiting)).status == "delivered", "20 s after Cordial came back"


# --- What is decided at the time of sending -------------------------------------------------


async def test_older_answers_do_not_go_over_newer_ones(line):
    """A backfill is skipped as stale; a person may insist."""
    await line.create()
    await line.start()
    newer = await line.accept(person(outcome="New", experience_date="2026-05-02T10:00:00Z"))
    await line.settled(*newer)
    older = await line.accept(person(outcome="Old", experience_date="2026-05-01T10:00:00Z"))
    undated = await line.accept(person(outcome="Undated"))
    stale, sent = await line.settled(*older, *undated)
    assert (stale.status, stale.reason, stale.attempts) == ("skipped", "stale", [])
    assert sent.status == "delivered"
    await replay(line.database, *older, force=True, now=line.clock())
    line.wake()
    (forced,) = await line.settled(*older)
    assert forced.status == "delivered"
    assert [each["quiz_outcome"] for each in line.cordial.bodies()] == ["New", "Undated", "Old"]


async def test_the_yes_of_one_session_brings_somebody_back_once(line):
    """Jebbit sends a session again with more answers; who left in between stays away."""
    await line.create(policy={"resubscribe": "explicit_opt_in"})
    await line.start()
    contacts, now = line.cordial.sandbox.contacts, datetime.now(UTC)

    async def status_after(ago, **answers):
        await line.settled(*await line.accept(said(line, ago, opt_in="yes", **answers)))
        contact = line.cordial.contact("ann@example.com")
        status = contact.channels["email"].status
        contacts.unsubscribe(contact, "email", now)
        return status

    assert await status_after(HOUR) == "subscribed"
    assert await status_after(HOUR, outcome="Bold") == "unsubscribed"
    assert line.cordial.contact("ann@example.com").attributes == {"quiz_outcome": "Bold"}
    assert await status_after(0) == "subscribed", "a yes of later"


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"email_opt_out": "yes"}, None),
        ({"opt_in": "yes", "email_opt_out": "yes"}, None),
        ({"opt_in": "yes", "optIn": "no"}, None),
        ({"opt_in": "maybe", "unsubscribe": "STOP"}, None),
        ({"form": {"name": "opt_in", "value": "no"}}, None),
        ({"page_url": "https://x.example/?opt_in=1", "opt_in": "1", "email_opt_out": "yes"}, None),
        (
            {"page_url": "https://x.example/?email_opt_out=yes", "email_opt_out": "yes"},
            "subscribed",
        ),
        ({"opt_in": "No, thanks"}, None),
        ({"opt_in": "maybe"}, "subscribed"),
        ({"subscription_box": "no"}, "subscribed"),
        ({"sms_opt_out": "yes"}, "subscribed"),
    ],
)
async def test_an_opt_out_under_any_name_leaves_no_older_yes(line, given, status):
    """Nor one in other words. It unsubscribes nobody, but what was said before it does not
    subscribe them afterwards."""
    await line.create(policy={"opt_in": "opted_in_only"})
    await line.start()
    await line.settled(*await line.accept(said(line, HOUR, **given)))
    await line.settled(*await line.accept(said(line, DAY, opt_in="yes")))
    channel = line.cordial.bodies()[-1]["channels"]["email"]
    assert channel.get("subscribeStatus") == status
    await line.settled(*await line.accept(said(line, 0, opt_in="yes", outcome="Bold")))
    assert line.cordial.bodies()[-1]["channels"]["email"]["subscribeStatus"] == "subscribed"


async def test_a_changed_mapping_holds_for_what_waits(line):
    """Decided from the integration as it is at the time of sending."""
    await line.create(state="paused")
    ids = await line.accept(person(outcome="Bold", first="Ann"))
    await line.start()
    assert await line.quiet() == 0, "paused"
    await line.change(
        mapping=[
            {"attribute": "email", "field": "channels.email.address"},
            {"attribute": "first", "field": "first_name"},
        ]
    )
    await line.integrations.resume("spring-quiz", now=line.clock())
    line.wake()
    await line.settled(*ids)
    assert line.cordial.contact("ann@example.com").attributes == {"first_name": "Ann"}


async def test_a_changed_mapping_that_names_another_person_keeps_that_one_s_order(line):
    """What waited under one address goes out in its turn under the other."""
    await line.create(state="paused")
    ids = []
    for each in (
        {"opt_in": "true", "mail": "ann@example.com", "outcome": "1"},
        person(outcome="2"),
        {"opt_in": "true", "mail": "ann@example.com", "outcome": "3"},
    ):
        ids += await line.accept(each)
        line.clock.now += 1  # what came at once is claimed in any order
    await line.change(
        mapping=[
            {"attribute": "mail", "field": "channels.email.address"},
            {"attribute": "outcome", "field": "quiz_outcome"},
        ]
    )
    await line.integrations.resume("spring-quiz", now=line.clock())
    await line.start(concurrency=1)  # each finds out by itself whose it is: here, in turn
    first, second, third = await line.settled(*ids)
    assert [each.status for each in (first, second, third)] == ["delivered", "skipped", "delivered"]
    assert [each["quiz_outcome"] for each in line.cordial.bodies("ann@example.com")] == ["1", "3"]


PHONE = {"attribute": "phone_number", "field": "channels.sms.address"}
EMAIL = {"attribute": "email", "field": "channels.email.address"}
TEXTS = {
    "cordial": {"sms": {"program": "main", "suppress_doi": True}},
    "jebbit": {"attributes": {"sms_opt_in": "sms_opt_in"}},
}
DAY, HOUR = 86_400.0, 3_600.0  # seconds


def said(line, ago, **answers):
    """Return answers of somebody with an email address and a phone, given so many seconds ago."""
    return {
        "email": "ann@example.com",
        "phone_number": "+1 415 555 2671",
        "country_code": "US",
        "experience_date": line.clock() - ago,
        **answers,
    }


@pytest.mark.parametrize("again", [False, True], ids=["waiting", "replayed"])
async def test_a_phone_that_a_changed_mapping_names_is_not_subscribed_over_its_no(line, again):
    """The no came in by another integration, when this one did not know the phone yet."""
    await line.create(**TEXTS, mapping=[EMAIL], state="active" if again else "paused")
    await line.create(**TEXTS, name="Autumn quiz", mapping=[EMAIL, PHONE])
    await line.start()
    answers = {"opt_in": "yes", "sms_opt_in": "yes"}
    (old,) = await line.accept(said(line, DAY, **answers))
    if again:
        await line.settled(old)
    no = await line.accept(said(line, HOUR, sms_opt_in="no"), to="autumn-quiz")
    await line.settled(*no)
    await line.change(mapping=[EMAIL, PHONE])
    await line.integrations.resume("spring-quiz", now=line.clock())
    if again:
        await replay(line.database, old, force=False, now=line.clock())
    line.wake()
    (sent,) = await line.settled(old)
    assert sent.status == "delivered"
    assert line.cordial.bodies("ann@example.com")[-1]["channels"]["sms"] == {
        "address": "14155552671"
    }


async def test_a_no_that_a_changed_mapping_makes_somebody_s_is_heard_before_their_older_yes(line):
    """Nobody knew whose either was when they came in."""
    mapping = [{"attribute": "mail", "field": "channels.email.address"}]
    await line.create(mapping=mapping, state="paused")
    ids = await line.accept(said(line, DAY, opt_in="yes"), said(line, HOUR, opt_in="no"))
    await line.change(mapping=[EMAIL])
    await line.integrations.resume("spring-quiz", now=line.clock())
    await line.start(concurrency=1)
    first, second = await line.settled(*ids)
    assert (first.status, second.reason) == ("delivered", "opted_out")
    assert line.cordial.contact("ann@example.com").channels["email"].status == "none"


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"kind": "answer", "answer": {"status": 400, "body": {"error": True}}}, "dead"),
        ({"kind": "server_error"}, "pending"),
        ({"kind": "unauthorized"}, "pending"),
    ],
)
async def test_a_no_that_cordial_did_not_take_counts_as_it_is_read_now(line, fault, status):
    """Its word became a no after it had come in; an older yes does not subscribe over it."""
    everyone = {"opt_in": "everyone", "opt_in_field": "opt_in_status"}
    await line.create(policy=everyone)
    await line.create(name="Autumn quiz")
    (no,) = await line.accept(said(line, HOUR, opt_in="Nein danke"))
    await line.change(jebbit={"opt_in_labels": {"false": ["Nein danke"]}})
    line.cordial.sandbox.faults.append(Fault(**fault))
    await line.start(delays=[600])

    async def was_refused():
        return (await line.find(no)).attempts

    await line.until(was_refused)
    assert (await line.find(no)).status == status
    line.mend()
    await line.settled(*await line.accept(said(line, DAY, opt_in="yes"), to="autumn-quiz"))
    assert line.cordial.contact("ann@example.com").channels["email"].status == "none"


async def test_a_no_that_waits_for_a_look_up_counts_as_it_is_read_now(line):
    """Cordial does not tell its attributes, so nothing is planned yet: the no is heard already."""
    await line.create(unmapped="known")
    await line.create(name="Autumn quiz")
    (no,) = await line.accept(said(line, HOUR, opt_in="Nein danke"))
    await line.change(jebbit={"opt_in_labels": {"false": ["Nein danke"]}})
    line.fail("answer", path="accountcontactattributes", answer={"status": 500})
    await line.start()
    await line.until(lambda: len(line.cordial.sandbox.journal) == 1)
    assert await line.quiet() == 0
    await line.settled(*await line.accept(said(line, DAY, opt_in="yes"), to="autumn-quiz"))
    assert line.cordial.contact("ann@example.com").channels["email"].status == "none"
    assert (await line.find(no)).status == "pending"


@pytest.mark.parametrize(
    ("answer", "on_opt_out", "address", "status"),
    [
        (None, "leave", "14155552671", "subscribed"),
        ("no", "leave", "14155552671", "subscribed"),
        ("text me?", "leave", "14155552671", "subscribed"),
        ("no", "unsubscribe", "14155559999", "unsubscribed"),
        ("yes", "leave", "14155559999", "subscribed"),
    ],
)
async def test_another_phone_does_not_get_the_texts_that_one_agreed_to(
    line, answer, on_opt_out, address, status
):
    """Cordial may keep the status of a channel where its address changes."""
    await line.create(**TEXTS, mapping=[EMAIL, PHONE], policy={"on_opt_out": on_opt_out})
    await line.start()
    await line.settled(*await line.accept(said(line, HOUR, opt_in="yes", sms_opt_in="yes")))
    other = said(line, 0, opt_in="yes", phone_number="+1 415 555 9999")
    (sent,) = await line.settled(*await line.accept(other | {"sms_opt_in": answer}))
    told = [each["code"] for each in sent.warnings or ()]
    assert told == (["phone_not_texted"] if address == "14155552671" else [])
    texts = line.cordial.contact("ann@example.com").channels["sms"]
    assert (texts.address, texts.programs["main"].status) == (address, status)


async def test_a_no_that_cordial_has_no_field_for_waits_for_a_person(line):
    """Delivered without it, nobody would see that it is still missing in Cordial."""
    await line.create(policy={"opt_in": "everyone", "opt_in_field": "no_such_field"})
    await line.start()
    bob = said(line, 0, opt_in="yes", email="bob@example.com")
    yes, no = await line.settled(*await line.accept(bob, said(line, 0, opt_in="no")))
    assert (yes.status, yes.warnings[0]["code"]) == ("delivered", "field_rejected")
    assert (no.status, no.reason) == ("dead", "rejected")
    assert "no_such_field" in no.attempts[-1].error
    line.cordial.sandbox.account.attributes["no_such_field"] = Attribute(type="string")
    await replay(line.database, no.id, force=False, now=line.clock())
    await line.settled(no.id)
    assert line.cordial.contact("ann@example.com").attributes == {"no_such_field": "no"}


@pytest.mark.parametrize(
    ("on_opt_out", "texted", "told"),
    [("unsubscribe", "yes", ["texts_not_ended"]), ("leave", "yes", []), ("unsubscribe", None, [])],
)
async def test_a_no_to_texts_without_a_number_is_heard(line, on_opt_out, texted, told):
    """No older yes subscribes a number, whether it had texts or not. Where it had, a person is
    told, as Cordial cannot be."""
    await line.create(**TEXTS, mapping=[EMAIL, PHONE], policy={"on_opt_out": on_opt_out})
    await line.create(name="Autumn quiz", **TEXTS, mapping=[EMAIL, PHONE])
    await line.start()
    await line.settled(*await line.accept(said(line, DAY, opt_in="yes", sms_opt_in=texted)))
    no = said(line, HOUR, opt_in="yes", sms_opt_in="no", phone_number=None)
    (sent,) = await line.settled(*await line.accept(no))
    assert [each["code"] for each in sent.warnings or ()] == told
    older = said(line, 2 * HOUR, opt_in="yes", sms_opt_in="yes")
    await line.settled(*await line.accept(older, to="autumn-quiz"))
    texts = line.cordial.bodies()[-1]["channels"]["sms"]
    assert texts == {"address": "14155552671"}
    later = said(line, HOUR / 2, opt_in="yes", sms_opt_in="yes")
    await line.settled(*await line.accept(later, to="autumn-quiz"))
    texts = line.cordial.bodies()[-1]["channels"]["sms"]
    assert texts["programs"]["main"]["subscribeStatus"] == "subscribed"


async def test_texts_that_another_integration_began_are_no_other_phone_s(line):
    """Several may feed one account: the number goes with a yes of its own, and a no is heard."""
    ends = {"on_opt_out": "unsubscribe"}
    await line.create(**TEXTS, mapping=[EMAIL, PHONE], policy=ends)
    await line.create(name="Autumn quiz", **TEXTS, mapping=[EMAIL, PHONE], policy=ends)
    await line.start()
    await line.settled(*await line.accept(said(line, DAY, opt_in="yes", sms_opt_in="yes")))

    async def sent(ago, **answers):
        answers = said(line, ago, opt_in="yes", **answers)
        (sent,) = await line.settled(*await line.accept(answers, to="autumn-quiz"))
        texts = line.cordial.contact("ann@example.com").channels["sms"]
        return texts.address, [each["code"] for each in sent.warnings or ()]

    assert await sent(9, phone_number="+1 415 555 9999") == ("14155552671", ["phone_not_texted"])
    assert await sent(8) == ("14155552671", [])
    no = await sent(7, phone_number=None, sms_opt_in="no")
    assert no == ("14155552671", ["texts_not_ended"])
    older = said(line, HOUR, email=None, sms_opt_in="yes")
    await line.settled(*await line.accept(older, to="autumn-quiz"))
    assert line.cordial.bodies()[-1]["channels"]["sms"] == {"address": "14155552671"}
    other = {"phone_number": "+1 415 555 9999"}
    assert await sent(6, **other, sms_opt_in="yes") == ("14155559999", [])
    assert await sent(5, **other) == ("14155559999", [])


@pytest.mark.parametrize("name", ["Spring quiz", "Autumn quiz"])
async def test_texts_that_a_deleted_integration_began_are_no_other_phone_s(line, name):
    """Cordial goes on sending them; nothing else is known of the contact in the new one."""
    await line.create(**TEXTS, mapping=[EMAIL, PHONE])
    await line.start()
    yes = said(line, 0, opt_in="yes", sms_opt_in="yes")
    await line.settled(*await line.accept(yes))
    await line.integrations.delete("spring-quiz", force=False, now=line.clock())
    stored = await line.create(name=name, **TEXTS, mapping=[EMAIL, PHONE])
    older = said(line, DAY, opt_in="yes", phone_number="+1 415 555 9999")
    (sent,) = await line.settled(*await line.accept(older, to=stored.id))
    assert sent.status == "delivered"
    texts = line.cordial.contact("ann@example.com").channels["sms"]
    assert (texts.address, texts.programs["main"].status) == ("14155552671", "subscribed")
    (again,) = await line.settled(*await line.accept(yes, to=stored.id))
    assert again.status == "delivered"


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"sms_opt_in": "no"}, None),
        ({"text_opt_in": "No thanks"}, None),
        ({"opt_out": "yes"}, None),
        ({"sms_opt_out": "yes", "phone_number": None}, None),
        ({"sms_opt_out": "yes", "url_params": "sms_opt_out=yes"}, "subscribed"),
        ({"email_opt_out": "yes", "newsletter_opt_in": "no", "optin_2": "no"}, "subscribed"),
        ({"opt_in": "no", "sms_opt_in": "yes"}, "subscribed"),
    ],
)
async def test_a_no_to_texts_is_heard_where_nobody_is_asked_for_them(line, given, status):
    """The integration names no SMS opt-in; another one brings an older yes."""
    await line.create(mapping=[EMAIL, PHONE])
    await line.create(name="Autumn quiz", **TEXTS, mapping=[EMAIL, PHONE])
    await line.start()
    await line.settled(*await line.accept(said(line, HOUR, **given)))
    older = said(line, DAY, opt_in="yes", sms_opt_in="yes")
    await line.settled(*await line.accept(older, to="autumn-quiz"))
    texts = line.cordial.bodies()[-1]["channels"]["sms"].get("programs", {"main": {}})
    assert texts["main"].get("subscribeStatus") == status


async def test_a_phone_whose_yes_cordial_refuses_does_not_get_the_texts_of_another(line):
    """It may have stopped texts itself; only the person's email and answers are sent."""
    await line.create(**TEXTS, mapping=[EMAIL, PHONE])
    await line.start()
    await line.settled(*await line.accept(said(line, HOUR, opt_in="yes", sms_opt_in="yes")))
    words = {"channels.sms.programs.main.subscribeStatus": ["is unsubscribed"]}
    refusal = {"status": 422, "body": {"error": True, "messages": {"validationErrors": words}}}
    line.fail("answer", times=1, answer=refusal)
    other = said(line, 0, opt_in="yes", sms_opt_in="yes", phone_number="+1 415 555 9999")
    (sent,) = await line.settled(*await line.accept(other))
    assert sent.status == "delivered"
    texts = line.cordial.contact("ann@example.com").channels["sms"]
    assert (texts.address, texts.programs["main"].status) == ("14155552671", "subscribed")


@pytest.mark.parametrize(
    ("asked", "fault", "then", "address"),
    [
        (["first"], "reset_after_write", "other", "14155552671"),
        (["first"], "reset_after_write", "first", "14155552671"),
        (["first", "first"], "server_error", "first", "14155552671"),
        (["first", "other"], "reset_after_write", "first", "14155559999"),
        (["first", "other"], "server_error", "other", "14155552671"),
    ],
)
async def test_a_phone_that_may_have_been_subscribed_counts_as_such(
    line, asked, fault, then, address
):
    """Cordial may have written the contact whose answer was lost, and who was given up."""
    numbers = {"first": "+1 415 555 2671", "other": "+1 415 555 9999"}
    await line.create(**TEXTS, mapping=[EMAIL, PHONE])
    await line.start(delays=[])
    *before, last = asked
    for number in before:
        yes = said(line, DAY, opt_in="yes", sms_opt_in="yes", phone_number=numbers[number])
        await line.settled(*await line.accept(yes))
    line.fail(fault)
    yes = said(line, HOUR, opt_in="yes", sms_opt_in="yes", phone_number=numbers[last])
    (lost,) = await line.settled(*await line.accept(yes))
    assert (lost.status, lost.reason) == ("dead", "unavailable")
    line.mend()
    silent = said(line, 0, opt_in="yes", phone_number=numbers[then])
    (sent,) = await line.settled(*await line.accept(silent))
    assert sent.status == "delivered"
    texts = line.cordial.contact("ann@example.com").channels["sms"]
    assert (texts.address, texts.programs["main"].status) == (address, "subscribed")


async def test_a_phone_that_cordial_refused_is_not_taken_for_subscribed(line):
    """Another one without a yes is then sent."""
    await line.create(**TEXTS, mapping=[EMAIL, PHONE])
    await line.start()
    line.fail("answer", times=1, answer={"status": 400, "body": {"error": True}})
    yes = said(line, HOUR, opt_in="yes", sms_opt_in="yes")
    (refused,) = await line.settled(*await line.accept(yes))
    assert refused.reason == "rejected"
    silent = said(line, 0, opt_in="yes", phone_number="+1 415 555 9999")
    await line.settled(*await line.accept(silent))
    texts = line.cordial.contact("ann@example.com").channels["sms"]
    assert texts.address == "14155559999"


async def test_another_phone_is_sent_where_no_texts_go_to_the_one_before(line):
    """Nobody agreed to them, or they were ended; and the number itself changes nothing."""
    obeys = {"on_opt_out": "unsubscribe"}
    await line.create(**TEXTS, mapping=[EMAIL, PHONE], policy=obeys)
    await line.start()
    first, other = "+1 415 555 2671", "+1 415 555 9999"
    for number, (phone, answer) in enumerate(
        [(first, None), (other, None), (first, "yes"), (first, None), (first, "no"), (other, None)]
    ):
        answers = {"opt_in": "yes", "phone_number": phone, "sms_opt_in": answer}
        (sent,) = await line.settled(*await line.accept(said(line, -number, **answers)))
        assert not sent.warnings
        texts = line.cordial.contact("ann@example.com").channels["sms"]
        assert texts.address == phone.replace(" ", "").removeprefix("+")


@pytest.mark.parametrize("texts", [None, "no"])
async def test_an_older_no_puts_no_older_phone_in_the_place_of_a_newer_one(line, texts):
    """The older one would get the texts that the newer one agreed to, or end them."""
    obeys = {"opt_in": "everyone", "opt_in_field": "opt_in_status", "on_opt_out": "unsubscribe"}
    await line.create(**TEXTS, mapping=[EMAIL, PHONE], policy=obeys)
    await line.start()
    await line.settled(*await line.accept(said(line, 0, opt_in="yes", sms_opt_in="yes")))
    older = said(line, DAY, opt_in="no", sms_opt_in=texts, phone_number="+1 415 555 9999")
    await line.settled(*await line.accept(older))
    contact = line.cordial.contact("ann@example.com")
    assert contact.channels["email"].status == "unsubscribed"
    texts = contact.channels["sms"]
    assert (texts.address, texts.programs["main"].status) == ("14155552671", "subscribed")


async def test_a_no_to_texts_is_none_to_email(line):
    """Also where the phone number is all that somebody is known by."""
    mapping = [PHONE, {"attribute": "newsletter", "field": "weekly_deals", "type": "list"}]
    await line.create(**TEXTS, mapping=mapping)
    ids = await line.accept(
        said(line, 0, opt_in="yes", sms_opt_in="no", newsletter="yes"),
    )
    await line.start()
    (sent,) = await line.settled(*ids)
    assert not sent.warnings
    (contact,) = line.cordial.sandbox.contacts
    assert contact.lists == {"weekly_deals"}


async def test_unmapped_attributes_flow_where_the_account_knows_them(line):
    """Under their own name; technical ones and strangers never."""
    line.cordial.sandbox.account.attributes["favorite"] = Attribute(type="string")
    line.cordial.sandbox.account.attributes["ip_address"] = Attribute(type="string")
    await line.create(unmapped="known")
    ids = await line.accept(person(favorite="red", stranger="x", ip_address="10.0.0.1"))
    await line.start()
    (one,) = await line.settled(*ids)
    assert one.status == "delivered"
    assert line.cordial.contact("ann@example.com").attributes == {"favorite": "red"}


async def test_an_account_that_does_not_tell_its_attributes_is_tried_again(line):
    """Before the contact is sent: half of it would look like all of it."""
    await line.create(unmapped="known")
    line.fail("server_error", times=1)
    ids = await line.accept(person(first_name="Ann"))
    await line.start()
    assert await line.quiet() == 0
    line.later(30)
    (one,) = await line.settled(*ids)
    assert (one.status, outcomes(one)) == ("delivered", ["delivered"]), "it was a wait"
    assert line.cordial.contact("ann@example.com").attributes == {"first_name": "Ann"}


async def test_an_integration_made_anew_under_its_name_is_sent_to_as_it_is_now(line):
    """Nothing of the deleted one is remembered: not its key, its account, nor its mapping."""
    await line.create(cordial={"api_key": "sandbox-key"})
    await line.start()
    await line.settled(*await line.accept(person(outcome="Old")))
    await line.integrations.delete("spring-quiz", force=False, now=line.clock())
    line.cordial.sandbox.account.api_keys["another-key-2"] = None
    mapping = [
        {"attribute": "email", "field": "channels.email.address"},
        {"attribute": "outcome", "field": "comment"},
    ]
    await line.create(cordial={"api_key": "another-key-2"}, mapping=mapping)
    await line.settled(*await line.accept(person("bob", outcome="New")))
    assert line.cordial.contact("bob@example.com").attributes == {"comment": "New"}
    assert [each.key for each in line.cordial.sandbox.journal] == ["-key", "ey-2"]


# --- One that Cordial's edge refuses for what it holds ----------------------------------------

POISON = {"outcome": "<script>"}


async def test_one_refused_submission_holds_up_nobody(line):
    """Its refusal shuts the gate once; others are probed with, and the third one is its end."""
    await line.create()
    line.fail("html_403", holding="<script>")
    (poison,) = await line.accept(person("eve", **POISON))
    await line.start(concurrency=1)
    await line.gate("blocked")
    others = await line.accept(person(), person("bob"))  # after it, and due later
    line.later(BLOCKED_PROBE)
    for one in await line.settled(*others):
        assert one.status == "delivered"
    await line.tried(poison, 2)
    line.later(DELAYS[0])  # its second refusal is followed by a wait of its own
    (one,) = await line.settled(poison)
    assert (one.status, one.reason) == ("dead", "rejected")
    assert outcomes(one) == ["access_refused"] * 3
    assert "refuses this one alone" in one.attempts[-1].error
    assert (await line.integrations.get("spring-quiz")).gate.state == "open"
    (late,) = await line.settled(*await line.accept(person("late")))
    assert late.status == "delivered"


async def test_it_holds_up_nobody_either_where_the_worker_begins_anew(line):
    """What is known of it is in the ledger, for every replica."""
    await line.create()
    line.fail("html_403", holding="<script>")
    (poison,) = await line.accept(person("eve", **POISON))
    await line.start()
    await line.gate("blocked")
    await line.stop()
    others = await line.accept(person())
    for _ in range(3):
        await line.start()
        line.later(BLOCKED_PROBE)
        await line.settled(*others)
        await line.quiet()
        await line.stop()
    assert (await line.find(poison)).status == "dead"


async def test_a_refusal_of_all_kills_none(line):
    """Where nothing passes meanwhile, it is the account's: all wait, however often it is probed."""
    await line.create()
    line.fail("forbidden")
    ids = await line.accept(person(), person("bob"))
    await line.start()
    await line.gate("blocked")
    before = await line.quiet()
    for probes in range(1, 7):
        line.later(BLOCKED_PROBE)
        await line.until(lambda: len(line.cordial.bodies()) == before + probes)  # noqa: B023
        await line.gate("blocked")
        await line.quiet()
    assert {(await line.find(each)).status for each in ids} == {"pending"}
    line.mend()
    line.later(BLOCKED_PROBE)
    for one in await line.settled(*ids):
        assert one.status == "delivered"


# --- The look-up before ---------------------------------------------------------------------


def answer(status, body=None, **more):
    return {"answer": {"status": status, "body": body}, **more}


@pytest.mark.parametrize(
    ("given", "gate"),
    [
        (answer(422, {"messages": "no"}), "open"),
        (answer(400, {"message": "no"}), "open"),
        (answer(403, {"error": "Access Denied"}), "blocked"),
        (answer(404, {"error": "'/v2/accountcontactattributes' is not found."}), "blocked"),
        (answer(500, {"error": "an error has occurred"}), "open"),
        (answer(429, {"error": "Too Many Requests"}), "held"),
    ],
    ids=lambda value: str(value["answer"]["status"]) if isinstance(value, dict) else value,
)
async def test_a_look_up_that_fails_is_a_wait(line, given, gate):
    """It says nothing of the contact: no attempt, no end; the contact goes when it is mended."""
    await line.create(unmapped="known")
    line.fail("answer", **given)
    ids = await line.accept(person(first_name="Ann"))
    await line.start()
    await line.until(lambda: len(line.cordial.sandbox.journal) == 1)
    await line.gate(gate)
    assert await line.quiet() == 0
    found = await line.find(*ids)
    assert (found.status, found.attempts) == ("pending", [])
    line.mend()
    line.later(BLOCKED_PROBE)
    (one,) = await line.settled(*ids)
    assert (one.status, outcomes(one)) == ("delivered", ["delivered"])
    assert line.cordial.contact("ann@example.com").attributes == {"first_name": "Ann"}


async def test_what_was_known_stands_for_an_hour(line):
    """A look-up that fails later holds nobody up; after an hour it does."""
    await line.create(unmapped="known")
    await line.start()
    await line.settled(*await line.accept(person(first_name="Ann")))

    def fail():
        line.fail("answer", path="accountcontactattributes", **answer(500, {"error": "no"}))

    fail()
    line.later(3599)
    (bob,) = await line.settled(*await line.accept(person("bob", first_name="Bob")))
    assert bob.status == "delivered"
    assert line.cordial.contact("bob@example.com").attributes == {"first_name": "Bob"}
    line.later(31)
    (eve,) = await line.accept(person("eve", first_name="Eve"))
    assert await line.quiet() == 2
    assert (await line.find(eve)).status == "pending"


async def test_an_account_without_attributes_takes_none(line):
    """Cordial says 404 where there is nothing: no error, and unmapped attributes stay behind."""
    await line.create(unmapped="known")
    missing = answer(404, {"error": True, "errorKey": "RECORD_NOT_FOUND"}, times=1)
    line.fail("answer", **missing)
    await line.start()
    (one,) = await line.settled(*await line.accept(person(first_name="Ann")))
    assert one.status == "delivered"
    assert line.cordial.contact("ann@example.com").attributes == {}
