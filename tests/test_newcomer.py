"""A newcomer sets up an integration by the calls that the README prints."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.jebbit.signature import TEST_HEADER
from app.sandbox.account import Attribute

README = Path(__file__).parents[1] / "README.md"
SECRET = "shared-secret-from-jebbit"

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="the README's calls need curl")


class Shell:
    """Runs the calls of the README's set-up section, as they stand there."""

    def __init__(self, **environment: str) -> None:
        section = README.read_text().partition("## Set up a real integration")[2]
        blocks = re.findall(r"```bash\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
        self.calls = [block for block in blocks if "curl" in block]
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
        JEBBIT_SECRET="not-yet-known",
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
    assert "mapping.2: Cordial has no list weekly_deals" in found
    assert "Write Quiz_Outcome" in shell.run("/resume")["detail"]
    shell.run("PATCH", "Quiz_Outcome")
    assert shell.run("create_missing=true")["ok"]
    assert account.lists == ["weekly_deals"]

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
    assert sandbox_server.contact("ann@example.com").lists == {"weekly_deals"}
