"""Integrations as a file: what is exported can be applied, and what is applied stays as it is."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from app.ledger.database import Database
from app.ledger.integrations import Integrations, Setup
from app.ledger.vault import Vault
from app.operations.callers import Caller, Role
from app.operations.config_as_code import (
    Change,
    ChangedMeanwhile,
    RefusedFile,
    Wanted,
    apply,
    changes,
    diff,
    document,
    export,
    read,
    to_yaml,
)
from app.operations.context import Context
from app.parts import open_context
from app.rules.integration import Integration
from app.settings import Settings
from tests.conftest import (
    API_KEY,
    OPS_TOKEN,
    SECRET_KEY,
    WEBHOOK_SECRET,
    SandboxServer,
    database_url_on,
    engines,
    integration_body,
)

NOW = 1_700_000_000.0
OPERATOR = Caller("root", Role.ADMIN, "command line")
ENVIRONMENT = {
    "SPRING_QUIZ_CORDIAL_API_KEY": API_KEY,
    "SPRING_QUIZ_JEBBIT_WEBHOOK_SECRET": WEBHOOK_SECRET,
}
FILE = """
integrations:
  - name: Spring quiz
    state: active
    cordial:
      account_url: https://admin.cordial.io
      api_key: ${SPRING_QUIZ_CORDIAL_API_KEY}
    jebbit:
      webhook_secrets: ["${SPRING_QUIZ_JEBBIT_WEBHOOK_SECRET}"]
    policy: {collect: both, opt_in: opted_in_only, auto_subscribe: true}
"""
FULL = {
    "cordial": {
        "sms": {"program": "main", "keyword": None},
        "identify_by": ["customer_id"],
        "requests_per_second": 2.5,
        "on_rejected_field": "dead",
    },
    "jebbit": {
        "webhook_secrets": [WEBHOOK_SECRET, "another-secret-0001"],
        "region": None,
        "attributes": {"opt_in": "2024-01-01", "country": None},
        "opt_in_labels": {"true": ["Yes", "on", "1"], "false": ["no", "Nö: never"]},
        "default_phone_country": "NO",
    },
    "mapping": [
        {"attribute": "email", "field": "channels.email.address"},
        {"attribute": "age", "field": "age", "type": "number", "default": 0},
        {"attribute": "colors", "field": "colors", "type": "array", "separator": "|"},
        {"field": "source", "default": "yes"},
    ],
    "unmapped": "known",
    "policy": {"opt_in_field": "opt_in_status", "eu": {"null_is_consent": True}},
}


database_url = database_url_on(engines())


def integration(**overrides: Any) -> Integration:
    body = integration_body("https://admin.cordial.io", **overrides)
    del body["state"]
    return Integration.model_validate(body)


def variables_of(each: Integration, integration_id: str) -> dict[str, str]:
    found: dict[str, str] = {}
    document(integration_id, each, False, lambda name, value: found.setdefault(name, value))
    return found


def lines(text: str, environment: dict[str, str] = ENVIRONMENT) -> list[str]:
    with pytest.raises(RefusedFile) as refused:
        read(text, environment, frozenset())
    return str(refused.value).splitlines()


# --- Documents ------------------------------------------------------------------------------


@pytest.mark.parametrize("overrides", [{}, FULL], ids=["defaults", "everything set"])
@pytest.mark.parametrize("paused", [True, False])
def test_what_is_written_reads_as_the_same_integration(overrides, paused):
    """Words that YAML takes for booleans, dates and numbers among it."""
    before = integration(**overrides)
    text = to_yaml([document("spring-quiz", before, paused, lambda name, _: f"${{{name}}}")])
    assert read(text, variables_of(before, "spring-quiz"), frozenset()) == [
        Wanted("spring-quiz", before, paused)
    ]
    assert "secret" not in text.replace("webhook_secrets", "")


def test_a_file_written_by_hand_is_read_as_people_mean_it():
    """The id follows from the name; `NO` is Norway, `true` a key, `on` a label."""
    by_hand = FILE.replace(
        "    jebbit:\n",
        "    jebbit:\n"
        "      default_phone_country: NO\n"
        "      opt_in_labels: {true: [on, 'Yes'], false: [no]}\n",
    )
    (wanted,) = read(by_hand, ENVIRONMENT, frozenset())
    assert (wanted.id, wanted.paused) == ("spring-quiz", False)
    assert wanted.integration.jebbit.default_phone_country == "NO"
    assert wanted.integration.jebbit.opt_in_labels.true == ["on", "Yes"]


@pytest.mark.parametrize(
    "word", ["01234", "12:30", "1_000", "0x1F", "0b11", "1e3", "1:30.5", "=", "2024-01-01", "n"]
)
def test_a_default_is_what_stands_in_the_file(word):
    """A postal code stays one; YAML 1.1 takes 01234 for 668, and 12:30 for 750."""
    rules = "    mapping:\n      - {attribute: email, field: channels.email.address}\n"
    rules += f"      - {{field: code, default: {word}}}\n"
    (wanted,) = read(FILE.replace("    policy:", f"{rules}    policy:"), ENVIRONMENT, frozenset())
    assert wanted.integration.mapping[1].default == word


NUMBERS_AND_WORDS = (
    *(0, 5, -7, 2.5, -0.25, 1e-7, 1e16, 12345678901234567890, True),
    *("0", "5", "-7", "+7", "2.5", "1e-7", "1.0e-07", ".5", "5.", "-.inf", "0123", "true", "yes"),
    *("null", "~", " ", "=", "<<", "12:30", "0o7", "2024-01-01", "#", "a: b", "- a", "\x00"),
)


@pytest.mark.parametrize("default", NUMBERS_AND_WORDS, ids=repr)
def test_each_default_is_read_as_it_was_written(default):
    """A number as that number, and a word that looks like one as that word."""
    mapping = [{"attribute": "email", "field": "channels.email.address"}]
    before = integration(mapping=[*mapping, {"field": "source", "default": default}])
    text = to_yaml([document("spring-quiz", before, True, lambda name, _: f"${{{name}}}")])
    (wanted,) = read(text, variables_of(before, "spring-quiz"), frozenset())
    assert wanted.integration == before
    assert type(wanted.integration.mapping[1].default) is type(before.mapping[1].default)


def test_entries_may_share_a_part_by_an_alias():
    """One account for several integrations is written once."""
    shared = FILE.replace("cordial:\n", "cordial: &account\n") + FILE.split("integrations:\n")[1]
    head, cordial, tail = shared.rpartition("    cordial:")
    text = head + "    cordial: *account\n" + tail[tail.index("    jebbit:") :]
    first, second = read(text.replace("Spring quiz", "Summer quiz", 1), ENVIRONMENT, frozenset())
    assert cordial
    assert first.integration.cordial == second.integration.cordial


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("opted_in_only", "sometimes", "integrations[0] (Spring quiz).policy.opt_in: Input should"),
        ("    state: active", "    sate: active", "(Spring quiz).sate: Extra inputs"),
        ("state: active", "state: blocked", "state: Input should be 'active' or 'paused'"),
        ("name: Spring quiz", "name: '!'", "integrations[0] (!): name needs at least one letter"),
        (
            "admin.cordial.io",
            "cordial.example",
            "cordial.account_url: This address is no Cordial account",
        ),
        ("${SPRING_QUIZ_CORDIAL_API_KEY}", "hidden", "cordial.api_key: write a reference such as"),
        ('"${SPRING_QUIZ_JEBBIT_WEBHOOK_SECRET}"', "hidden", "webhook_secrets.0: write a refer"),
        (
            "    policy:",
            "    name: Again\n    policy:",
            "line 10: a key that is no word, or occurs",
        ),
        ("    policy: {", "    policy: [{", "line "),
        ("integrations:", "integrationen:", "write a list of integrations under `integrations:`"),
        ("integrations:", "version: 1\nintegrations:", "version: there is only `integrations`"),
        ("  - name: Spring quiz\n    state", "  - 42\n  - name: A\n    state", "integrations[0]: "),
        ("active", "!!bool maybe", "line 4: a value that cannot be read; put it into quotes"),
        ("Spring quiz", "9" * 5_000, "line 3: a value that cannot be read; put it into quotes"),
        (FILE, "\x00", "characters that YAML does not have"),
        (FILE, "", "write a list of integrations"),
        (FILE, "integrations: " + "[" * 600, "nested too deeply"),
        (FILE, "- " * 5_000, "nested too deeply"),
        (FILE, "x" * (2**20 + 1), "may hold 1048576 characters"),
    ],
)
def test_what_is_wrong_gets_one_line_with_its_place(old, new, told):
    """And never the secret that somebody wrote into the file."""
    assert old in FILE
    refused = lines(FILE.replace(old, new))
    assert len(refused) == 1
    assert told in refused[0]
    assert "hidden" not in refused[0]


def test_everything_that_is_wrong_is_said_at_once():
    """Missing variables by name, in one line; a blank one is missing too."""
    wrong = FILE.replace("both", "none") + FILE.split("integrations:\n")[1]
    refused = lines(wrong, {"SPRING_QUIZ_CORDIAL_API_KEY": ""})
    assert refused[0].startswith("integrations[0] (Spring quiz).policy.collect: ")
    assert refused[1:] == [
        "not set in the environment: SPRING_QUIZ_CORDIAL_API_KEY, SPRING_QUIZ_JEBBIT_WEBHOOK_SECRET"
    ]
    assert lines(FILE + FILE.split("integrations:\n")[1]) == [
        "spring-quiz: it is listed more than once"
    ]


@pytest.mark.parametrize(
    ("integration_id", "variable"),
    [("spring-quiz", "SPRING_QUIZ_CORDIAL_API_KEY"), ("2024-quiz", "_2024_QUIZ_CORDIAL_API_KEY")],
)
def test_variables_can_be_set_in_a_shell(integration_id, variable):
    """Named after the integration, and never with a digit at the beginning."""
    assert next(iter(variables_of(integration(), integration_id))) == variable


# --- The ledger -----------------------------------------------------------------------------

OnLedger = Callable[[Callable[[Integrations], Coroutine[Any, Any, Any]]], Any]


def on_ledger(database_url: str) -> OnLedger:
    """Return a function that does something with the integrations of a ledger."""

    def call(use: Callable[[Integrations], Coroutine[Any, Any, Any]]) -> Any:
        async def run() -> Any:
            database, vault = Database(database_url), Vault([SECRET_KEY])
            await database.migrate()
            await database.pseudonyms(vault)
            try:
                return await use(Integrations(database, vault))
            finally:
                await database.close()

        return asyncio.run(run())

    return call


def facts(stored: Any) -> Any:
    """What must be equal of what is stored."""
    return [(each.id, each.integration, each.state) for each in stored]


@pytest.fixture
def ledger(database_url: str) -> OnLedger:
    return on_ledger(database_url)


@pytest.fixture
def run(command: Any, database_url: str, sandbox_server: SandboxServer) -> Callable[..., Any]:
    """Run a command on the test's ledger, with the variables that FILE refers to."""

    def with_ledger(*arguments: str, **environment: str) -> Any:
        given = {
            "DATABASE_URL": database_url,
            "SECRET_KEY": SECRET_KEY,
            "CORDIAL_EXTRA_HOSTS": sandbox_server.host,
            **ENVIRONMENT,
        }
        return command(*arguments, **{**given, **environment})

    return with_ledger


@pytest.fixture
def write(tmp_path: Path, sandbox_server: SandboxServer) -> Callable[[str], None]:
    """Write a file for `apply`; its account is the sandbox."""

    def written(text: str) -> None:
        text = text.replace("https://admin.cordial.io", sandbox_server.url)
        (tmp_path / "file.yaml").write_text(text)

    return written


def test_applied_twice_changes_nothing_the_second_time(run, ledger, write):
    """Not even the version that running replicas watch."""
    write(FILE)
    first = run("apply", "file.yaml", "--yes")
    assert (first.code, first.err) == (0, "")
    assert first.out.endswith("spring-quiz: created, active\n")
    before = ledger(Integrations.list)

    second = run("apply", "file.yaml", "--yes")
    assert (second.code, second.out) == (0, "Nothing to change.\n")
    assert ledger(Integrations.list) == before


def test_what_is_exported_makes_an_equal_integration_on_an_empty_ledger(
    run, ledger, tmp_path, database_url
):
    """Its id, configuration, secrets and state, although its name was changed since."""

    async def fill(integrations: Integrations) -> Any:
        await integrations.create(integration(), paused_reason=None, now=NOW)
        renamed = integration(name="Renamed", **FULL)
        await integrations.change("spring-quiz", lambda _: renamed, now=NOW)
        await integrations.create(integration(name="2024"), paused_reason="Wait.", now=NOW)
        return await integrations.list()

    before = ledger(fill)
    exported = run("export", "--file", "file.yaml")
    assert (exported.code, exported.out) == (0, "")
    told = [line for line in exported.err.splitlines() if "ledger_sessions" not in line]
    assert told == [
        "Set for `apply`: _2024_CORDIAL_API_KEY, _2024_JEBBIT_WEBHOOK_SECRET, "
        "SPRING_QUIZ_CORDIAL_API_KEY, SPRING_QUIZ_JEBBIT_WEBHOOK_SECRET, "
        "SPRING_QUIZ_JEBBIT_WEBHOOK_SECRET_2"
    ]
    assert run("export").out == (tmp_path / "file.yaml").read_text()

    variables = {
        **variables_of(before[0].integration, "2024"),
        **variables_of(before[1].integration, "spring-quiz"),
    }
    empty = f"sqlite:///{tmp_path / 'empty.db'}"
    done = run("apply", "file.yaml", "--yes", "--force", DATABASE_URL=empty, **variables)
    assert done.code == 0, done.err
    assert facts(on_ledger(empty)(Integrations.list)) == facts(before)
    again = run("apply", "file.yaml", "--yes", DATABASE_URL=empty, **variables)
    assert again.out == "Nothing to change.\n"


@pytest.mark.parametrize(
    ("file", "why"),
    [("there/is/none.yaml", "No such file or directory"), ("/dev/full", "No space left on device")],
)
def test_a_file_that_cannot_be_written_is_named(run, ledger, file, why):
    """The ledger, which is well, is not blamed for it."""
    ledger(lambda integrations: integrations.create(integration(), paused_reason=None, now=NOW))
    exported = run("export", "--file", file)
    assert exported.code == 1
    assert exported.err.splitlines()[-1] == f"{file} cannot be written: {why}"


def test_the_difference_is_shown_first_and_holds_no_secret(run, ledger, write):
    """And a dry run, or a person who says no, leaves everything as it is."""
    write(FILE)
    run("apply", "file.yaml", "--yes")
    before = ledger(Integrations.list)
    write(FILE.replace("opted_in_only", "opted_in_or_null"))
    new_key = "a-new-key-of-cordial"

    for arguments, stdin, code in ((("--dry-run",), "y", 0), ((), "n\n", 1), ((), "", 1)):
        given = {"stdin": stdin, "SPRING_QUIZ_CORDIAL_API_KEY": new_key}
        shown = run("apply", "file.yaml", *arguments, **given)
        assert shown.code == code
        assert shown.out.startswith("--- spring-quiz (ledger)\n+++ spring-quiz (file.yaml)\n")
        assert "\n-  opt_in: opted_in_only\n+  opt_in: opted_in_or_null\n" in shown.out
        assert "\n-  api_key: '****-key'\n+  api_key: '****dial (new)'\n" in shown.out
        for secret in (API_KEY, new_key, WEBHOOK_SECRET):
            assert secret not in shown.out + shown.err
        assert ledger(Integrations.list) == before

    applied = run("apply", "file.yaml", "--force", stdin="y\n", SPRING_QUIZ_CORDIAL_API_KEY=new_key)
    assert applied.out.endswith("spring-quiz: changed, active\n")
    (after,) = ledger(Integrations.list)
    assert after.integration.policy.opt_in == "opted_in_or_null"
    assert after.integration.cordial.api_key.get_secret_value() == new_key


def test_what_a_file_refers_to_may_be_mounted(run, ledger, write, tmp_path):
    """As NAME_FILE, like every other secret; but not set as a variable too."""
    write(FILE)
    (tmp_path / "mounted").write_text(f"{API_KEY}\n")
    name, mounted = "SPRING_QUIZ_CORDIAL_API_KEY", str(tmp_path / "mounted")
    twice = run("apply", "file.yaml", "--yes", **{f"{name}_FILE": mounted})
    assert (twice.code, twice.err.strip()) == (
        2,
        f"{name} and {name}_FILE are both set; keep one of them",
    )
    done = run("apply", "file.yaml", "--yes", **{name: "", f"{name}_FILE": mounted})
    assert (done.code, done.err) == (0, "")
    (stored,) = ledger(Integrations.list)
    assert stored.integration.cordial.api_key.get_secret_value() == API_KEY


def test_a_file_that_is_refused_changes_nothing(run, ledger, write):
    """Though only one of its entries is wrong; the missing variables are named."""
    write(FILE + FILE.split("integrations:\n")[1].replace("Spring", "Autumn").replace("both", "x"))
    refused = run("apply", "file.yaml", "--yes", SPRING_QUIZ_CORDIAL_API_KEY="")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.splitlines() == [
        "integrations[1] (Autumn quiz).policy.collect: Input should be 'both', 'eu' or 'non_eu'",
        "not set in the environment: SPRING_QUIZ_CORDIAL_API_KEY",
    ]
    assert ledger(Integrations.list) == []


def test_an_id_that_hides_behind_a_page_of_the_console_is_refused(run, ledger, write):
    """As by the API, with the place."""
    write(FILE.replace("Spring quiz", "New"))
    refused = run("apply", "file.yaml", "--yes")
    assert refused.code == 2
    assert "new.name: new is the console's own address" in refused.err
    assert ledger(Integrations.list) == []


def test_what_a_file_does_not_list_stays(run, ledger, write):
    """Nothing is deleted, and a state that is not named is not changed."""

    async def fill(integrations: Integrations) -> Any:
        await integrations.create(integration(name="Other"), paused_reason=None, now=NOW)
        await integrations.create(integration(), paused_reason="Wait.", now=NOW)
        return await integrations.get("other")

    other = ledger(fill)
    write(FILE.replace("    state: active\n", ""))
    assert run("apply", "file.yaml", "--yes").out.endswith("spring-quiz: changed, paused\n")
    assert ledger(Integrations.list)[0] == other


def test_the_state_can_be_applied_alone(run, ledger, write):
    """Paused and resumed, the configuration untouched."""
    versions = set()
    for state in ("active", "paused", "active"):
        write(FILE.replace("active", state))
        assert run("apply", "file.yaml", "--yes").code == 0
        (stored,) = ledger(Integrations.list)
        assert stored.state == state
        versions.add(stored.version)
    assert len(versions) == 1


def test_a_file_answers_whom_to_send(run, ledger, write):
    """What is being set up in the console may send once a file says all of it."""
    write(FILE)
    assert run("apply", "file.yaml", "--yes").code == 0
    (stored,) = ledger(Integrations.list)
    ledger(lambda each: each.delete("spring-quiz", force=True, now=NOW))
    ledger(lambda each: each.create(stored.integration, paused_reason="x", now=NOW, setup=Setup()))
    assert run("apply", "file.yaml", "--yes").code == 0
    (stored,) = ledger(Integrations.list)
    assert (stored.state, stored.setup) == ("active", None)


def test_what_nobody_has_answered_is_no_answer_in_a_file(run, ledger, write):
    """It is left out of an export, which says so. A file that says the same as what stands there
    meanwhile answers it all the same, and shows that it does."""
    write(FILE.replace("active", "paused"))
    assert run("apply", "file.yaml", "--yes").code == 0
    (stored,) = ledger(Integrations.list)
    ledger(lambda each: each.delete("spring-quiz", force=True, now=NOW))
    ledger(lambda each: each.create(stored.integration, paused_reason="x", now=NOW, setup=Setup()))
    shown = run("export").out
    assert shown.startswith("# spring-quiz: left out, since nobody has said yet whom it sends")
    assert shown.endswith("\nintegrations: []\n")
    assert "\n+policy:\n" in run("apply", "file.yaml", "--dry-run").out
    assert run("apply", "file.yaml", "--yes").out.endswith("spring-quiz: changed, paused\n")
    assert not ledger(Integrations.list)[0].unanswered
    assert run("apply", "file.yaml", "--yes").out == "Nothing to change.\n"


def test_a_file_in_other_letters_is_refused_in_plain_words(run, tmp_path):
    """As a spreadsheet or an old editor saves it; a byte order mark is no matter."""
    for encoding in ("utf-16", "cp1252"):
        (tmp_path / "file.yaml").write_bytes(f"# für\n{FILE}".encode(encoding))
        refused = run("apply", "file.yaml", "--yes")
        assert (refused.code, refused.err) == (2, "it is not in UTF-8; save it so\n")
    (tmp_path / "file.yaml").write_bytes(FILE.replace("active", "paused").encode("utf-8-sig"))
    assert run("apply", "file.yaml", "--yes").code == 0


WRONG_CASE = FILE.replace(
    "    policy:",
    "    mapping:\n"
    "      - {attribute: email, field: channels.email.address}\n"
    "      - {attribute: outcome, field: Quiz_Outcome}\n"
    "    policy:",
)


@pytest.mark.parametrize("paused_before", [False, True], ids=["new", "paused"])
def test_what_the_check_refuses_is_stored_but_does_not_send(run, ledger, write, paused_before):
    """As by `resume`: the errors are told, and the file can be applied again once mended."""
    if paused_before:
        write(FILE.replace("active", "paused"))
        run("apply", "file.yaml", "--yes")
    write(WRONG_CASE + FILE.split("integrations:\n")[1].replace("Spring", "Autumn"))
    refused = run("apply", "file.yaml", "--yes")
    assert refused.code == 1
    first, finding, last = refused.err.splitlines()
    assert first.endswith("stays paused: the check finds errors")
    assert "mapping.1: Cordial has quiz_outcome" in finding
    assert "Write quiz_outcome." in finding
    assert "--force" in last
    autumn, spring = ledger(Integrations.list)
    assert (autumn.state, spring.state) == ("active", "paused")
    assert spring.integration.mapping[1].field == "Quiz_Outcome"

    assert run("apply", "file.yaml", "--yes").code == 1  # it is asked again each time
    write(WRONG_CASE.replace("Quiz_Outcome", "quiz_outcome"))
    assert run("apply", "file.yaml", "--yes").out.endswith("spring-quiz: changed, active\n")


def test_a_new_integration_may_send_unchecked_by_force(run, ledger, write):
    """Whoever says so knows better than the check."""
    write(WRONG_CASE)
    forced = run("apply", "file.yaml", "--yes", "--force")
    assert (forced.code, forced.err) == (0, "")
    assert [each.state for each in ledger(Integrations.list)] == ["active"]


def test_what_sends_already_is_checked_before_it_is_changed(run, ledger, write, sandbox_server):
    """With errors it stays as it was, and goes on; by force it is changed unasked."""
    write(FILE)
    run("apply", "file.yaml", "--yes")
    before = ledger(Integrations.list)
    write(WRONG_CASE)
    refused = run("apply", "file.yaml", "--yes")
    assert refused.code == 1
    assert refused.err.startswith("spring-quiz: not changed: the check finds errors\n")
    assert ledger(Integrations.list) == before
    asked = len(sandbox_server.sandbox.journal)
    forced = run("apply", "file.yaml", "--yes", "--force")
    assert forced.out.endswith("spring-quiz: changed, active\n")
    assert len(sandbox_server.sandbox.journal) == asked


def test_what_changes_nothing_that_is_sent_is_not_checked(run, write, sandbox_server):
    """A webhook secret can be rotated by a file while Cordial is down."""
    write(FILE)
    run("apply", "file.yaml", "--yes")
    asked = len(sandbox_server.sandbox.journal)
    rotated = {"SPRING_QUIZ_JEBBIT_WEBHOOK_SECRET": "whsec-another-fedcba98"}
    assert run("apply", "file.yaml", "--yes", **rotated).code == 0
    assert len(sandbox_server.sandbox.journal) == asked


def test_the_last_webhook_secret_is_not_taken_away(run, ledger, write):
    """As by the API: a file that forgets it would let every webhook be answered 401."""
    write(FILE)
    run("apply", "file.yaml", "--yes")
    before = ledger(Integrations.list)
    for none in ("{}", "{webhook_secrets: []}"):
        jebbit = FILE[FILE.index("    jebbit:") : FILE.index("    policy:")]
        write(FILE.replace(jebbit, f"    jebbit: {none}\n"))
        refused = run("apply", "file.yaml", "--yes")
        assert refused.code == 2
        assert refused.err.startswith("spring-quiz.jebbit.webhook_secrets: needs at least 1 item")
        assert ledger(Integrations.list) == before


async def _apply_late(settings: Settings, meanwhile: str, paused: bool | None) -> None:
    async with open_context(settings) as context:
        await _apply_after(context, meanwhile, paused)


async def _apply_after(context: Context, meanwhile: str, paused: bool | None) -> None:
    integrations = context.integrations
    reason = "Wait." if meanwhile == "resumed" else None
    stored = await integrations.create(integration(), paused_reason=reason, now=NOW)
    (change,) = changes([Wanted(stored.id, integration(unmapped="known"), paused)], [stored])
    if meanwhile == "deleted":
        await integrations.delete(stored.id, force=False, now=NOW)
    elif meanwhile == "changed":
        by_hand = integration(policy={"resubscribe": "explicit_opt_in"})
        await integrations.change(stored.id, lambda _: by_hand, now=NOW)
    elif meanwhile == "resumed":
        await integrations.resume(stored.id, now=NOW)
    else:
        await integrations.pause(stored.id, reason="Stop!", now=NOW)
    before = await integrations.list()
    try:
        await apply(context, OPERATOR, change, force=True)
    finally:
        assert await integrations.list() == before


@pytest.mark.parametrize("meanwhile", ["deleted", "changed", "paused", "resumed"])
@pytest.mark.parametrize("paused", [None, True, False])
def test_a_change_made_after_the_difference_was_shown_is_not_overwritten(
    database_url, meanwhile, paused
):
    """Who said yes did not see it: nor would they hear that it is paused while it sends."""
    settings = Settings(
        _env_file=None, database_url=database_url, secret_key=SECRET_KEY, ops_token=OPS_TOKEN
    )
    with pytest.raises(ChangedMeanwhile, match="spring-quiz was changed meanwhile"):
        asyncio.run(_apply_late(settings, meanwhile, paused))


def test_a_new_integration_waits_unless_the_file_says_otherwise():
    """As by the API."""
    assert Change(Wanted("spring-quiz", integration(), None), None).paused
    shown = diff([Change(Wanted("spring-quiz", integration(), None), None)], "file.yaml")
    assert "\n+state: paused\n" in shown
    assert "(new)" not in shown
    assert export([]) == ("integrations: []\n", [])
