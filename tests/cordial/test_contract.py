"""What the suite cannot know by sending alone: see tests/contract.py for every request it sends."""

import json
from pathlib import Path

import pytest

from app.cordial.client import CordialClient
from app.cordial.errors import Rejected
from app.cordial.probe import IMPOSSIBLE
from app.pool import open_pool
from tests import contract
from tests.conftest import API_KEY
from tests.contract import CONTACTS, DEVIATIONS
from tests.descriptions import CORDIAL, Description, Deviation

CASES = sorted((Path(__file__).parents[1] / "fixtures" / "cases").glob("*/plan.json"))

pytestmark = pytest.mark.skipif(
    not CORDIAL.exists(), reason="NO DESCRIPTION OF CORDIAL'S API: nothing to compare with"
)


@pytest.fixture(scope="module")
def cordial() -> Description:
    return Description(CORDIAL)


def test_every_golden_contact_is_as_described(cordial):
    """And each deviation that is listed still is one."""
    found = {}
    for file in CASES:
        body = json.loads(file.read_text(encoding="utf-8")).get("upsert")
        if body is not None:
            found[file.parent.name] = set(cordial.deviations("POST", "/v2/contacts", {}, body))
    assert len(found) > 100
    unknown = {name: each - DEVIATIONS for name, each in found.items() if each - DEVIATIONS}
    assert unknown == {}
    assert set().union(*found.values()) == DEVIATIONS


def test_what_the_check_asks_to_be_refused_cannot_be_granted(cordial):
    for body in IMPOSSIBLE:
        wrong = {each.place for each in cordial.deviations("POST", "/v2/contacts", {}, body)}
        assert ("suppressTriggers",) in wrong


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "place"),
    [
        ("GET", "/v2/contact", {}, None, ()),
        ("PUT", "/v2/contacts", {}, None, ()),
        ("GET", "/v2/accountlists", {"nam": "a"}, None, ("nam",)),
        ("POST", "/v2/accountlists", {}, {}, ()),
        ("POST", "/v2/accountlists", {}, {"name": 1}, ("name",)),
        ("POST", "/v2/contacts", {}, {"channels": {"email": []}}, ("channels", "email")),
    ],
)
def test_what_is_not_described_is_seen(cordial, method, path, query, body, place):
    assert place in {each.place for each in cordial.deviations(method, path, query, body)}


@pytest.mark.anyio
async def test_a_request_that_is_not_as_described_is_noticed_as_it_is_sent(sandbox_server):
    """Else nothing of what the suite sends would be compared."""
    async with open_pool(1) as pool:
        client = CordialClient(pool, f"{sandbox_server.url}/v2", API_KEY, timeout=5)
        with pytest.raises(Rejected):
            await client.upsert({"channels": {"email": {"address": 1}}})
    assert contract.not_as_described() == {
        Deviation(CONTACTS, ("channels", "email", "address"), '1 is not of type "string"')
    }
