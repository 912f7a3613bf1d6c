"""Integrations are stored whole, their secrets unreadable without the key."""

import asyncio
import base64
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import select, text

from app.ledger import changes
from app.ledger.accepting import IntegrationGone, accept
from app.ledger.documents import document_of
from app.ledger.integrations import (
    Gate,
    Integrations,
    NameTaken,
    NotAnswered,
    Setup,
    StillPending,
    UnknownIntegration,
    VersionChanged,
)
from app.ledger.schema import GateState, integrations
from app.ledger.vault import Vault, WrongSecretKey
from app.rules.integration import Integration, merge_patch
from tests.conftest import SECRET_KEY
from tests.ledger.conftest import (
    NOW,
    SOMEBODY_WAITS,
    arrival,
    item,
    new_integration,
    on_postgresql,
    until,
)

CLOSED = Gate(GateState.CLOSED, "HTTP 503", NOW, NOW + 5, 5)
BLOCKED = Gate(GateState.BLOCKED, "HTTP 401", NOW, NOW + 300)
HELD = Gate(GateState.HELD, "HTTP 429", NOW, NOW + 60)


def patched(**patch):
    """Return the change that lays a patch upon an integration, as the API does."""
    return lambda before: Integration.model_validate(merge_patch(document_of(before), patch))


async def test_an_integration_comes_back_as_it_was_stored(ledger):
    """Secrets too; the id is the slug of the name."""
    new = new_integration(name="Wîld  Quiz!", jebbit={"region": "eu"}, unmapped="known")
    made = await ledger.integrations.create(new, paused_reason="look first", now=NOW)
    assert made == await ledger.integrations.get(made.id)
    assert document_of(made.integration) == document_of(new)
    assert (made.state, made.state_reason) == ("paused", "look first")
    assert (made.created_at, made.updated_at, made.gate) == (NOW, NOW, Gate())


async def test_the_longest_name_has_an_id_that_fits(ledger):
    """Though some of its letters become several."""
    new = new_integration(name="\u2122" * 100)
    made = await ledger.integrations.create(new, paused_reason=None, now=NOW)
    assert (await ledger.integrations.get(made.id)).integration.name == new.name


WORDS_OF_0_1_0 = set(
    """
    account_url address_format attribute attributes auto_subscribe campaign_id campaign_name
    campaigns channel collect cordial country default default_phone_country email_channel eu exclude
    false field identify_by include jebbit keyword mapping name null_is_consent occurred_at
    on_opt_out on_rejected_field opt_in opt_in_field opt_in_labels policy program region
    requests_per_second resubscribe separator session sms sms_opt_in suppress_doi suppress_triggers
    true trusted_url_params type unmapped
    """.split()
)


def words(document):
    """Yield every key of a document."""
    for each in document if isinstance(document, list) else ():
        yield from words(each)
    for key, value in document.items() if isinstance(document, dict) else ():
        yield key
        yield from words(value)


async def test_a_replica_of_the_version_before_can_read_what_we_store(ledger):
    """It refuses words that it does not know: they are stored if a person chose them, only."""
    mapping = [
        {"attribute": "email", "field": "channels.email.address"},
        {"attribute": "news", "field": "News", "type": "list"},
    ]
    usual = await ledger.create("Usual", mapping=mapping)
    mapping[1]["lists_need"], policy = "yes", {"opt_in_guard": False}
    chosen = await ledger.create("Chosen", mapping=mapping, policy=policy)
    async with ledger.database.read() as connection:
        found = await connection.execute(select(integrations.c.id, integrations.c.config))
        stored = {name: set(words(config)) - WORDS_OF_0_1_0 for name, config in found}
    assert stored["usual"] == set()
    assert stored["chosen"] == {"lists_need", "opt_in_guard"}
    assert usual.integration.policy.opt_in_guard
    assert not chosen.integration.policy.opt_in_guard
    assert [each.lists_need for each in chosen.integration.mapping] == ["not_no", "yes"]


async def test_all_are_listed_by_id(ledger):
    """With what each is configured to."""
    await ledger.create("Autumn quiz")
    assert [each.id for each in await ledger.integrations.list()] == ["autumn-quiz", "spring-quiz"]


async def test_a_name_is_used_once(ledger):
    """Names that give one id would share a webhook address."""
    with pytest.raises(NameTaken, match="spring-quiz"):
        await ledger.create("SPRING   quiz")
    assert len(await ledger.integrations.list()) == 1


@pytest.mark.parametrize("name", ["nowhere", "", "../etc", "a" * 101, "x\0y", "Ünknown"])
async def test_an_unknown_id_is_told(ledger, name):
    """Whatever it looks like, and for whatever is asked."""
    one = ledger.integrations
    with pytest.raises(UnknownIntegration):
        await one.get(name)
    with pytest.raises(UnknownIntegration):
        await one.recent(name)
    with pytest.raises(UnknownIntegration):
        await one.change(name, patched(), now=NOW)
    with pytest.raises(UnknownIntegration):
        await one.pause(name, reason="r", now=NOW)
    with pytest.raises(UnknownIntegration):
        await one.resume(name, now=NOW)
    with pytest.raises(UnknownIntegration):
        await one.delete(name, force=True, now=NOW)
    assert await one.turn_gate(name, lambda gate: gate, now=NOW) is None


async def test_a_change_makes_another_version(ledger):
    """A worker that knows an older one sees that it must look again; so it does when the
    integration is deleted and made anew under its name."""
    before = await ledger.integrations.get("spring-quiz")
    change = patched(policy={"opt_in": "opted_in_only"})
    changed = await ledger.integrations.change("spring-quiz", change, now=NOW + 9)
    assert changed.version != before.version
    assert changed.integration.policy.opt_in == "opted_in_only"
    assert (changed.created_at, changed.updated_at) == (NOW, NOW + 9)
    await ledger.integrations.delete("spring-quiz", force=False, now=NOW)
    anew = await ledger.create("Spring quiz")
    assert anew.version not in (before.version, changed.version)


async def test_a_change_that_is_refused_changes_nothing(ledger):
    """What the change raises comes through, and the old configuration stands."""
    before = await ledger.integrations.get("spring-quiz")
    with pytest.raises(ValueError, match="opt_in"):
        await ledger.integrations.change(
            "spring-quiz", patched(policy={"opt_in": "perhaps"}), now=NOW
        )
    assert await ledger.integrations.get("spring-quiz") == before


async def test_what_was_looked_at_is_what_is_changed_and_resumed(ledger):
    """A version that is another's by now, or one that sends by now or no more, stays as it is."""
    before = await ledger.integrations.get("spring-quiz")
    meant = {"now": NOW, "version": before.version}
    with pytest.raises(VersionChanged):
        await ledger.integrations.change(
            "spring-quiz", patched(unmapped="known"), paused=not before.paused, **meant
        )
    await ledger.integrations.pause("spring-quiz", reason="by a person", now=NOW)
    changed = await ledger.integrations.change(
        "spring-quiz", patched(unmapped="known"), paused=True, **meant
    )
    with pytest.raises(VersionChanged):
        await ledger.integrations.resume("spring-quiz", **meant)
    assert await ledger.integrations.get("spring-quiz") == changed
    resumed = await ledger.integrations.resume("spring-quiz", now=NOW, version=changed.version)
    assert resumed.state == "active"


@pytest.mark.parametrize("gate", [CLOSED, BLOCKED, HELD], ids=["closed", "blocked", "held"])
@pytest.mark.parametrize(
    ("patch", "opens"),
    [
        ({"cordial": {"api_key": "another-key-0001"}}, True),
        ({"cordial": {"account_url": "https://usw2.admin.cordial.io"}}, True),
        ({"cordial": {"requests_per_second": 3}}, False),
        ({"policy": {"opt_in": "opted_in_only"}}, False),
        ({"jebbit": {"webhook_secrets": ["another-secret-0001"]}}, False),
    ],
    ids=["key", "account", "pace", "policy", "webhook_secret"],
)
async def test_new_credentials_open_a_shut_gate(ledger, gate, patch, opens):
    """What the old account did says nothing of the new one; other changes mend no account."""
    await ledger.integrations.turn_gate("spring-quiz", lambda _: gate, now=NOW)
    changed = await ledger.integrations.change("spring-quiz", patched(**patch), now=NOW)
    assert changed.gate == (Gate() if opens else gate)


@pytest.mark.parametrize(
    ("patch", "turns"),
    [
        ({"cordial": {"api_key": "another-key-0001"}}, False),
        ({"cordial": {"account_url": "https://usw2.admin.cordial.io"}}, False),
        ({"cordial": {"requests_per_second": 3}}, True),
        ({"policy": {"opt_in": "opted_in_only"}}, True),
    ],
    ids=["key", "account", "pace", "policy"],
)
async def test_what_an_account_said_turns_no_gate_of_another(ledger, patch, turns):
    """A request was under way by the old key when somebody gave a new one."""
    one = ledger.integrations
    asked = await one.get("spring-quiz")
    await one.change("spring-quiz", patched(**patch), now=NOW)
    turned = await one.turn_gate("spring-quiz", lambda _: BLOCKED, now=NOW, asked=asked)
    assert turned == (await one.get("spring-quiz")).gate == (BLOCKED if turns else Gate())


async def test_pausing_counts_before_blocked_and_resuming_opens_the_gate(ledger):
    """The state says what a person did first; resuming tries again at once."""
    one = ledger.integrations
    await one.turn_gate("spring-quiz", lambda _: BLOCKED, now=NOW)
    blocked = await one.get("spring-quiz")
    assert (blocked.state, blocked.state_reason) == ("blocked", "HTTP 401")
    paused = await one.pause("spring-quiz", reason="Paused by a person.", now=NOW + 1)
    assert (paused.state, paused.state_reason) == ("paused", "Paused by a person.")
    resumed = await one.resume("spring-quiz", now=NOW + 2)
    assert (resumed.state, resumed.state_reason, resumed.gate) == ("active", None, Gate())


async def test_a_recent_answer_is_at_most_a_second_old(ledger, database):
    """Webhooks do not ask the database each time, yet see a change soon; one's own at once."""
    clock = [0.0]
    mine = Integrations(database, Vault([SECRET_KEY]), clock=lambda: clock[0])
    before = await mine.recent("spring-quiz")
    changed = await ledger.integrations.change("spring-quiz", patched(unmapped="known"), now=NOW)
    clock[0] = 1.0
    assert await mine.recent("spring-quiz") == before
    clock[0] = 1.1
    assert await mine.recent("spring-quiz") == changed
    own = await mine.change("spring-quiz", patched(unmapped="ignore"), now=NOW)
    assert await mine.recent("spring-quiz") == own


async def test_what_is_doubted_is_read_at_most_once_a_second(ledger, database):
    """A change made elsewhere is found at once, and a flood of doubts costs no more."""
    clock = [0.0]
    mine = Integrations(database, Vault([SECRET_KEY]), clock=lambda: clock[0])
    await mine.recent("spring-quiz")
    changed = await ledger.integrations.change("spring-quiz", patched(unmapped="known"), now=NOW)
    assert await mine.doubted("spring-quiz") == changed
    clock[0] = 1.0
    assert await mine.doubted("spring-quiz") is None
    clock[0] = 1.1
    assert await mine.doubted("spring-quiz") == changed


async def test_many_who_ask_at_once_share_one_reading(ledger, database):
    """After a change, all that waits asks for it: each reading decrypts and takes a connection."""
    mine = Integrations(database, Vault([SECRET_KEY]))
    before = await mine.get("spring-quiz")
    changed = await ledger.integrations.change("spring-quiz", patched(unmapped="known"), now=NOW)
    found = await asyncio.gather(
        *[mine.at_least("spring-quiz", changed.version) for _ in range(50)]
    )
    assert found[0] == changed
    assert all(each is found[0] for each in found)
    assert await mine.at_least("spring-quiz", before.version) == changed


async def test_which_ids_exist_is_asked_at_most_once_a_second(ledger, database):
    """Whoever makes up ids costs no reads; a new integration is found within a second."""
    clock = [0.0]
    mine = Integrations(database, Vault([SECRET_KEY]), clock=lambda: clock[0])
    with pytest.raises(UnknownIntegration):
        await mine.recent("summer-quiz")
    created = await ledger.create("Summer quiz")
    clock[0] = 1.0
    for name in ("autumn-quiz", "summer-quiz"):
        with pytest.raises(UnknownIntegration):
            await mine.recent(name)
    clock[0] = 1.1
    assert await mine.recent("summer-quiz") == created


async def test_deleting_is_refused_while_submissions_wait(ledger):
    """The count says how many; nothing is lost by accident."""
    await ledger.accept(item("ann", "1"), item("bob", "1"))
    with pytest.raises(StillPending) as refused:
        await ledger.integrations.delete("spring-quiz", force=False, now=NOW)
    assert refused.value.count == 2
    assert len(await ledger.claim()) == 2


@on_postgresql
async def test_deleting_waits_for_what_is_being_settled(ledger, another_database):
    """It locks contacts before submissions, and contacts in order, as all others do."""
    await ledger.accept(*(item(name, "1") for name in ("ann", "bob")))
    lock = "SELECT 1 FROM contacts WHERE contact_key = '{}' FOR UPDATE"
    async with (await another_database()).write() as settling:
        await settling.execute(text(lock.format("ann")))
        deleting = asyncio.create_task(
            ledger.integrations.delete("spring-quiz", force=True, now=NOW)
        )
        await until(ledger, SOMEBODY_WAITS)
        await settling.execute(text(lock.format("bob")))
        await settling.execute(text("UPDATE submissions SET tries = 1"))
    await deleting
    assert await ledger.rows("status", "tries") == [("dead", 1)] * 2


async def test_deleting_by_force_keeps_the_submissions_as_dead(ledger):
    """Delivered ones stay as they were; nothing more is accepted or claimed."""
    await ledger.accept(item("ann", "1"))
    await ledger.deliver(await ledger.claim())
    await ledger.accept(item("bob", "1"))
    await ledger.integrations.delete("spring-quiz", force=True, now=NOW + 7)
    assert await ledger.rows("status", "reason") == [
        ("delivered", None),
        ("dead", "integration_deleted"),
    ]
    assert (await ledger.rows("settled_at"))[1] == NOW + 7
    assert await ledger.claim() == []
    (answer,) = await accept(ledger.database, [arrival(item("cay", "1"))])
    assert isinstance(answer, IntegrationGone)
    assert await ledger.integrations.list() == []


async def test_an_integration_without_pending_submissions_is_deleted(ledger):
    """What is settled does not stand in the way; the name is free again."""
    await ledger.accept(item("ann", "1"))
    await ledger.deliver(await ledger.claim())
    await ledger.integrations.delete("spring-quiz", force=False, now=NOW)
    await ledger.create("Spring quiz")


# --- Secrets at rest ------------------------------------------------------------------------

API_KEY, WEBHOOK_SECRET = "api-key-in-the-clear-1", "webhook-secret-in-the-clear-2"


async def raw(ledger, database_url):
    """Return all that the database keeps: its files, or every row of every table as text."""
    if ledger.database.is_sqlite:
        folder = Path(database_url.removeprefix("sqlite:///")).parent
        return b"".join(each.read_bytes() for each in folder.glob("ledger.db*"))
    names = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    async with ledger.database.read() as connection:
        tables = list(await connection.scalars(text(names)))
        rows = [
            row
            for table in tables
            for row in await connection.scalars(text(f'SELECT "{table}"::text FROM "{table}"'))
        ]
    assert "data_keys" in tables
    return "\n".join(rows).encode()


async def test_secrets_are_not_to_be_read_in_the_database(ledger, database_url):
    """Not in the clear nor thinly wrapped, in tables or in files; the rest of the config is."""
    secrets = {"api_key": API_KEY}
    await ledger.create(
        "Autumn quiz", cordial=secrets, jebbit={"webhook_secrets": [WEBHOOK_SECRET]}
    )
    kept = await raw(ledger, database_url)
    assert b"Autumn quiz" in kept
    for secret in (API_KEY.encode(), WEBHOOK_SECRET.encode(), SECRET_KEY.encode()):
        for form in (secret, secret.hex().encode(), base64.b64encode(secret)[:-4]):
            assert form not in kept


async def test_another_secret_key_is_refused(ledger, database):
    """By the ledger's start and by each look at an integration; the message says what to do."""
    await database.pseudonyms(Vault([SECRET_KEY]))
    other = Vault(["another-key-of-at-least-32-characters"])
    with pytest.raises(WrongSecretKey, match="add the old one"):
        await database.pseudonyms(other)
    with pytest.raises(WrongSecretKey):
        await Integrations(database, other).get("spring-quiz")
    with pytest.raises(WrongSecretKey):
        await Integrations(database, other).list()


async def test_a_new_secret_key_is_put_before_the_old_one(ledger, database):
    """With both, everything is read; what is written from then on needs the new one alone."""
    new_key = "the-new-key-of-at-least-32-characters"
    before = await database.pseudonyms(Vault([SECRET_KEY]))
    both = Vault([new_key, SECRET_KEY])
    after = await database.pseudonyms(both)
    assert after.email("ann@example.com") == before.email("ann@example.com")
    rotated = Integrations(database, both)
    assert json.dumps(document_of((await rotated.get("spring-quiz")).integration))
    changed = await rotated.change("spring-quiz", lambda same: same, now=NOW)
    assert await Integrations(database, Vault([new_key])).get("spring-quiz") == changed


async def test_processes_that_start_at_once_agree_on_the_pseudonyms(database, another_database):
    """The key is made once; a person has the same key everywhere."""
    others = [await another_database() for _ in range(2)]
    vault = Vault([SECRET_KEY])
    made = [await each.pseudonyms(vault) for each in (database, *others)]
    assert len({each.email("ann@example.com") for each in made}) == 1


# --- The log ------------------------------------------------------------------------------------


@pytest.fixture
def gate_lines(monkeypatch):
    """The lines that tell of a gate."""
    said = []

    class Log:
        def info(self, event, **fields):
            said.append(("info", event, fields))

        def warning(self, event, **fields):
            said.append(("warning", event, fields))

    monkeypatch.setattr("app.ledger.integrations.log", Log())
    return said


async def test_each_change_of_a_gate_is_a_line(ledger, gate_lines):
    """Shutting warns; opening says why; a time is one that people read."""
    one, now = ledger.integrations, {"now": NOW}
    await one.turn_gate("spring-quiz", lambda _: BLOCKED, **now)
    await one.turn_gate("spring-quiz", lambda _: Gate(), **now)
    await one.turn_gate("spring-quiz", lambda _: CLOSED, **now)
    await one.resume("spring-quiz", **now)
    await one.turn_gate("spring-quiz", lambda _: BLOCKED, **now)
    await one.change("spring-quiz", patched(cordial={"api_key": "another-key-0001"}), **now)
    told = [(level, line["was"], line["state"], line["reason"]) for level, _, line in gate_lines]
    assert told == [
        ("warning", "open", "blocked", (BLOCKED.reason or "").partition(":")[0]),
        ("info", "blocked", "open", "Cordial answers again"),
        ("warning", "open", "closed", (CLOSED.reason or "").partition(":")[0]),
        ("info", "closed", "open", "resumed"),
        ("warning", "open", "blocked", (BLOCKED.reason or "").partition(":")[0]),
        ("info", "blocked", "open", "its Cordial account was changed"),
    ]
    until = [line["until"] for _, _, line in gate_lines if line["until"]]
    assert all(datetime.fromisoformat(each).tzinfo for each in until)
    assert {event for _, event, _ in gate_lines} == {"gate"}


async def test_failures_at_an_open_gate_are_no_lines_of_it(ledger, gate_lines):
    """A plain 500 of Cordial is told by its attempt alone, until the gate closes."""
    for failures in (1, 2, 0):
        await ledger.integrations.turn_gate(
            "spring-quiz", lambda _, n=failures: Gate(failures=n), now=NOW
        )
    assert gate_lines == []


async def test_the_log_does_not_repeat_what_cordial_says(ledger, gate_lines):
    """It may hold what a person answered."""
    gate = replace(BLOCKED, reason="Cordial answered 401: Ann is not allowed")
    await ledger.integrations.turn_gate("spring-quiz", lambda _: gate, now=NOW)
    [(_, _, line)] = gate_lines
    assert line["reason"] == "Cordial answered 401"


async def test_versions_outlive_the_integration(ledger):
    """Decisions name the version that they were made by; one of the same name begins anew."""
    first = await ledger.integrations.get("spring-quiz")
    await ledger.integrations.change("spring-quiz", patched(unmapped="known"), now=NOW, by="ann")
    await ledger.integrations.delete("spring-quiz", force=True, now=NOW)
    await ledger.create("Spring quiz")
    kept = await changes.newest(ledger.database, "spring-quiz", 10)
    assert [each.made.kind for each in kept] == ["created", "changed", "created"]
    assert [each.made.by for each in kept] == [None, "ann", None]
    assert [each.before is None for each in kept] == [True, False, True]
    old = await changes.config_of(ledger.database, "spring-quiz", first.version)
    assert old["unmapped"] == "ignore"
    with pytest.raises(changes.UnknownVersion):
        await changes.config_of(ledger.database, "spring-quiz", 1)


async def test_nobody_resumes_what_is_not_answered(ledger):
    """Until somebody has said whom to send; that ends the setting up, and a pause does not."""
    new = new_integration(name="New")
    made = await ledger.integrations.create(new, paused_reason="new", now=NOW, setup=Setup())
    assert made.unanswered
    with pytest.raises(NotAnswered, match="new"):
        await ledger.integrations.resume("new", now=NOW)
    await ledger.integrations.pause("new", reason="by a person", now=NOW)
    answered = await ledger.integrations.change(
        "new", lambda same: same, now=NOW, answers=lambda setup: replace(setup, whom=True)
    )
    assert (answered.setup, answered.unanswered) == (Setup(whom=True), False)
    kept = await ledger.integrations.change("new", lambda same: same, now=NOW)
    assert kept.setup == Setup(whom=True)
    assert (await ledger.integrations.resume("new", now=NOW)).setup is None
