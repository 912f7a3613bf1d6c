"""The dashboard and the alerts name what the service shows, and lead to what is to be done."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from promql_parser import MatchOp

from app.settings import Settings

ROOT = Path(__file__).parent.parent
RULES = [
    rule
    for group in yaml.safe_load((ROOT / "ops/prometheus-rules.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((ROOT / "ops/grafana-dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGETS = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]
OF_PROMETHEUS = {"instance", "job"}  # labels that the scrape adds

Series = dict[str, list[dict[str, str]]]


@pytest.fixture(scope="module")
def scraped(demo_played: Any) -> dict[str, list[tuple[Any, float]]]:
    """Every sample of a service on which the demo's situations ran: labels and value, by name."""
    samples: dict[str, list[tuple[Any, float]]] = {}
    for family in text_string_to_metric_families(demo_played.metrics):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    return samples


def value(scraped: Any, name: str, **labels: str) -> float:
    """Return the sum of the samples that have these labels."""
    return sum(
        each for having, each in scraped[f"jebbit_sync_{name}"] if labels.items() <= having.items()
    )


def test_after_the_demo_every_metric_has_a_sensible_value(scraped):
    """What occurs once is counted once; what is counted in several ways is as many in each."""
    count = {
        outcome: value(scraped, "webhooks_total", outcome=outcome)
        for outcome in ("accepted", "duplicate", "test", "invalid_signature", "not_stored")
    }
    assert count.pop("accepted") > 15
    assert count == {"duplicate": 1, "test": 1, "invalid_signature": 1, "not_stored": 0}
    webhooks = value(scraped, "webhooks_total")
    assert value(scraped, "webhook_duration_seconds_count") == webhooks
    assert (
        value(scraped, "group_commit_items_sum", kind="webhooks") == webhooks - 1
    )  # bad signature
    settled = {
        (having["outcome"], having["reason"])
        for having, _ in scraped["jebbit_sync_submissions_settled_total"]
    }
    assert {
        ("delivered", ""),
        ("skipped", "opted_out"),
        ("skipped", "untrusted_identity"),
        ("dead", "unreadable"),
    } <= settled
    delivered = value(scraped, "submissions_settled_total", outcome="delivered")
    assert delivered > 12
    assert value(scraped, "attempts_total", outcome="delivered") == delivered
    assert value(scraped, "delivery_lag_seconds_count") == delivered
    assert 0 < value(scraped, "delivery_lag_seconds_sum") < 60
    assert value(scraped, "warnings_total", kind="field_rejected") > 0
    requests = value(scraped, "cordial_requests_total")
    refused = value(scraped, "cordial_requests_total", error_class="rejected", status_class="4xx")
    assert value(scraped, "cordial_requests_total", error_class="none") == delivered
    assert value(scraped, "cordial_request_duration_seconds_count") == requests
    assert 0 < refused <= requests - delivered
    assert value(scraped, "submissions_received_total", outcome="unreadable") == 1
    received = value(scraped, "submissions_received_total", outcome="pending")
    assert delivered < received <= value(scraped, "group_commit_items_sum", kind="settlements")
    assert value(scraped, "pending_submissions") == value(scraped, "integration_paused") == 0
    assert value(scraped, "oldest_pending_age_seconds") == 0
    assert value(scraped, "dead_submissions", integration="spring-quiz") > 0
    assert value(scraped, "gate_state", state="open") == 3
    assert value(scraped, "gate_state") == 3
    assert value(scraped, "ledger_up") == value(scraped, "build_info") == 1
    assert value(scraped, "worker_last_round_timestamp_seconds") > 1.7e9


def test_labels_are_few_and_no_person_is_in_them(scraped):
    """Only these, and none with an address in it."""
    allowed = {
        "integration",
        "outcome",
        "reason",
        "kind",
        "status_class",
        "error_class",
        "state",
        "version",
        "python",
        "le",
    }
    for name, samples in scraped.items():
        for labels, _ in samples:
            assert set(labels) <= allowed, name
            assert not any("@" in each or "example" in each for each in labels.values()), name


# --- What ops/ names ----------------------------------------------------------------------------


def selectors(expression: str) -> Iterator[Any]:
    """Yield each `name{labels}` of an expression; raises where Prometheus would not read it."""
    found: list[Any] = []

    def walk(node: Any) -> None:
        match type(node).__name__:
            case "VectorSelector":
                found.append(node)
            case "MatrixSelector":
                walk(node.vector_selector)
            case "AggregateExpr" | "ParenExpr" | "UnaryExpr" | "SubqueryExpr":
                walk(node.expr)
            case "BinaryExpr":
                walk(node.lhs)
                walk(node.rhs)
            case "Call":
                for argument in node.args:
                    walk(argument)

    walk(promql_parser.parse(expression))
    yield from found


def as_prometheus_reads(expression: str) -> str:
    """Fill in Grafana's variables."""
    return expression.replace("$__rate_interval", "5m").replace("$integration", ".*")


def check(scraped: Any, expression: str) -> set[str]:
    """Assert that all an expression names is there; return the labels of what it names."""
    labels: set[str] = set()
    named = list(selectors(expression))
    assert named, expression
    for each in named:
        assert each.name in scraped, f"nothing is called {each.name}"
        samples = [having for having, _ in scraped[each.name]]
        labels |= set().union(*samples)
        for matcher in each.matchers.matchers:
            values = {having.get(matcher.name, "") for having in samples}
            is_regex = matcher.op == MatchOp.Re
            assert any(
                re.fullmatch(matcher.value, one) if is_regex else one == matcher.value
                for one in values
            ), f"{each.name} has no {matcher.name} that is {matcher.value}"
    for group in re.findall(r"\bby \(([^)]*)\)", expression):
        assert set(group.replace(" ", "").split(",")) <= labels | OF_PROMETHEUS, expression
    return labels


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_what_an_alert_names_is_there(scraped, rule):
    """Every metric, label and label's value; what its text shows comes out of its expression."""
    labels = check(scraped, rule["expr"])
    text = rule["annotations"]["summary"]
    shown = set(re.findall(r"\$labels\.(\w+)", text))
    assert shown <= labels | OF_PROMETHEUS
    grouped = " ".join(re.findall(r"\bby \(([^)]*)\)", rule["expr"]))
    assert all(name in grouped for name in shown), "aggregated away"
    assert rule["labels"]["severity"] in ("warning", "critical")


@pytest.mark.parametrize(("title", "target"), TARGETS, ids=[t for t, _ in TARGETS])
def test_what_a_panel_names_is_there(scraped, title, target):
    """Every metric and label, those of its legend too."""
    labels = check(scraped, as_prometheus_reads(target["expr"]))
    assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels | OF_PROMETHEUS


def test_every_metric_of_ours_is_on_the_dashboard(scraped):
    """What is measured and shown nowhere would be forgotten."""
    shown = {
        each.name
        for _, target in TARGETS
        for each in selectors(as_prometheus_reads(target["expr"]))
    }
    ours = {re.sub(r"_(bucket|count|sum)$", "", name) for name in scraped if "jebbit_sync" in name}
    assert ours - {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown} == set()


def test_the_panels_do_not_lie_on_each_other():
    """Each has a place of its own, as wide as the page at most, and an id of its own."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_leads_to_what_is_to_be_done(rule):
    """Its runbook is a heading below the Runbooks of docs/operate.md, and has text."""
    operate = (ROOT / "docs/operate.md").read_text()
    runbooks = operate.partition("\n## Runbooks\n")[2].partition("\n## ")[0]
    found = dict(re.findall(r"^### (.+)\n\n((?:(?!###).*\n)+)", runbooks, re.MULTILINE))
    anchors = {
        re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-"): found[each] for each in found
    }
    file, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert file == "docs/operate.md"
    assert len(anchors[anchor]) > 100


# --- Containers ---------------------------------------------------------------------------------

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
BY_DIGEST = re.compile(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")


def test_the_image_and_compose_ask_the_probes():
    """A hanging process is restarted, one that is not ready gets nothing sent."""
    assert "/healthz" in DOCKERFILE.partition("HEALTHCHECK")[2]
    assert "/readyz" in SERVICES["service"]["healthcheck"]["test"][-1]


def test_the_probes_ask_the_service_itself(forked, sqlite_url):
    """Not a proxy, though the settings name one; and one that is not ready fails."""
    serve = forked("serve", DATABASE_URL=sqlite_url)
    serve.until_ready()
    probes = [
        json.loads(re.findall(r"HEALTHCHECK.*\n *CMD (\[.*\])", DOCKERFILE)[0]),
        SERVICES["service"]["healthcheck"]["test"][1:],
    ]
    port = serve.url.rpartition(":")[2]
    away = {"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1", "PORT": port}
    for _, *arguments in probes:
        command = [sys.executable, *arguments]
        assert subprocess.run(command, env=away).returncode == 0
        gone = {**away, "PORT": "1"}
        assert subprocess.run(command, env=gone, stderr=subprocess.DEVNULL).returncode == 1


def test_images_are_pinned_by_tag_and_digest():
    """A tag may be moved to another image; a digest cannot."""
    images = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    images += [each["image"] for each in SERVICES.values() if "image" in each]
    assert len(images) == 4
    assert [each for each in images if not BY_DIGEST.fullmatch(each)] == []


def test_the_image_runs_as_a_numeric_user_that_is_not_root():
    """Kubernetes' runAsNonRoot cannot look a name up."""
    (user,) = re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE)
    assert all(int(each) > 0 for each in user.split(":"))


def test_every_dependency_has_a_wheel_for_the_python_of_the_image():
    """Compiled for it, or for all, on both kinds of machine; nothing is compiled in the image."""
    [version] = {each.replace(".", "") for each in re.findall(r"python:(3\.\d+)\.", DOCKERFILE)}
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    packages = {each["name"]: each for each in lock["package"]}
    needed, found = [("jebbit-cordial-sync", ("otel",))], set()
    while needed:
        name, extras = needed.pop()
        optional = packages[name].get("optional-dependencies", {})
        wanted = [packages[name].get("dependencies", []), *(optional.get(e, []) for e in extras)]
        for each in (one for group in wanted for one in group):
            key = (each["name"], tuple(each.get("extra", ())))
            if key not in found and "win32" not in each.get("marker", ""):
                found.add(key)
                needed.append(key)
    assert len(found) > 50
    for name, _ in found:
        wheels = [each["url"].rpartition("/")[2] for each in packages[name].get("wheels", [])]
        for machine in ("x86_64", "aarch64"):
            fitting = (
                rf"-(py3|py2\.py3|cp{version}|cp3\d+)-(none|abi3|cp{version})-(any|.*{machine})"
            )
            assert any(re.search(fitting, each) for each in wheels), f"{name} on {machine}"


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_may_do_little(name):
    """Nothing is written to its root, no privilege is kept or gained, memory is bounded."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert set(service.get("cap_add", [])) <= {"NET_BIND_SERVICE"}
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert "privileged" not in service
    if name != "proxy":  # Caddy's image has no other user
        assert all(int(each) > 0 for each in service["user"].split(":"))


def test_only_the_proxy_is_reached_from_outside():
    """Webhooks by the usual ports, ops by one of their own, on the loopback address by default."""
    assert [name for name, each in SERVICES.items() if "ports" in each] == ["proxy"]
    published = SERVICES["proxy"]["ports"]
    assert [each for each in published if "8443" in each] == ["${OPS_BIND:-127.0.0.1}:8443:8443"]
    assert COMPOSE["networks"]["back"]["internal"] is True
    assert SERVICES["ledger"]["networks"] == ["back"]


def test_the_proxy_keeps_webhooks_and_ops_apart():
    """From the internet a POST to /webhooks and nothing else; ops have no webhooks."""
    outside, _, ops = (
        (ROOT / "ops/Caddyfile").read_text().partition("\nhttps://{$OPS_HOST:localhost}:8443 {")
    )
    outside = outside.partition("\n{$WEBHOOK_HOST:localhost} {")[2]
    assert re.search(r"@webhooks \{\s+method POST\s+path /webhooks/\*\s+\}", outside)
    assert re.findall(r"handle(.*) \{", outside) == [" @webhooks", ""]
    assert outside.count("reverse_proxy") == 1
    assert "respond 404" in outside.partition("handle {")[2]
    assert re.search(r"handle /webhooks/\* \{\s+respond 404\s+\}", ops)


def test_compose_passes_all_settings_on():
    """All of .env; what compose.yaml fixes are settings."""
    service = SERVICES["service"]
    assert [each["path"] for each in service["env_file"]] == [".env"]
    fixed = set(service["environment"])
    assert {each.lower() for each in fixed} <= set(Settings.model_fields)


def test_compose_gives_the_service_time_to_end():
    """It finishes what is under way within 20 s; Docker alone would kill it after 10."""
    assert int(SERVICES["service"]["stop_grace_period"].removesuffix("s")) >= 30


# --- The first make -----------------------------------------------------------------------------

WITHOUT_VENV = """#!/bin/sh
# A Python as Debian has it without python3-venv: it leaves half an environment behind, and fails.
[ "$1 $2" = "-m venv" ] || exec python3 "$@"
mkdir -p "$3/bin" && ln -s "$(command -v python3)" "$3/bin/python"
exit 1
"""


def test_a_first_make_that_fails_leaves_nothing_in_the_way(tmp_path):
    """It names Debian's package, each time; half an environment of before is no obstacle."""
    for name in ("Makefile", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python-without-venv"
    python.write_text(WITHOUT_VENV)
    python.chmod(0o755)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to("/usr/bin/python3")
    command = ["make", ".venv/.ready", f"PYTHON={python}"]
    for _ in range(2):
        made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert made.returncode == 2
        assert "apt-get install python3-venv. Then run make again." in made.stderr
        assert sorted(each.name for each in tmp_path.glob(".venv*")) == [".venv"]
        assert not (tmp_path / ".venv/.ready").exists()


def test_a_first_make_on_an_old_python_says_which_is_needed(tmp_path):
    """And how to name another one."""
    for name in ("Makefile", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, tmp_path)
    command = ["make", ".venv/.ready", "PYTHON=false"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "Python 3.11 or newer is needed" in made.stderr
