"""What ops/ gives to Kubernetes and systemd: they can read it, and it fits the service."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import promql_parser
import pytest
import yaml

from app import __version__
from app.main import create_app
from app.operations.callers import Role
from app.settings import Settings, read_settings
from tests.test_ops import RULES, selectors

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "ops/kubernetes"
FILES = {each.name: yaml.safe_load(each.read_text()) for each in sorted(FOLDER.glob("*.yaml"))}
KUSTOMIZATION = FILES.pop("kustomization.yaml")
OBJECTS: dict[str, Any] = {each["kind"]: each for each in FILES.values()}
DEPLOY = (ROOT / "docs/deploy.md").read_text()
POD = OBJECTS["Deployment"]["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]
LABELS = OBJECTS["Deployment"]["spec"]["template"]["metadata"]["labels"]
NEWEST = kubernetes_validate.latest_version()
OF_KUBERNETES = sorted(set(FILES) - {"monitoring.yaml"})  # which is the Prometheus operator's


# --- Kubernetes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.27", NEWEST])
@pytest.mark.parametrize("name", OF_KUBERNETES)
def test_kubernetes_can_read_each_manifest(name, version):
    """By its own schemas, with no member that it does not know, old enough and new."""
    kubernetes_validate.validate(FILES[name], version, strict=True)


def test_a_member_that_is_misspelt_would_be_found():
    """The check above can fail."""
    wrong = {**OBJECTS["Service"], "spec": {**OBJECTS["Service"]["spec"], "selectors": {}}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, NEWEST, strict=True)


def test_kustomize_takes_all_of_them():
    """And puts the image of this version and the settings where the Deployment looks for them."""
    assert set(KUSTOMIZATION["resources"]) == set(FILES)
    [image] = KUSTOMIZATION["images"]
    assert (image["name"], image["newTag"]) == (CONTAINER["image"], __version__)
    [settings] = KUSTOMIZATION["configMapGenerator"]
    assert [each["configMapRef"]["name"] for each in CONTAINER["envFrom"]] == [settings["name"]]
    names = {each.partition("=")[0] for each in settings["literals"]}
    assert {each.lower() for each in names} <= set(Settings.model_fields)


def test_all_that_choose_pods_choose_these():
    """By the same label; and names of objects, ports and secrets are those that are there."""
    budget, policy = OBJECTS["PodDisruptionBudget"]["spec"], OBJECTS["NetworkPolicy"]["spec"]
    service, monitor = OBJECTS["Service"], OBJECTS["ServiceMonitor"]["spec"]
    assert OBJECTS["Deployment"]["spec"]["selector"]["matchLabels"] == LABELS
    assert budget["selector"]["matchLabels"] == policy["podSelector"]["matchLabels"] == LABELS
    assert service["spec"]["selector"] == service["metadata"]["labels"] == LABELS
    assert monitor["selector"]["matchLabels"] == LABELS
    target = OBJECTS["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", service["metadata"]["name"])
    [port] = CONTAINER["ports"]
    [offered] = service["spec"]["ports"]
    [endpoint] = monitor["endpoints"]
    assert offered["targetPort"] == port["name"] == policy["ingress"][0]["ports"][0]["port"]
    assert endpoint["port"] == offered["name"]
    [path] = OBJECTS["Ingress"]["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"] == {
        "name": service["metadata"]["name"],
        "port": {"name": offered["name"]},
    }
    assert path["path"] == "/webhooks"


def test_what_is_probed_and_scraped_is_there():
    """By the routes of the service; readiness and life are told apart."""
    routes = create_app(Settings(_env_file=None)).openapi()["paths"]
    probes = {kind: CONTAINER[kind]["httpGet"]["path"] for kind in CONTAINER if "Probe" in kind}
    assert probes == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }
    scraped = OBJECTS["ServiceMonitor"]["spec"]["endpoints"][0]["path"]
    assert {*probes.values(), scraped} <= set(routes)


def test_the_pod_may_do_little_and_is_given_time_to_end():
    """As the image's user, nothing written to its root; 5 s for proxies and 20 s to finish."""
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["runAsUser"] == 10001
    assert (
        f"USER {10001}:{POD['securityContext']['runAsGroup']}" in (ROOT / "Dockerfile").read_text()
    )
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["automountServiceAccountToken"] is POD["enableServiceLinks"] is False
    waits = int(CONTAINER["lifecycle"]["preStop"]["exec"]["command"][1])
    assert POD["terminationGracePeriodSeconds"] >= waits + 30
    assert CONTAINER["resources"]["limits"]["memory"]


def keys_of_the_secret() -> dict[str, str]:
    """Return what docs/deploy.md puts into the Secret."""
    return dict(re.findall(r"--from-literal=([\w-]+)=(\S+)", DEPLOY))


def test_secrets_are_mounted_as_the_docs_make_them(tmp_path, monkeypatch):
    """With what the docs put into the Secret, and the pod into files, settings are read."""
    given = keys_of_the_secret()
    [secret] = [each["secret"] for each in POD["volumes"] if "secret" in each]
    mounted = {each["path"]: each["key"] for each in secret["items"]}
    metrics = OBJECTS["ServiceMonitor"]["spec"]["endpoints"][0]["authorization"]["credentials"]
    assert set(given) == {*mounted.values(), metrics["key"]}
    assert secret["secretName"] == metrics["name"] == "jebbit-cordial-sync"
    assert "kubectl create secret generic jebbit-cordial-sync" in DEPLOY
    made = {name: f"{name}-0123456789abcdef" for name in ("SECRET_KEY", "OPS_TOKEN", "METRICS")}
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for each in CONTAINER["env"]:
        folder, _, file = each["value"].rpartition("/")
        assert folder == CONTAINER["volumeMounts"][0]["mountPath"]
        value = re.sub(r"\"?\$\{?(\w+)\}?\"?", lambda match: made[match[1]], given[mounted[file]])
        (tmp_path / file).write_text(value)
        monkeypatch.setenv(each["name"], str(tmp_path / file))
    for each in CONTAINER["envFrom"] and KUSTOMIZATION["configMapGenerator"][0]["literals"]:
        monkeypatch.setenv(*each.split("=", 1))
    monkeypatch.chdir(tmp_path)
    settings = read_settings()
    assert settings.database_url.startswith("postgresql://")
    assert settings.ops_token is not None
    assert settings.ops_tokens is not None
    assert f":{Role.METRICS}:" in settings.ops_tokens.get_secret_value()
    assert given["metrics-token"] in given["ops-tokens"]


def test_the_lag_that_scales_is_made_of_metrics_that_are_there():
    """The adapter's rule in the docs names the metric that the autoscaler asks for."""
    [rule] = re.findall(r"```yaml\n(externalRules:\n.*?)```", DEPLOY, re.DOTALL)
    [external] = yaml.safe_load(rule)["externalRules"]
    asked = OBJECTS["HorizontalPodAutoscaler"]["spec"]["metrics"][0]["external"]["metric"]["name"]
    assert external["name"]["as"] == asked
    query = external["metricsQuery"]
    promql_parser.parse(query)
    known = {each.name for alert in RULES for each in selectors(alert["expr"])}
    documented = set(
        re.findall(r"^\| `(\w+)`", (ROOT / "docs/monitor.md").read_text(), re.MULTILINE)
    )
    for each in selectors(query):
        assert each.name in known or each.name.removeprefix("jebbit_sync_") in documented


# --- systemd ------------------------------------------------------------------------------------

UNIT = ROOT / "ops/systemd/jebbit-cordial-sync.service"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="NOT CHECKED: no systemd-analyze")
def test_systemd_can_read_the_unit_and_calls_it_safe(tmp_path):
    """No directive that it does not know, and less exposed than 2 of 10."""
    text = UNIT.read_text().replace("/opt/jebbit-cordial-sync/.venv/bin/python", sys.executable)
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace("/opt/jebbit-cordial-sync", str(ROOT)))
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)]
    verified = subprocess.run(command, capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)]
    assert subprocess.run(command, capture_output=True).returncode == 0


def test_the_unit_starts_the_service_and_gives_it_time_to_end():
    """A bad setting is not tried again and again; all its settings are settings."""
    unit = UNIT.read_text()
    assert "ExecStart=/opt/jebbit-cordial-sync/.venv/bin/python -m app serve" in unit
    assert int(re.findall(r"TimeoutStopSec=(\d+)", unit)[0]) >= 30
    assert "RestartPreventExitStatus=2" in unit
    given = set(re.findall(r"^Environment=(\w+)=", unit, re.MULTILINE)) - {
        "PYTHONDONTWRITEBYTECODE"
    }
    assert {each.lower() for each in given} <= set(Settings.model_fields)
