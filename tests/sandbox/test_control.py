"""The control API steers the sandbox, and changes nothing on bad input."""

import httpx
import pytest

from app.sandbox.account import default_account
from app.sandbox.faults import Fault
from app.sandbox.server import create_sandbox
from app.sandbox.state import Sandbox
from app.sandbox.switches import Switches
from tests.sandbox.caller import AUTH, post, sms


async def test_switches_and_account_are_told_over_http(cordial):
    """A patch changes what it names; a new account holds at once."""
    patched = await cordial.patch("/_sandbox/switches", json={"update_status": 201})
    assert patched.json() == {**Switches().model_dump(), "update_status": 201}
    assert (await cordial.get("/_sandbox/switches")).json() == patched.json()
    await post(cordial)
    assert (await post(cordial)).status_code == 201
    account = (await cordial.get("/_sandbox/account")).json()
    account["attributes"]["tier"] = {"type": "string"}
    account["allowed_ips"] = ["127.0.0.1/32"]
    assert (await cordial.put("/_sandbox/account", json=account)).status_code == 200
    assert (await post(cordial, tier="gold")).status_code == 201


@pytest.mark.parametrize(
    ("method", "path", "body", "place"),
    [
        ("PATCH", "switches", {"nope": 1}, "nope"),
        ("PATCH", "switches", {"update_status": 204}, "update_status"),
        ("PATCH", "switches", [], "body"),
        ("PUT", "faults", {"faults": [{"kind": "nope"}]}, "faults.0.kind"),
        ("PUT", "faults", {"faults": [{"kind": "slow", "times": 0}]}, "faults.0.times"),
        ("PUT", "faults", [], "body"),
        ("PUT", "account", {"timezone": "Mars/Base"}, "timezone"),
        ("PUT", "account", {"timezone": "America"}, "timezone"),
        ("PUT", "account", {"attributes": {"a": {"type": "boolean"}}}, "attributes.a.type"),
        ("PUT", "account", {"api_keys": {"k": ["POST contact"]}}, "api_keys.k.0"),
        ("GET", "journal?after=x", None, "body"),
    ],
)
async def test_bad_control_input_is_422_and_changes_nothing(cordial, method, path, body, place):
    """The message names the place."""
    before = [(await cordial.get(f"/_sandbox/{at}")).json() for at in ("switches", "account")]
    answer = await cordial.request(method, f"/_sandbox/{path}", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(f"{place}: ")
    after = [(await cordial.get(f"/_sandbox/{at}")).json() for at in ("switches", "account")]
    assert after == before


async def test_a_reset_starts_over_but_for_the_account():
    """Contacts, texts, triggers, journal, faults and switches go; attributes made stay."""
    app = create_sandbox(switches=Switches(update_status=201))
    sandbox: Sandbox = app.state.sandbox
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://cordial", auth=AUTH
    ) as cordial:
        await cordial.post("/v2/accountlists", json={"name": "sellers"})
        await post(cordial, channels=sms("subscribed"), age=1, suppressTriggers=False)
        await cordial.patch("/_sandbox/switches", json={"update_status": 200})
        sandbox.faults.append(Fault(kind="html_502"))
        sandbox.latency_seconds = 1
        assert (await cordial.post("/_sandbox/reset")).status_code == 204
        assert [list(sandbox.contacts), list(sandbox.journal), sandbox.faults] == [[], [], []]
        assert [sandbox.contacts.texts, sandbox.contacts.triggers] == [[], []]
        assert (sandbox.switches.update_status, sandbox.latency_seconds) == (201, 0)
        assert sandbox.account.lists[-1] == "sellers"


async def test_the_control_api_is_not_in_the_journal_and_needs_no_key(app, sandbox):
    """Nor do faults hit it."""
    sandbox.faults.append(Fault(kind="server_error"))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://cordial"
    ) as anyone:
        assert (await anyone.get("/_sandbox/contacts")).status_code == 200
        assert (await anyone.get("/_sandbox/nope")).status_code == 404
    assert len(sandbox.journal) == 0


async def test_two_sandboxes_share_nothing():
    """The account given is copied."""
    account = default_account()
    first, second = (create_sandbox(account).state.sandbox for _ in range(2))
    first.account.lists.append("sellers")
    first.account.attributes["age"].validators.required = True
    assert second.account == account == default_account()
