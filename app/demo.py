"""The demo: every situation, over real HTTP, on a service and a Cordial of its own.

Each row says what came in, what was decided and why, and what Cordial then holds; all of it is
compared with what was expected.
"""

import json
import secrets
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydantic import JsonValue, SecretStr
from rich.console import Console
from rich.table import Table

from app.jebbit.signature import HEADER, TEST_HEADER, sign
from app.main import create_app
from app.operations.callers import OPS
from app.sandbox.samples import SAMPLES
from app.sandbox.server import create_sandbox
from app.serving import free_port, serving
from app.settings import Settings

_SECRET = secrets.token_urlsafe(24)  # others each time: what is printed in public protects nobody
_TOKEN = secrets.token_urlsafe(24)
_WAIT_SECONDS = 30.0

_MAPPING: list[JsonValue] = [
    {"attribute": "email", "field": "channels.email.address"},
    {"attribute": "phone_number", "field": "channels.sms.address"},
    {"attribute": "first_name", "field": "first_name"},
    {"attribute": "outcome", "field": "quiz_outcome"},
    {"attribute": "favorite_colors", "field": "colors", "type": "array", "separator": "|"},
    {"attribute": "age", "field": "age", "type": "number"},
    {"attribute": "experience_date", "field": "quiz_date", "type": "date"},
    {"attribute": "city", "field": "home.city", "type": "geo"},
    {"attribute": "newsletter", "field": "weekly_deals", "type": "list"},
    {"field": "signup_source", "default": "jebbit"},
]


@dataclass(frozen=True)
class Holds:
    """What Cordial is expected to hold of a contact."""

    email: str = "none"
    sms: str | None = None
    attributes: Mapping[str, JsonValue] | None = None
    lists: tuple[str, ...] = ()


@dataclass(frozen=True)
class Expected:
    """What is expected of one submission; `address` finds the contact, `holds` None: no contact."""

    status: str
    reason: str | None = None
    address: str | None = None
    holds: Holds | None = None
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Situation:
    """One webhook of the demo and all that is expected of it."""

    title: str
    body: JsonValue
    expected: Sequence[Expected]
    integration: str = "spring-quiz"
    answer: int = 202
    counts: Mapping[str, JsonValue] | None = None
    secret: str = _SECRET
    test: bool = False
    faults: Sequence[Mapping[str, JsonValue]] = ()  # of the sandbox, see docs/rehearse.md
    switches: Mapping[str, JsonValue] | None = None
    unsubscribed: str | None = None  # an address that has unsubscribed before


def _subscribed(**attributes: JsonValue) -> Holds:
    return Holds("subscribed", attributes={"signup_source": "jebbit", **attributes})


def _untouched(**attributes: JsonValue) -> Holds:
    return Holds("none", attributes={"signup_source": "jebbit", **attributes})


SITUATIONS: Sequence[Situation] = (
    Situation(
        "opted in",
        SAMPLES["opted_in"],
        [
            Expected(
                "delivered",
                address="ann@example.com",
                holds=_subscribed(first_name="Ann", quiz_outcome="Bold"),
            )
        ],
    ),
    Situation(
        "opt-in left empty, outside the EU",
        SAMPLES["null_opt_in"],
        [Expected("delivered", address="bob@example.com", holds=_subscribed(quiz_outcome="Calm"))],
    ),
    Situation(
        "opt-in left empty, in the EU",
        SAMPLES["eu_null_opt_in"],
        [Expected("delivered", address="carla@example.com", holds=_untouched(quiz_outcome="Calm"))],
    ),
    Situation(
        "opted out", SAMPLES["opted_out"], [Expected("skipped", "opted_out", "dan@example.com")]
    ),
    Situation(
        "unclear opt-in: 'maybe later'",
        SAMPLES["unclear_opt_in"],
        [Expected("skipped", "opt_in_unclear", "eve@example.com")],
    ),
    Situation(
        "EU by country, opted in",
        SAMPLES["eu_opted_in"],
        [Expected("delivered", address="finn@example.com", holds=_subscribed())],
    ),
    Situation(
        "EU by region, opt-in left empty",
        SAMPLES["eu_by_region"],
        [Expected("delivered", address="gina@example.com", holds=_untouched())],
    ),
    Situation(
        "SMS with consent (double opt-in)",
        SAMPLES["sms_opted_in"],
        [
            Expected(
                "delivered",
                address="hal@example.com",
                holds=Holds("subscribed", "pendingDOI", {"signup_source": "jebbit"}),
            )
        ],
    ),
    Situation(
        "SMS without consent",
        SAMPLES["sms_without_consent"],
        [
            Expected(
                "delivered",
                address="ida@example.com",
                holds=Holds("subscribed", None, {"signup_source": "jebbit"}),
            )
        ],
    ),
    Situation(
        "a session as one flat object",
        SAMPLES["flat_session"],
        [
            Expected(
                "delivered",
                address="jon@example.com",
                holds=_subscribed(
                    first_name="Jon", quiz_outcome="Bold", quiz_date="2026-11-20T10:15:00+00:00"
                ),
            )
        ],
    ),
    Situation(
        "three at once, one unreadable",
        SAMPLES["batch_with_one_unreadable"],
        [
            Expected("delivered", address="kim@example.com", holds=_subscribed()),
            Expected("dead", "unreadable"),
            Expected("delivered", address="leo@example.com", holds=_subscribed()),
        ],
        counts={"accepted": 2, "unreadable": 1},
    ),
    Situation(
        "the first once more, unchanged",
        SAMPLES["opted_in"],
        [],
        counts={"accepted": 0, "duplicates": 1},
    ),
    Situation(
        "wrong signature",
        {"email": "mallory@example.com", "opt_in": "true"},
        [],
        answer=401,
        secret="not-the-shared-secret",
    ),
    Situation(
        "test webhook",
        {"email": "test@example.com", "opt_in": "true", "country_code": "US"},
        [Expected("test", address="test@example.com")],
        counts={"accepted": 0, "test": True},
        test=True,
    ),
    Situation(
        "a field that Cordial does not have",
        {"email": "pia@example.com", "opt_in": "true", "outcome": "Bold", "country_code": "US"},
        [
            Expected(
                "delivered",
                address="pia@example.com",
                holds=Holds("subscribed", attributes={}),
                warnings=["field_rejected"],
            )
        ],
        integration="misspelt-mapping",
    ),
    Situation(
        "a field of each type",
        SAMPLES["every_type"],
        [
            Expected(
                "delivered",
                address="mia@example.com",
                holds=Holds(
                    "subscribed",
                    attributes={
                        "quiz_outcome": "Calm",
                        "colors": ["red", "blue"],
                        "age": 31,
                        "quiz_date": "2026-11-20T10:15:00+00:00",
                        "home.city": "Oslo",
                        "signup_source": "jebbit",
                    },
                    lists=("weekly_deals",),
                ),
            )
        ],
    ),
    Situation(
        "email sent as a hash", SAMPLES["hashed_email"], [Expected("skipped", "no_identity")]
    ),
    Situation(
        "address taken from the page's URL",
        SAMPLES["address_in_url"],
        [Expected("skipped", "untrusted_identity", "nora@example.com")],
    ),
    Situation(
        "integration for everyone: opted out",
        {"email": "otto@example.com", "opt_in": "no", "country_code": "US"},
        [
            Expected(
                "delivered",
                address="otto@example.com",
                holds=Holds("none", attributes={"opt_in_status": "no"}),
            )
        ],
        integration="everyone",
    ),
    Situation(
        "an answer that is too long for its field",
        {
            "email": "quin@example.com",
            "opt_in": "true",
            "first_name": "Q" * 200,
            "outcome": "Bold",
            "country_code": "US",
        },
        [
            Expected(
                "delivered",
                address="quin@example.com",
                holds=_subscribed(quiz_outcome="Bold"),
                warnings=["field_rejected"],
            )
        ],
    ),
    Situation(
        "somebody who had unsubscribed comes back",
        {"email": "rob@example.com", "opt_in": "true", "outcome": "Calm", "country_code": "US"},
        [
            Expected(
                "delivered",
                address="rob@example.com",
                holds=Holds(
                    "unsubscribed", attributes={"quiz_outcome": "Calm", "signup_source": "jebbit"}
                ),
                warnings=["status_rejected"],
            )
        ],
        switches={"unsubscribed": "reject"},
        unsubscribed="rob@example.com",
    ),
    Situation(
        "a phone number that Cordial refuses, beside a good email",
        {
            "email": "sam@example.com",
            "opt_in": "true",
            "phone_number": "555-555-0188",
            "sms_opt_in": "true",
            "country_code": "US",
        },
        [
            Expected(
                "delivered",
                address="sam@example.com",
                holds=_subscribed(),
                warnings=["sms_rejected"],
            )
        ],
        faults=[
            {
                "kind": "answer",
                "email": "sam@example.com",
                "times": 1,
                "answer": {
                    "status": 422,
                    "body": {"messages": {"channels.sms.address": ["is no mobile number"]}},
                },
            }
        ],
    ),
    Situation(
        "three at once, one refused by a firewall for what it holds",
        [
            {"email": "tess@example.com", "opt_in": "true", "country_code": "US"},
            {"email": "ulf@example.com", "first_name": "<script>", "country_code": "US"},
            {"email": "vera@example.com", "opt_in": "true", "country_code": "US"},
        ],
        [
            Expected("delivered", address="tess@example.com", holds=_subscribed()),
            Expected("dead", "rejected", address="ulf@example.com"),
            Expected("delivered", address="vera@example.com", holds=_subscribed()),
        ],
        faults=[
            {"kind": "html_403", "holding": "<script>"},
            {"kind": "slow", "email": "tess@example.com", "seconds": 0.5},
            {"kind": "slow", "email": "vera@example.com", "seconds": 1.0},
        ],
    ),
    Situation(
        "the first again, with other answers",
        {"email": "ann@example.com", "opt_in": "true", "outcome": "Calm", "country_code": "US"},
        [
            Expected(
                "delivered",
                address="ann@example.com",
                holds=_subscribed(first_name="Ann", quiz_outcome="Calm"),
            )
        ],
    ),
)


def run_demo(*, once: bool) -> int:
    """Run every situation and print the table; return 0 if all is as expected, else 1.

    Unless `once`, the service stays up afterwards until interrupted.
    """
    console = Console(width=max(Console().width, 140))
    sandbox = create_sandbox()
    with tempfile.TemporaryDirectory() as folder, serving(sandbox, free_port(9100)) as cordial:
        settings = _settings(Path(folder), cordial)
        app = create_app(settings)
        with (
            serving(app, free_port(8000)) as service,
            httpx.Client(base_url=service, headers={"Authorization": f"Bearer {_TOKEN}"}) as ops,
        ):
            for body in _integrations(cordial):
                ops.post("/integrations?force=true", json=body).raise_for_status()
            differences = _play(console, ops, cordial)
            if not once:
                invitation = app.state.console.context.sessions.invite(OPS)
                _stay(console, service, cordial, invitation)
    return 1 if differences else 0


def _settings(folder: Path, cordial: str) -> Settings:
    return Settings(
        _env_file=None,
        database_url=f"sqlite:///{folder}/ledger.db",
        data_dir=folder,
        secret_key=SecretStr(secrets.token_urlsafe(48)),
        ops_token=SecretStr(_TOKEN),
        cordial_extra_hosts=frozenset([cordial.removeprefix("http://")]),
        retry_delays_seconds=(1.0, 2.0, 4.0),  # nobody wants to wait for the usual 30 s
        no_proxy="*",  # whatever this machine's way out is: all of it is here
    )


def _integrations(cordial: str) -> list[dict[str, Any]]:
    def integration(name: str, mapping: list[JsonValue], **policy: JsonValue) -> dict[str, Any]:
        return {
            "name": name,
            "state": "active",
            "cordial": {
                "account_url": cordial,
                "api_key": "sandbox-key",
                "sms": {"program": "main", "keyword": "join"},
            },
            "jebbit": {"webhook_secrets": [_SECRET], "attributes": {"sms_opt_in": "sms_opt_in"}},
            "mapping": mapping,
            "policy": {
                "collect": "both",
                "opt_in": "opted_in_or_null",
                "auto_subscribe": True,
                **policy,
            },
        }

    misspelt: JsonValue = {"attribute": "outcome", "field": "Quiz_Outcome"}
    return [
        integration("Spring quiz", _MAPPING),
        integration("Misspelt mapping", [_MAPPING[0], misspelt]),
        integration("Everyone", [_MAPPING[0]], opt_in="everyone", opt_in_field="opt_in_status"),
    ]


def _play(console: Console, ops: httpx.Client, cordial: str) -> int:
    """Post each situation, print what came of it, and return how many differ."""
    table = Table(title="Jebbit to Cordial, situation by situation", show_lines=True)
    for column in ("#", "what came in", "answer", "decided, and why", "Cordial now holds"):
        table.add_column(column, overflow="fold")
    table.add_column("compared", min_width=11)
    total = submissions = 0
    for number, situation in enumerate(SITUATIONS, start=1):
        _prepare(cordial, situation)
        answer = _post(ops, situation)
        decided = [_settled(ops, each) for each in answer.json().get("submissions", [])]
        contacts = httpx.get(f"{cordial}/_sandbox/contacts").json()["contacts"]
        differences = _differences(situation, answer, decided, contacts)
        addresses = [each.address for each in situation.expected if each.address]
        table.add_row(
            str(number),
            situation.title,
            _answered(answer),
            "\n".join(_why(each) for each in decided) or _nothing_stored(answer),
            "\n".join(_held(_contact(contacts, address)) for address in addresses) or "-",
            "\n".join(differences) or "as expected",
        )
        total += bool(differences)
        submissions += len(decided)
    console.print(table)
    verdict = "all as expected" if not total else f"{total} NOT as expected"
    console.print(f"{len(SITUATIONS)} webhooks, {submissions} submissions stored: {verdict}.")
    return total


def _prepare(cordial: str, situation: Situation) -> None:
    """Tell the sandbox what it is to do, and who had unsubscribed."""
    with httpx.Client(base_url=cordial, auth=("sandbox-key", "")) as sandbox:
        faults = {"faults": list(situation.faults)}
        sandbox.put("/_sandbox/faults", json=faults).raise_for_status()
        if situation.switches:
            sandbox.patch("/_sandbox/switches", json=situation.switches).raise_for_status()
        if situation.unsubscribed:
            email = {"address": situation.unsubscribed, "subscribeStatus": "unsubscribed"}
            sandbox.post("/v2/contacts", json={"channels": {"email": email}}).raise_for_status()


def _post(ops: httpx.Client, situation: Situation) -> httpx.Response:
    body = json.dumps(situation.body).encode()
    # A moment earlier for each, as two webhooks of one second would carry the same signature.
    at = int(time.time()) - len(SITUATIONS) + SITUATIONS.index(situation)
    headers = {HEADER: sign(body=body, secret=situation.secret, at=at)}
    if situation.test:
        headers[TEST_HEADER] = "true"
    path = f"/webhooks/jebbit/{situation.integration}"
    return ops.post(path, content=body, headers=headers)


def _settled(ops: httpx.Client, submission_id: str) -> dict[str, Any]:
    """Return the submission when it is no longer pending, or as it is after a while."""
    give_up = time.monotonic() + _WAIT_SECONDS
    while True:
        found: dict[str, Any] = ops.get(f"/submissions/{submission_id}").json()
        if found["status"] != "pending" or time.monotonic() > give_up:
            return found
        time.sleep(0.02)


def _differences(
    situation: Situation,
    answer: httpx.Response,
    decided: Sequence[dict[str, Any]],
    contacts: Sequence[dict[str, Any]],
) -> list[str]:
    """Name everything that is not as expected."""
    found: list[tuple[str, object, object]] = [
        ("answer", answer.status_code, situation.answer),
        ("stored", len(decided), len(situation.expected)),
    ]
    for name, value in (situation.counts or {}).items():
        found.append((name, answer.json().get(name), value))
    for expected, submission in zip(situation.expected, decided, strict=False):
        found.append(("status", submission["status"], expected.status))
        found.append(("reason", submission["reason"], expected.reason))
        codes = [warning["code"] for warning in submission["warnings"]]
        found.append(("warnings", codes, list(expected.warnings)))
        if expected.address:
            held = _as_holds(_contact(contacts, expected.address))
            found.append((expected.address, held, expected.holds))
    return [f"{name}: {is_} instead of {want}" for name, is_, want in found if is_ != want]


def _contact(contacts: Sequence[dict[str, Any]], address: str) -> dict[str, Any] | None:
    for contact in contacts:
        if contact["channels"].get("email", {}).get("address") == address:
            return contact
    return None


def _as_holds(contact: dict[str, Any] | None) -> Holds | None:
    if contact is None:
        return None
    programs = contact["channels"].get("sms", {}).get("programs", {})
    return Holds(
        email=contact["channels"]["email"]["subscribeStatus"],
        sms=programs.get("main", {}).get("subscribeStatus"),
        attributes=contact["attributes"],
        lists=tuple(contact["lists"]),
    )


def _answered(answer: httpx.Response) -> str:
    counts = answer.json() if answer.status_code == 202 else {}
    named = ("accepted", "duplicates", "unreadable", "test")
    said = [f"{name} {counts[name]:d}" for name in named if counts.get(name)]
    return "\n".join([str(answer.status_code), *said])


def _nothing_stored(answer: httpx.Response) -> str:
    return str(answer.json().get("detail", "nothing new: we have it already"))


_STATUSES = {None: "not subscribed", "none": "not subscribed", "pendingDOI": "asked to confirm"}


_TOLD = ("region", "opt_in", "email")


def _why(submission: dict[str, Any]) -> str:
    """Say what was decided, and by which steps."""
    decided = str(submission["status"])
    if submission["reason"]:
        decided += f" ({submission['reason']})"
    if plan := submission["plan"]:
        steps = [each for each in plan["steps"] if each["stops"] or each["subject"] in _TOLD]
        decided += ": " + " ".join(each["sentence"] for each in steps)
    for warning in submission["warnings"]:
        field = f" ({warning['field']})" if warning["field"] else ""
        _, told, words = warning["detail"].partition("Cordial said: ")
        decided += f" Warning {warning['code']}{field}" + (f": {words}." if told else ".")
    return decided


def _held(contact: dict[str, Any] | None) -> str:
    held = _as_holds(contact)
    if contact is None or held is None:
        return "no contact"
    channels = contact["channels"]
    parts = [f"{channels['email']['address']}: {_STATUSES.get(held.email, held.email)}"]
    if "sms" in channels:
        parts.append(f"SMS {channels['sms']['address']}: {_STATUSES.get(held.sms, held.sms)}")
    parts += [f"{name}={_shown(value)}" for name, value in (held.attributes or {}).items()]
    parts += [f"on the list {name}" for name in held.lists]
    return "\n".join(parts)


def _shown(value: JsonValue) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _stay(console: Console, service: str, cordial: str, invitation: str) -> None:
    link = f"{service}/console/sign-in/{invitation}"
    console.print(f"\nConsole  {link}  (signs you in once; then {service}/console)")
    console.print(f"Ops API  {service}/docs  (Authorize with: {_TOKEN})")
    console.print(f"Webhook  {service}/webhooks/jebbit/spring-quiz  (secret: {_SECRET})")
    console.print(f"Cordial  {cordial}/_sandbox/contacts")
    console.print("Send more, in another terminal:")
    console.print(
        f"  .venv/bin/python -m app send {service}/webhooks/jebbit/spring-quiz "
        f"--secret {_SECRET} --sample eu_opted_in"
    )
    console.print("Ctrl-C ends it.")
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)
