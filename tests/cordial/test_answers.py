"""Every answer that Cordial, its edge or a proxy may give leads to the right state.

Each file of `answers/` is one situation: what is answered, in turn, and what follows for the
submission, the integration's gate and the person who reads of it. A worker plays it over real HTTP.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tenacity import wait_none

from app.cordial import client
from app.ledger.database import Database
from app.ledger.integrations import Integrations
from app.ledger.vault import Vault
from app.sandbox.account import Attribute
from tests.conftest import SECRET_KEY, SandboxServer, merged
from tests.delivery.conftest import Clock, Line, person

ANSWERS = sorted(Path(__file__).with_name("answers").glob("*.json"))
INTEGRATION = {
    "cordial": {"sms": {"program": "main", "keyword": "join", "suppress_doi": True}},
    "jebbit": {"attributes": {"sms_opt_in": "sms_opt_in"}},
    "mapping": [
        {"attribute": "email", "field": "channels.email.address"},
        {"attribute": "phone_number", "field": "channels.sms.address"},
        {"attribute": "first_name", "field": "first_name"},
        {"attribute": "colors", "field": "colors", "type": "array", "separator": "|"},
    ],
}
SAID = {"first_name": "Ann", "colors": "red|blue", "country_code": "US", "sms_opt_in": "yes"}


class Stage:
    """A worker and the sandbox, for all situations: each has an integration and a person."""

    def __init__(self, runner: asyncio.Runner, line: Line) -> None:
        self.runner = runner
        self.line = line

    def play(self, name: str, situation: dict[str, Any]) -> dict[str, Any]:
        """Return what became of a submission that meets these answers."""
        return self.runner.run(self._play(name, situation))

    async def _play(self, name: str, situation: dict[str, Any]) -> dict[str, Any]:
        line, number = self.line, ANSWERS.index(ANSWERS[0].with_name(f"{name}.json"))
        body = merged(INTEGRATION, situation.get("integration", {}))
        made = await line.create(name=name, **body)
        phone = f"+1617555{number:04d}"
        said = person(name, **SAID, phone_number=phone) | situation.get("submission", {})
        address = {"email": said["email"]} if said["email"] else {"holding": phone[1:]}
        times = {} if situation.get("always") else {"times": 1}
        for answer in situation["answers"]:
            line.fail("answer", answer=answer, **address, **times)
        expected = situation["expect"]
        (id_,) = await line.accept(said, to=made.id)

        async def there() -> bool:
            found, integration = await line.find(id_), await line.integrations.get(made.id)
            if expected["status"] != "pending" or found.status != "pending":
                return found.status != "pending"
            known = len(found.attempts) >= len(expected["attempts"] or ())
            return known and (expected["gate"] == "open" or integration.gate.state != "open")

        await line.until(there)
        found, stored = await line.find(id_), await line.integrations.get(made.id)
        sent = [each.body for each in line.cordial.sandbox.journal if holds(each.body, said, phone)]
        self.line.cordial.sandbox.faults.clear()
        await line.integrations.pause(made.id, reason="", now=line.clock())
        return {"submission": found, "integration": stored, "sent": sent, "at": line.clock()}


def holds(body: Any, said: dict[str, Any], phone: str) -> bool:
    text = json.dumps(body)
    return (said["email"] or phone[1:]) in text


@asynccontextmanager
async def staged(url: str, cordial: SandboxServer) -> AsyncIterator[Line]:
    database, vault = Database(url), Vault([SECRET_KEY])
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        await database.migrate()
        pseudonyms = await database.pseudonyms(vault)
        made = Integrations(database, vault)
        line = Line(database, made, pseudonyms, cordial, Clock(), stack)
        await line.start()
        yield line
        await line.stop()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: Any, _sandbox_server: SandboxServer) -> Iterator[Stage]:
    """One ledger, worker and sandbox for all files; tries within seconds follow at once."""
    _sandbox_server.begin_anew()
    _sandbox_server.sandbox.account.attributes["colors"] = Attribute(type="array")
    _sandbox_server.sandbox.account.attributes["member_id"] = Attribute(type="string")
    folder = tmp_path_factory.mktemp("answers")
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "_QUICK_WAIT", wait_none())
        context = staged(f"sqlite:///{folder / 'ledger.db'}", _sandbox_server)
        yield Stage(runner, runner.run(context.__aenter__()))
        runner.run(context.__aexit__(None, None, None))


@pytest.mark.parametrize("file", ANSWERS, ids=[each.stem for each in ANSWERS])
def test_an_answer_leads_to_the_right_state(stage: Stage, file: Path) -> None:
    situation = json.loads(file.read_text())
    expected = situation["expect"]
    became = stage.play(file.stem, situation)
    found, integration = became["submission"], became["integration"]
    state = {
        "status": found.status,
        "reason": found.reason,
        "gate": integration.gate.state,
        "warnings": [each["code"] for each in found.warnings or ()],
    }
    assert state == {name: expected[name] for name in state}
    if expected["attempts"] is not None:
        assert [each.outcome for each in found.attempts] == expected["attempts"]
    shown = [each.error or "" for each in found.attempts] + [integration.gate.reason or ""]
    shown += [each["detail"] for each in found.warnings or ()]
    for words in expected.get("reads", ()):
        assert any(words in each for each in shown), shown
    assert not any("@" in each for each in shown), "an address is kept"
    for field in expected.get("lacks", ()):
        assert place(became["sent"][0], field) is not None
        assert place(became["sent"][-1], field) is None
    if "wait" in expected:
        assert integration.gate.until - became["at"] == pytest.approx(expected["wait"], abs=0.01)


def place(body: Any, path: str) -> Any:
    """Return what stands at a place of a request."""
    for key in path.split("."):
        body = body.get(key) if isinstance(body, dict) else None
    return body
