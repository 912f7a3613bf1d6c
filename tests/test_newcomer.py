"""A newcomer tries the service, and sets it up, by the calls that the docs print."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.jebbit.signature import TEST_HEADER
from app.sandbox.account import Attribute

ROOT = Path(__file__).parents[1]
SECRET = "shared-secret-from-jebbit"

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="the docs' calls need curl")


def shell_blocks(page: str) -> list[str]:
    """Return what a page gives to paste into a shell."""
    return re.findall(r"```bash\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


class Shell:
    """Runs the calls of docs/set-up.md, as they stand there."""

    def __init__(self, **environment: str) -> None:
        self.calls = [block for block in shell_blocks("docs/set-up.md") if "curl" in block]
        self.environment = {**os.environ, **environment}

    def run(self, *words: str) -> Any:
        """Run the one call that has all of these words; return what it prints."""
        (call,) = (each for each in self.calls if all(word in each for word in words))
        done = subprocess.run(
            ["bash", "-c", call], env=self.environment, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)


def errors(answer: Any) -> str:
    """Return the errors of a check as text."""
    assert not answer["ok"]
    found = [each for each in answer["findings"] if each["level"] == "error"]
    return "; ".join(f"{each['place']}: {each['problem']} {each['remedy']}" for each in found)


def test_newcomer_goes_live(service: Callable[..., Any], sandbox_server: Any) -> None:
    """Wrong key, allow list, case and list are each found, explained and mended; then it sends."""
    account = sandbox_server.sandbox.account
    account.attributes = {"Quiz_Outcome": Attribute(name="Outcome", type="string")}
    account.lists = []
    account.allowed_ips = ["192.0.2.0/24"]
    running = service()
    shell = Shell(
        SERVICE=running.url,
        TOKEN=running.token,
        ACCOUNT_URL=sandbox_server.url,
        CORDIAL_KEY="a-key-with-a-typo",
    )
    created = shell.run('"name": "Spring quiz"')
    assert (created["state"], created["id"]) == ("paused", "spring-quiz")

    assert "API key is wrong" in errors(shell.run("spring-quiz/check "))
    shell.environment["CORDIAL_KEY"] = "sandbox-key"
    shell.run("PATCH", "api_key")
    assert "allow list" in errors(shell.run("spring-quiz/check "))
    account.allowed_ips = None
    found = errors(shell.run("spring-quiz/check "))
    assert "mapping.1: Cordial has Quiz_Outcome" in found
    assert "mapping.2: Cordial has no list weekly-deals" in found
    assert "Write Quiz_Outcome" in shell.run("/resume")["detail"]
    shell.run("PATCH", "Quiz_Outcome")
    assert shell.run("create_missing=true")["ok"]
    assert account.lists == ["weekly-deals"]

    shell.environment["JEBBIT_SECRET"] = SECRET
    shell.run("webhook-secrets")
    test = {"data": {"email": "test@example.com", "opt_in": "true"}, "event": {"event_number": 0}}
    assert running.post([test], secret=SECRET, headers={TEST_HEADER: "1"}).json()["test"]
    (seen,) = shell.run("status=test")["submissions"]
    plan = running.submission(seen["id"])["plan"]
    assert plan["request"]["body"]["channels"]["email"]["subscribeStatus"] == "subscribed"
    assert len(sandbox_server.sandbox.contacts) == 0

    assert shell.run("/resume")["state"] == "active"
    body = {"email": "ann@example.com", "opt_in": "true", "outcome": "Bold", "newsletter": "yes"}
    made = running.post(body, secret=SECRET).json()["submissions"][0]
    running.wait(made)
    (delivered,) = shell.run("status=delivered")["submissions"]
    assert delivered["id"] == made
    assert sandbox_server.contact("ann@example.com").lists == {"weekly-deals"}


def documents(text: str) -> Iterator[Any]:
    """Yield the JSON documents that stand in a text, one after the other."""
    while text := text.strip():
        document, end = json.JSONDecoder().raw_decode(text)
        yield document
        text = text[end:]


def test_newcomer_tries_it(
    service: Callable[..., Any], sandbox_server: Any, tmp_path: Path
) -> None:
    """The README's calls, pasted one after the other, end with the contact in Cordial."""
    running = service()
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data/ops_token").write_text(running.token)
    script = "set -e\n" + "echo\n".join(shell_blocks("README.md"))
    for shown, real in (
        ("http://127.0.0.1:8000", running.url),
        ("http://127.0.0.1:9100", sandbox_server.url),
    ):
        assert shown in script
        script = script.replace(shown, real)
    look = f"curl -s '{running.url}/submissions?"
    count = f'curl -s {running.url}/stats -H "Authorization: Bearer $TOKEN"'
    until_delivered = f"until {count} | grep -q '\"delivered\":1'; do :; done\n"
    script = script.replace(look, until_delivered + look)
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    created, previewed, resumed, answered, listed, held = documents(done.stdout)
    assert (created["state"], resumed["state"]) == ("paused", "active")
    assert previewed["submissions"][0]["decision"] == "upsert"
    assert answered["accepted"] == 1
    assert [each["id"] for each in listed["submissions"]] == answered["submissions"]
    assert held["contacts"][0]["attributes"] == {"quiz_outcome": "Bold"}
