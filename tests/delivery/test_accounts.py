"""What is known of an account is known for a while, and forgotten when it changes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from app.cordial.account import BadAccountUrl
from app.cordial.errors import AccessRefused
from app.delivery.accounts import Accounts
from app.ledger.integrations import Gate, StoredIntegration
from app.pool import open_pool
from app.rules.integration import Integration
from app.sandbox.account import Attribute
from app.sandbox.faults import Fault
from tests.conftest import integration_body


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
async def accounts(sandbox_server, clock) -> AsyncIterator[Accounts]:
    async with open_pool(2) as http:
        hosts = frozenset({sandbox_server.host})
        yield Accounts(http, timeout=5, extra_hosts=hosts, clock=lambda: clock[0])


@pytest.fixture
def stored(sandbox_server):
    body = integration_body(sandbox_server.url, unmapped="known")
    del body["state"]
    return StoredIntegration(
        "spring-quiz", Integration.model_validate(body), 1, False, None, Gate(), 0.0, 0.0
    )


def changed(stored, version=2, **cordial):
    body = stored.integration.model_copy(
        update={"cordial": stored.integration.cordial.model_copy(update=cordial)}
    )
    return replace(stored, integration=body, version=version)


async def test_attributes_are_asked_for_once_in_five_minutes(
    accounts, stored, sandbox_server, clock
):
    """One made in Cordial meanwhile flows after that at the latest."""
    journal = sandbox_server.sandbox.journal
    first = await accounts.attributes(stored)
    assert first["quiz_outcome"] == "string"
    sandbox_server.sandbox.account.attributes["new"] = Attribute(type="number")
    clock[0] = 299.9
    assert await accounts.attributes(stored) == first
    assert len(journal) == 1
    clock[0] = 300.0
    assert (await accounts.attributes(stored))["new"] == "number"
    assert len(journal) == 2


async def test_many_deliveries_ask_an_account_once(accounts, stored, sandbox_server):
    """What was known has grown old for all of them at once. One that ends does not end the others'
    waiting, and a refusal is everybody's."""
    sandbox_server.sandbox.faults = [Fault(kind="slow", seconds=0.1)]
    impatient = asyncio.create_task(accounts.attributes(stored))
    waiting = [asyncio.create_task(accounts.attributes(stored)) for _ in range(20)]
    await asyncio.sleep(0)
    impatient.cancel()
    assert all("quiz_outcome" in each for each in await asyncio.gather(*waiting))
    assert len(sandbox_server.sandbox.journal) == 1
    sandbox_server.sandbox.account.api_keys["sandbox-key"] = []
    refused = [accounts.attributes(replace(stored, version=2)) for _ in range(20)]
    told = await asyncio.gather(*refused, return_exceptions=True)
    assert {type(each) for each in told} == {AccessRefused}
    assert len(sandbox_server.sandbox.journal) == 2


async def test_a_changed_integration_is_asked_for_anew(accounts, stored, sandbox_server):
    """It may be another account."""
    await accounts.attributes(stored)
    await accounts.attributes(replace(stored, version=2))
    assert len(sandbox_server.sandbox.journal) == 2


async def test_nothing_is_asked_where_unmapped_attributes_do_not_flow(
    accounts, stored, sandbox_server
):
    """The key may not even have that permission."""
    ignoring = stored.integration.model_copy(update={"unmapped": "ignore"})
    assert await accounts.attributes(replace(stored, integration=ignoring)) is None
    assert len(sandbox_server.sandbox.journal) == 0


async def test_a_refusal_is_not_remembered(accounts, stored, sandbox_server):
    """Once the permission is given, it works."""
    sandbox_server.sandbox.account.api_keys["sandbox-key"] = ["POST contacts"]
    with pytest.raises(AccessRefused):
        await accounts.attributes(stored)
    sandbox_server.sandbox.account.api_keys["sandbox-key"] = None
    assert await accounts.attributes(stored)


async def test_a_client_is_kept_until_the_integration_changes(accounts, stored):
    """Its pace is kept with it."""
    assert accounts.client(stored) is accounts.client(stored)
    assert accounts.client(replace(stored, version=2)) is not accounts.client(stored)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "https://evil.example", "http://"])
async def test_the_key_goes_to_known_hosts_only(accounts, stored, url):
    """Whatever the stored address says."""
    with pytest.raises(BadAccountUrl):
        accounts.client(changed(stored, account_url=url))
    with pytest.raises(BadAccountUrl):
        await accounts.attributes(changed(stored, account_url=url))


async def test_the_address_of_the_account_is_the_api_s(accounts, stored, sandbox_server):
    """As shown in a preview, too."""
    assert accounts.base(stored) == f"{sandbox_server.url}/v2"
    assert accounts.base(changed(stored, account_url="https://admin.cordial.io")) == (
        "https://api.cordial.io/v2"
    )
