"""The README and docs/ say what is there, all of it, and nothing else.

What they must name is taken from the code: settings, statuses, reasons, keys of an integration,
metrics, routes, commands. What they print is parsed, and compared with what the program prints.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
import typer
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel, JsonValue, SecretStr
from pydantic_core import PydanticUndefined

from app.__main__ import cli
from app.jebbit.folding import fold_label
from app.jebbit.submission import Submission, parse
from app.ledger.erasure import ERASED
from app.ledger.integrations import State
from app.ledger.replays import DISCARDED
from app.ledger.schema import DeadReason, GateState, SubmissionStatus
from app.main import create_app
from app.operations.callers import Role
from app.operations.strength import weakness
from app.rules import values
from app.rules.integration import Integration, merge_patch
from app.rules.jurisdictions import EXPRESS_CONSENT_COUNTRIES, country_code
from app.rules.plan import Plan, Upsert, plan
from app.rules.policy import SkipReason
from app.rules.values import Answer, Labels
from app.sandbox.control import ROUTES
from app.sandbox.faults import FaultKind
from app.sandbox.switches import Switches
from app.settings import Settings
from app.telemetry.metrics import WebhookOutcome
from tests.load.measuring import Options
from tests.table import table

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
NAMES = [str(each.relative_to(ROOT)) for each in PAGES]
BASH = frozenset(("bash", "console", "sh"))


# --- Reading a page -----------------------------------------------------------------------------


class Block(NamedTuple):
    """A fenced block: its page, what its fence says, and its text."""

    page: str
    kind: str
    text: str


FENCE = re.compile(r"^```(.*)\n((?:(?!```).*\n)*)```$", re.MULTILINE)


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def prose(name: str) -> str:
    """Return a page without its fenced blocks."""
    return FENCE.sub("", page(name))


def blocks(*kinds: str) -> list[Block]:
    """Return the fenced blocks of all pages whose fence begins with one of these words."""
    found = [Block(name, *each) for name in NAMES for each in FENCE.findall(page(name))]
    return [each for each in found if each.kind.split(" ")[0] in kinds]


def section(name: str, heading: str) -> str:
    """Return what stands below a heading, up to the next one that is not below it."""
    level = re.match("#+", heading)
    assert level
    _, found, rest = page(name).partition(f"\n{heading}\n")
    assert found, f"{name} has no {heading}"
    return re.split(rf"^#{{1,{len(level[0])}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str, first: str) -> list[list[str]]:
    """Return the rows of all tables whose first column is headed so."""
    tables = re.findall(rf"^\| {first} \|.*\n\|[-|]+\n((?:\|.*\n?)+)", text, re.MULTILINE)
    assert tables, first
    lines = "\n".join(tables).splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines if line]


def code(cell: str) -> list[str]:
    return [each.replace("\\|", "|") for each in re.findall(r"`([^`]+)`", cell)]


def explained(text: str, first: str) -> dict[str, str]:
    """Return what a table says of each word in its first column."""
    return {word: " ".join(rest) for cell, *rest in rows(text, first) for word in code(cell)}


def assert_explains(said: Mapping[str, str], known: Any) -> None:
    """Those and no others, each with what it means."""
    assert set(said) == {str(each) for each in known}
    assert all(len(text.strip()) > 10 for text in said.values()), said


# --- Links and size -----------------------------------------------------------------------------


def anchors(name: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page(name)), re.MULTILINE)
    plain = (re.sub(r"[`*]|\]\([^)]*\)|\[", "", each) for each in headings)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in plain}


def links(name: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", prose(name))


@table("name", NAMES)
def test_every_link_leads_somewhere(name):
    """To a file that is there, and to a heading in it."""
    for link in links(name):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = ((ROOT / name).parent / file).resolve() if file else ROOT / name
        assert target.is_file(), f"{name}: {link}"
        if anchor:
            assert anchor in anchors(str(target.relative_to(ROOT))), f"{name}: {link}"


def test_every_page_can_be_reached_from_the_readme():
    """A page that nothing leads to is not read."""
    reached, to_read = set(), ["README.md"]
    while to_read:
        name = to_read.pop()
        if name in reached:
            continue
        reached.add(name)
        near = (ROOT / name).parent
        files = {link.partition("#")[0] for link in links(name) if not link.startswith("https://")}
        found = [(near / file).resolve() for file in files if file.endswith(".md")]
        to_read += [str(each.relative_to(ROOT)) for each in found]
    assert set(NAMES) == reached


def test_the_readme_is_short():
    """A newcomer reads 250 lines; the rest is in docs/."""
    assert len(page("README.md").splitlines()) < 250


@table("name", [each for each in NAMES if "/decisions/" in each])
def test_a_decision_has_its_number_and_three_parts(name):
    """Context, decision and consequence; the number is that of its file, and in the list."""
    number = int(Path(name).name[:4])
    text = page(name)
    assert text.startswith(f"# {number}. ")
    parts = re.findall(r"^\*\*(\w+)\.\*\* \S", text, re.MULTILINE)
    assert parts == ["Context", "Decision", "Consequence"]
    title = text.splitlines()[0].partition(". ")[2]
    listed = section("docs/develop.md", "## Decisions")
    assert f"| {number} | [" in listed
    assert f"(decisions/{Path(name).name})" in listed
    assert title.split()[0] in listed


# --- Commands, files, routes, names -------------------------------------------------------------

MAKEFILE = page("Makefile")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def commands() -> list[tuple[str, str]]:
    """Return each command that a page shows, with its page: in a line of code or in a block."""
    inline = [(name, each) for name in NAMES for each in code(prose(name))]
    shown = [
        (block.page, line.removeprefix("$ "))
        for block in blocks(*BASH)
        for line in block.text.splitlines()
        if block.kind != "console" or line.startswith("$ ")
    ]
    return inline + shown


def test_every_make_target_that_is_shown_exists():
    """And takes the arguments that are shown."""
    seen = set()
    for name, command in commands():
        for target, arguments in re.findall(r'\bmake ([a-z-]+)(?: ARGS="?([^"#]*))?', command):
            assert target in TARGETS, f"{name}: {command}"
            seen.add(target)
            for option in re.findall(r"--[a-z-]+", arguments):
                assert option in arguments_of(target), f"{name}: {command}"
    public = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
    assert public <= seen, "a command that no page shows"


def arguments_of(target: str) -> set[str]:
    """Return the options that a make target's ARGS may hold."""
    if target == "demo":
        return options("demo")
    source = page({"faults": "tests/faults/__main__.py", "bench": "tests/load/bench.py"}[target])
    measured = {f"--{each.name}" for each in fields(Options)} if target == "bench" else set()
    return measured | set(re.findall(r'"(--[a-z-]+)"', source))


def options(command: str) -> set[str]:
    """Return the options of one of the program's commands."""
    found = typer.main.get_command(cli).commands[command]  # type: ignore[attr-defined]
    return {option for parameter in found.params for option in parameter.opts}


def test_every_command_of_the_program_that_is_shown_exists():
    """With the options that are shown; and each command is shown somewhere."""
    commands_of = typer.main.get_command(cli).commands  # type: ignore[attr-defined]
    known = {name for name, command in commands_of.items() if not command.hidden}
    seen = set()
    for name, line in commands():
        for command, rest in re.findall(r"\bpython -m app ([a-z-]+)([^`|]*)", line):
            assert command in known, f"{name}: {line}"
            seen.add(command)
            given = set(re.findall(r"--[a-z][a-z-]*", rest))
            assert given <= options(command) | {"--help"}, f"{name}: {line}"
    assert known - {"demo", "sandbox"} <= seen, "a command that no page shows"


TOP = "app|ops|tests|docs"
PATH = re.compile(rf"(?:{TOP})/[\w./-]+|\.ci/run|[A-Z]?\w+\.(?:toml|yaml|md|lock)|\.env\.example")


@table("name", NAMES)
def test_every_file_that_is_named_exists(name):
    """A page that names a file of this project names one that is there."""
    made_by_users = {"integrations.yaml", "integration.json"}
    for each in code(prose(name)):
        if PATH.fullmatch(each) and each not in made_by_users and "NNNN" not in each:
            assert (ROOT / each).exists(), f"{name}: {each}"


def routes() -> set[str]:
    """Return `METHOD /path` of each operation, `{}` for whatever stands in the path."""
    document = create_app(Settings(_env_file=None)).openapi()
    sandbox = {f"{method} /_sandbox{each.path}" for each in ROUTES for method in each.methods or ()}
    return sandbox | {
        f"{method.upper()} {re.sub('{[^}]*}', '{}', path)}"
        for path, operations in document["paths"].items()
        for method in operations
    }


def test_every_route_that_is_named_exists():
    """Method and path are those of the OpenAPI document; parameters are left to the reader."""
    known = routes()
    shape = re.compile(r"(GET|POST|PATCH|DELETE|PUT) (/[^?#\s]*)(\?\S+)?")
    for name in NAMES:
        for each in code(prose(name)):
            match = shape.fullmatch(each)
            if match and not match[2].startswith("/v2/"):  # Cordial's own
                path = re.sub("{[^}]*}", "{}", match[2])
                assert f"{match[1]} {path}" in known or path.endswith("..."), f"{name}: {each}"


def test_every_route_is_in_the_overview():
    """Those and no others; each says what it is for."""
    said = explained(page("docs/api.md"), "call")
    named = {re.sub("{[^}]*}", "{}", each): text for each, text in said.items() if " /" in each}
    ours = {each for each in routes() if "_sandbox" not in each and not each.startswith("HEAD ")}
    assert set(named) == ours
    assert all(len(text) > 10 for text in named.values())


COMPOSE = set(re.findall(r"\$\{([A-Z_]+)", page("compose.yaml")))
SETTINGS = {name.upper() for name in Settings.model_fields}
CERTIFICATES = {"SSL_CERT_FILE", "SSL_CERT_DIR"}


@table("name", NAMES)
def test_every_variable_that_is_named_is_read(name):
    """A setting, one that compose.yaml takes, or one of OpenTelemetry's or Python's."""
    for each in code(prose(name)):
        for word in re.findall(r"(?<![\w-])[A-Z][A-Z]+(?:_[A-Z]+)+(?![\w-])", each):
            known = word in SETTINGS | COMPOSE | CERTIFICATES or word.startswith("OTEL_")
            assert known or "/" in each or " " in each, f"{name}: {word}"


# --- What is to be explained --------------------------------------------------------------------


def test_every_status_state_and_gate_is_explained():
    """Those and no others, each with what it means."""
    text = page("docs/operate.md")
    assert_explains(explained(text, "state"), get_args(State))
    assert_explains(explained(text, "gate"), GateState)
    assert_explains(explained(text, "status"), SubmissionStatus)


@pytest.mark.parametrize(
    ("status", "known"), [("skipped", [*SkipReason, ERASED, DISCARDED]), ("dead", [*DeadReason])]
)
def test_every_reason_is_explained(status, known):
    """Those and no others, each with what it means; the status may stand in a row above."""
    said, current = {}, ""
    for named, given, meaning in rows(page("docs/operate.md"), "status"):
        current = next(iter(code(named)), current)
        said |= {reason: meaning for reason in code(given) if current == status}
    assert_explains(said, known)


def warning_codes() -> Iterator[str]:
    """Yield the codes of all `PlanWarning`s that the program makes; `{kind}` is email or phone."""
    for file in (ROOT / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "PlanWarning"):
                continue
            given = [each.value for each in node.keywords if each.arg == "code"] or node.args[:1]
            for each in given:
                text = ast.unparse(each)
                for kind in ("email", "phone") if "{kind}" in text else ("",):
                    yield from re.findall(r"[a-z_]{4,}", text.replace("{kind}", kind))


def test_every_warning_is_explained():
    """Those and no others, each with what it means."""
    said = explained(section("docs/operate.md", "## Warnings"), "warning")
    assert_explains(said, set(warning_codes()))


def test_every_setting_is_explained_with_its_default():
    """Those and no others; the default is that of .env.example, which the settings are held to."""
    example = dict(re.findall(r"^([A-Z_]+)=(.*)$", page(".env.example"), re.MULTILINE))
    table = rows(section("docs/configuration.md", "## Settings"), "name")
    assert {code(name)[0] for name, *_ in table} == SETTINGS
    for name, default, meaning in table:
        given = example[code(name)[0]]
        assert code(default) == ([given] if given else []), name
        assert default, name
        assert len(meaning) > 10, name


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each key of the configuration with its default, dotted, objects before their parts."""
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        inner = [
            each
            for each in (field.annotation, *get_args(field.annotation))
            if isinstance(each, type) and issubclass(each, BaseModel)
        ]
        is_list = str(field.annotation).startswith("list[")
        if not inner or is_list or default is None:
            yield prefix + name, default
        for each in inner:
            yield from keys(each, f"{prefix}{name}{'[]' if is_list else ''}.")


KEYS = dict(keys(Integration))


def configured() -> list[tuple[str, str, str, str]]:
    """Return the rows that explain a key: key, default, example, meaning."""
    return [(code(row[0])[0], *row[1:]) for row in rows(page("docs/configuration.md"), "key")]


def test_every_key_of_an_integration_is_explained():
    """Those and no others, once each."""
    named = [key for key, *_ in configured()]
    assert sorted(named) == sorted(KEYS)
    assert all(len(meaning) > 10 for *_, meaning in configured())


@table("row", configured())
def test_the_default_of_a_key_is_the_models_and_its_example_is_taken(row):
    """The model has this default, and takes the example in an integration that lacks nothing."""
    key, default, example, _ = row
    known = KEYS[key]
    if known is PydanticUndefined:
        assert default == "required"
    else:
        assert [json.loads(each) for each in code(default)] == [as_given(known)]
    document = json.loads(example_integration())
    place = document
    *parents, last = key.split(".")
    for parent in parents:
        name = parent.removesuffix("[]")
        place = place.setdefault(name, {}) if parent == name else place[name][2]
    (value,) = code(example)
    place[last] = json.loads(value)
    if key == "mapping[].type":  # of the value that stands there already
        place["attribute"] = "score"
    Integration.model_validate(document)


def as_given(value: Any) -> Any:
    """Return a default as somebody would write it: what has its own default is left out."""
    if isinstance(value, list):
        return [as_given(each) for each in value]
    return value.model_dump(exclude_defaults=True) if isinstance(value, BaseModel) else value


def example_integration() -> str:
    """Return the integration that the configuration page shows in full."""
    return next(each.text for each in blocks("json") if each.kind == "json integration")


def test_every_outcome_of_a_webhook_is_named():
    """In the row of its metric, and no others."""
    table = rows(section("docs/monitor.md", "## Metrics"), "metric, after `jebbit_sync_`")
    said = next(row[2] for row in table if code(row[0]) == ["webhooks_total"])
    assert set(code(said)) == set(get_args(WebhookOutcome))


def test_every_metric_is_explained_with_its_labels(demo_played):
    """Those and no others, as a service shows them on which all situations were played."""
    table = rows(section("docs/monitor.md", "## Metrics"), "metric, after `jebbit_sync_`")
    said = {code(name)[0].removesuffix("_total"): set(code(labels)) for name, labels, _ in table}
    shown = {
        family.name.removeprefix("jebbit_sync_"): set().union(*(s.labels for s in family.samples))
        for family in text_string_to_metric_families(demo_played.metrics)
        if family.name.startswith("jebbit_sync_")
    }
    assert said == {name: labels - {"le"} for name, labels in shown.items()}


def test_every_role_is_explained():
    """Those and no others."""
    said = explained(section("docs/security.md", "## Roles"), "role")
    assert set(said) == {str(each) for each in Role}


def test_every_fault_and_switch_of_the_sandbox_is_explained():
    """Those and no others; switches with their defaults."""
    text = page("docs/rehearse.md")
    assert_explains(explained(text, "fault"), get_args(FaultKind))
    defaults = {name: field.default for name, field in Switches.model_fields.items()}
    said = {code(name)[0]: code(default)[0] for name, default, _ in rows(text, "switch")}
    assert said == {name: str(value).lower() for name, value in defaults.items()}


def test_every_package_is_in_the_layout():
    """Those and no others."""
    table = rows(section("docs/develop.md", "## Layout"), "package")
    packages = {f"app/{each.parent.name}" for each in (ROOT / "app").glob("*/__init__.py")}
    assert {code(row[0])[0] for row in table} == packages


# --- What the consent page promises -------------------------------------------------------------

CONSENT = page("docs/consent.md")
SAID: Mapping[str, dict[str, JsonValue]] = {
    "yes": {"opt_in": "yes"},
    "null": {},
    "no": {"opt_in": "no"},
    "unclear": {"opt_in": "perhaps"},
}


def planned(said: str, place: Mapping[str, JsonValue], **policy: JsonValue) -> Plan:
    """Return what is done with a person who said so, at once, under a policy."""
    integration = Integration.model_validate(
        {
            "name": "Quiz",
            "cordial": {"account_url": "https://admin.cordial.io", "api_key": "the-key"},
            "jebbit": {"webhook_secrets": ["the-shared-secret"], "region": None},
            "policy": {"collect": "both", "opt_in_field": "opt_in_status", **policy},
        }
    )
    submission = Submission({"email": "ann@example.com", **SAID[said], **place})
    return plan(submission, integration, received_at=1.8e9, now=1.8e9)


@pytest.mark.parametrize("row", rows(CONSENT, "`policy.opt_in`"), ids=lambda row: row[0])
def test_who_is_sent_is_what_the_consent_page_says(row):
    """Each cell of its table, asked of the rules."""
    (rule,) = code(row[0])
    for said, expected in zip(SAID, row[1:], strict=True):
        made = planned(said, {"country_code": "US"}, opt_in=rule, auto_subscribe=True)
        assert isinstance(made, Upsert) == {"sent": True, "not sent": False}[expected], said


@pytest.mark.parametrize("row", rows(CONSENT, "email"), ids=lambda row: row[0])
def test_who_is_subscribed_is_what_the_consent_page_says(row):
    """Each cell of its table, asked of the rules for every place that the row names."""
    condition, *cells = row
    auto = "is true" in condition
    places: list[dict[str, JsonValue]] = [{"country_code": "DE"}, {}]
    if "EU or unknown" not in condition:
        places = [{"country_code": "US"}] if auto else [*places, {"country_code": "US"}]
    above = rows(CONSENT, "email")[0][1:]
    for said, cell, first in zip(SAID, cells, above, strict=True):
        text = first if cell == "same" else cell
        for place in places:
            for on_opt_out in ("leave", "unsubscribe"):
                asked = status_asked(said, place, auto=auto, on_opt_out=on_opt_out)
                unsubscribes = "unsubscribed by" in text and on_opt_out == "unsubscribe"
                left = "unsubscribed" if unsubscribes else None
                assert asked == ("subscribed" if text == "subscribed" else left), (said, place)


def status_asked(
    said: str, place: Mapping[str, JsonValue], *, auto: bool, on_opt_out: str
) -> JsonValue:
    """Return the email status asked of Cordial; None leaves it alone."""
    made = planned(said, place, opt_in="everyone", auto_subscribe=auto, on_opt_out=on_opt_out)
    assert isinstance(made, Upsert)
    channels: Any = made.body["channels"]
    status: JsonValue = channels["email"].get("subscribeStatus")
    return status


def test_the_words_for_an_answer_are_those_of_the_consent_page():
    """Those and no others; whatever else somebody writes is unclear."""
    for said in (Answer.YES, Answer.NO, Answer.NULL):
        (cell,) = [row[1] for row in rows(CONSENT, "answer") if row[0] == said]
        known = {word for word, meant in values._WORDS.items() if meant is said and word}
        assert {word.replace(" ", "_") for word in code(cell)} == known
        assert all(values.answer(word, Labels()) is said for word in code(cell))


def test_the_countries_of_express_consent_are_those_of_the_consent_page():
    """By their names, as a lawyer would write them."""
    (listed,) = re.findall(r"\(`EXPRESS_CONSENT_COUNTRIES`\): ([^;]+);", " ".join(CONSENT.split()))
    names = [each.removeprefix("the ") for each in listed.split(", ")]
    assert {country_code(fold_label(each)) for each in names} == EXPRESS_CONSENT_COUNTRIES


# --- What is printed ----------------------------------------------------------------------------


@pytest.mark.parametrize("block", blocks("json"), ids=lambda each: f"{each.page}: {each.kind}")
def test_every_json_example_is_taken(block):
    """By the model that its fence names; answers and log lines are JSON at least."""
    kind = block.kind.removeprefix("json").strip()
    if kind == "log":
        assert [json.loads(line) for line in block.text.splitlines()]
        return
    document = json.loads(block.text)
    if kind == "integration":
        Integration.model_validate(document)
    elif kind == "patch":
        merged = merge_patch(json.loads(example_integration()), document)
        Integration.model_validate(merged)
    elif kind == "jebbit":
        assert all(item.submission for item in parse(block.text.encode()))
    else:
        assert kind == "answer", "say in the fence what it is"


def test_what_the_readme_shows_of_the_demo_is_what_it_prints(demo_played):
    """Each line; rows may be left out."""
    (shown,) = [each.text for each in blocks("") if each.text.startswith("┏")]
    printed = {line.rstrip() for line in demo_played.table.splitlines()}
    assert [line for line in shown.splitlines() if line.rstrip() not in printed] == []


def test_secrets_in_examples_are_none():
    """What looks like a key in an example says that it is one to be replaced."""
    integration = Integration.model_validate_json(example_integration())
    secrets: list[SecretStr] = [integration.cordial.api_key, *integration.jebbit.webhook_secrets]
    assert all(each.get_secret_value().startswith("the-") for each in secrets)


def test_a_secret_that_is_printed_is_refused():
    """Whoever copies an example word for word must not run on what everybody can read."""
    texts = [page(str(each.relative_to(ROOT))) for each in ROOT.glob("docs/**/*.md")]
    texts += [
        page("README.md"),
        page(".env.example"),
        json.dumps(create_app(Settings(_env_file=None)).openapi()),
    ]
    pattern = (
        r"""(?:webhook_secrets"?: \[|"secret": |--secret |-hmac |[A-Z_]*(?:SECRET|TOKEN)[A-Z_]*=)"""
        r"""["']?([A-Za-z][A-Za-z0-9_-]{7,})"""
    )
    printed = {each for text in texts for each in re.findall(pattern, text)}
    assert "the-shared-secret-from-jebbit" in printed
    assert {each for each in printed if weakness(each) is None} == set()
