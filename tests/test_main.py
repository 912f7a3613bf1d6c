"""The command line: each command does its part and ends well, as a real process."""

import asyncio
import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from app.__main__ import cli, main
from app.ledger.database import Database
from app.ledger.vault import Vault
from app.sandbox.faults import Fault
from app.serving import free_port
from app.settings import Settings
from tests.conftest import API_KEY, WEBHOOK_SECRET, integration_body, post_webhook
from tests.processes import ROOT
from tests.waiting import wait_for

KEY = "a-key-of-the-tests-0123456789"
TOKEN = "a-token-of-the-tests"
COMMANDS = ["serve", "worker", "migrate", "sandbox", "send", "demo"]


# --- Help and refusals --------------------------------------------------------------------------


def test_help_names_every_command():
    """`python -m app --help` is where somebody new starts."""
    shown = CliRunner().invoke(cli, ["--help"])
    assert shown.exit_code == 0
    assert all(command in shown.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    """With a sentence of its own."""
    shown = CliRunner().invoke(cli, [command, "--help"])
    assert shown.exit_code == 0
    assert len(shown.stdout.splitlines()) > 4


POSTGRESQL = {"DATABASE_URL": "postgresql://localhost:1/db"}


@pytest.fixture
def command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    logging_restored: None,
) -> Callable[..., tuple[int, str]]:
    """Run a command that ends by itself, without a process; gives its code and standard error."""
    monkeypatch.chdir(tmp_path)

    def ran(name: str, **settings: str) -> tuple[int, str]:
        for each in Settings.model_fields:
            monkeypatch.delenv(each.upper(), raising=False)
        for each, value in settings.items():
            monkeypatch.setenv(each, value)
        monkeypatch.setattr(sys, "argv", ["app", name])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert captured.out == ""
        return int(ended.value.code or 0), captured.err

    return ran


@pytest.mark.parametrize(
    ("name", "settings", "line"),
    [
        ("serve", {"PORT": "http"}, r"PORT: write a whole number"),
        ("migrate", {"LOG_LEVEL": "LOUD"}, r"LOG_LEVEL: use DEBUG, INFO, WARNING or ERROR"),
        (
            "serve",
            {**POSTGRESQL, "PORT": "0"},
            r"Set SECRET_KEY and OPS_TOKEN, the same on every replica; make .*",
        ),
        ("worker", POSTGRESQL, r"Set SECRET_KEY and OPS_TOKEN, the same on every replica; make .*"),
        (
            "migrate",
            {"DATABASE_URL": "mysql://x/y"},
            r"DATABASE_URL: mysql is not known here; use sqlite.*",
        ),
        pytest.param(
            "serve",
            {"DATABASE_URL": "mysql://x/y", "SECRET_KEY": KEY, "OPS_TOKEN": TOKEN},
            r"DATABASE_URL: mysql is not known here; use sqlite.*",
        ),
        pytest.param("migrate", {"DATABASE_URL": "nonsense"}, r".*DATABASE_URL.*"),
        pytest.param(
            "serve",
            {"SECRET_KEY": "short"},
            r"SECRET_KEY: needs at least 16 characters; make one with: .*",
        ),
    ],
)
def test_a_bad_setting_is_one_clear_line(command, name, settings, line):
    """It names the setting and what to write; exit 2, and no traceback."""
    code, told = command(name, **settings)
    assert code == 2
    assert re.fullmatch(line, told.strip()), told


@pytest.mark.parametrize("name", ["worker", pytest.param("serve")])
def test_another_key_than_the_ledgers_is_one_clear_line(command, name, sqlite_url):
    """Whoever lost the key reads how to give the old one too."""

    async def write() -> None:
        database = Database(sqlite_url)
        await database.migrate()
        await database.pseudonyms(Vault([KEY]))
        await database.close()

    asyncio.run(write())
    free = {"DATABASE_URL": sqlite_url, "PORT": str(free_port()), "OPS_TOKEN": TOKEN}
    code, told = command(name, **free, SECRET_KEY="another-key-of-the-tests-0123")
    assert code == 2
    assert told.splitlines()[-1].startswith("SECRET_KEY is not the one")
    assert "Traceback" not in told


@pytest.mark.parametrize(("name", "setting"), [("serve", "PORT"), ("worker", "WORKER_PORT")])
def test_a_port_in_use_ends_the_start(command, name, setting):
    """In one line with the setting, instead of a service that nobody reaches."""
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        code, told = command(name, **{setting: port})
    assert (code, told.strip()) == (1, f"{setting}: another program listens on {port}")


@pytest.mark.parametrize(
    ("host", "told"),
    [("192.0.2.1", "this machine has no address"), ("no.invalid", "does not know the name")],
)
def test_an_address_that_cannot_be_listened_on_ends_the_start(command, host, told):
    """It is told apart from a port in use."""
    code, line = command("serve", HOST=host)
    assert code == 1
    assert re.fullmatch(f"HOST: .*{told}.*", line.strip())


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["http://127.0.0.1:1/x", "--secret", "s"], 1, "http://127.0.0.1:1/x does not answer"),
        (["http://[::1/x", "--secret", "s"], 1, "http://[::1/x does not answer: Invalid port"),
        (["http://127.0.0.1:1/x", "--secret", "s", "--sample", "x"], 2, "no sample 'x'; there are"),
        (["http://127.0.0.1:1/x"], 2, "Missing option '--secret'"),
        pytest.param(
            ["http://127.0.0.1:1/x", "--secret", "s", "--file", "no-such-file"],
            2,
            "no-such-file",
        ),
    ],
)
def test_a_webhook_that_cannot_be_sent_says_why(arguments, code, words):
    """In a line, not a traceback."""
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "WEBHOOK_SECRET": None})
    refused = runner.invoke(cli, ["send", *arguments])
    if refused.exception and not isinstance(refused.exception, SystemExit):
        raise refused.exception
    assert refused.exit_code == code
    assert words in " ".join(refused.output.replace("│", "").split())


def test_who_only_delivers_loads_no_web_framework():
    """Nor does a command beside the service: it would take a third of the time to start."""
    web = "{'fastapi', 'app.api', 'app.console'}"
    code = f"import sys, app.__main__; sys.exit(not {web}.isdisjoint(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0


def test_migrate_can_be_run_again(tmp_path, monkeypatch, logging_restored):
    """It makes the ledger where there is none, and leaves one that is up to date."""
    monkeypatch.chdir(tmp_path)
    runner = CliRunner(env=dict.fromkeys(map(str.upper, Settings.model_fields)))
    for _ in range(2):
        done = runner.invoke(cli, ["migrate"])
        assert (done.exit_code, done.stdout) == (0, "The ledger is up to date.\n")
    with closing(sqlite3.connect(tmp_path / "data" / "ledger.db")) as ledger:
        tables = {name for (name,) in ledger.execute("SELECT name FROM sqlite_master")}
    assert {"submissions", "integrations", "attempts", "contacts"} <= tables


# --- The whole way ------------------------------------------------------------------------------


def test_the_commands_work_together(tmp_path, launch, forked):
    """sandbox, serve, send and worker: a sample sent on the command line ends up in Cordial."""
    port = free_port()
    cordial = f"127.0.0.1:{port}"
    sandbox = forked("sandbox", "--port", str(port), PORT=str(port))
    serve = launch("serve", RUN_WORKER="false", CORDIAL_EXTRA_HOSTS=cordial)
    worker = forked("worker", CORDIAL_EXTRA_HOSTS=cordial)
    sandbox.until_ready("/_sandbox/journal")
    serve.until_ready()
    assert f"http://{cordial} (account URL), API key {API_KEY}" in sandbox.said()
    assert f"Docs: {serve.url}/docs" in serve.said()
    kept = tmp_path / "data" / "ops_token"
    assert f"OPS_TOKEN is in {kept}" in serve.said()
    assert kept.read_text() not in serve.said()
    headers = {"authorization": f"Bearer {kept.read_text()}"}
    with httpx.Client(base_url=serve.url, headers=headers, verify=False) as client:
        created = client.post(
            "/integrations?force=true", json=integration_body(f"http://{cordial}")
        )
        hook = created.json()["webhook_url"]
        by_hand = CliRunner(env={"WEBHOOK_SECRET": WEBHOOK_SECRET})
        sent = by_hand.invoke(cli, ["send", hook, "--secret", WEBHOOK_SECRET])
        assert (sent.exit_code, sent.stdout[:4]) == (0, "202 ")
        [submission] = json.loads(sent.stdout[4:])["submissions"]
        body = tmp_path / "body.json"
        body.write_text('{"email": "bob@example.com"}')
        test = by_hand.invoke(cli, ["send", hook, "--test", "--file", str(body)])
        assert json.loads(test.stdout[4:])["test"] is True
        wrong = by_hand.invoke(cli, ["send", hook, "--secret", "wrong"])
        assert (wrong.exit_code, wrong.stdout[:4]) == (1, "401 ")
        path = f"/submissions/{submission}"
        wait_for(lambda: client.get(path).json()["status"] != "pending", timeout=20)
        assert client.get(path).json()["status"] == "delivered"
    held = httpx.get(f"http://{cordial}/_sandbox/contacts", verify=False).json()["contacts"]
    assert [each["channels"]["email"]["address"] for each in held] == ["ann@example.com"]
    assert serve.end(signal.SIGINT) == 0
    assert (worker.end(), sandbox.end()) == (0, 0)
    for each in (serve, sandbox, worker):
        assert "Traceback" not in each.said()


def test_what_is_printed_of_a_server_can_be_opened(forked):
    """On an IPv6 address too, which an address needs in brackets."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    serve = forked("serve", HOST="::1", RUN_WORKER="false")
    wait_for(lambda: "running on" in serve.said(), 60, "it serves")
    for name in ("Console", "Docs"):
        [printed] = re.findall(f"^{name}: (.+)$", serve.said(), re.MULTILINE)
        assert httpx.get(printed, verify=False, follow_redirects=True).is_success
    assert serve.end() == 0


def test_a_signal_lets_what_is_under_way_finish(tmp_path, forked, sandbox_server):
    """SIGTERM: /readyz goes 503 while the delivery finishes, then the process ends with 0."""
    serve = forked(
        "serve", SECRET_KEY=KEY, OPS_TOKEN=TOKEN, CORDIAL_EXTRA_HOSTS=sandbox_server.host
    )
    serve.until_ready()
    body = integration_body(sandbox_server.url)
    headers = {"authorization": f"Bearer {TOKEN}"}
    made = f"{serve.url}/integrations?force=true"
    assert httpx.post(made, json=body, headers=headers).status_code == 201
    sandbox_server.sandbox.faults = [Fault(kind="slow", seconds=1.5)]
    answer = post_webhook(serve.url, {"email": "ann@example.com"})
    [submission] = answer.json()["submissions"]
    wait_for(lambda: len(sandbox_server.sandbox.journal) == 1)
    serve.send(signal.SIGTERM)
    with httpx.Client(verify=False) as probe:
        wait_for(lambda: probe.get(f"{serve.url}/readyz").status_code == 503, timeout=1)
        assert probe.get(f"{serve.url}/healthz").status_code == 200
    assert serve.wait() == 0
    assert "Traceback" not in serve.said()
    row: Any
    with closing(sqlite3.connect(tmp_path / "data" / "ledger.db")) as ledger:
        [row] = ledger.execute("SELECT status FROM submissions WHERE id = ?", [submission])
    assert row == ("delivered",)
    assert len(sandbox_server.bodies()) == 1
