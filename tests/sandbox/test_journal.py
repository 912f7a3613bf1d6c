"""The journal has every request to Cordial."""

import asyncio

from app.sandbox.faults import Fault
from tests.sandbox.caller import email, post


async def test_the_journal_has_every_request(cordial):
    """Method, raw path, status, key, body and address; unreadable and refused ones as well."""
    await post(cordial, channels=email(address="Ann@Example.com"))
    await cordial.get("/v2/contacts/email:ann%40example.com")
    await cordial.post("/v2/contacts", content=b"{", headers={"content-type": "application/json"})
    await cordial.get("/nowhere", auth=("some-other-key", ""))
    entries = (await cordial.get("/_sandbox/journal")).json()["requests"]
    shown = [(e["n"], e["method"], e["path"], e["status"], e["key"], e["email"]) for e in entries]
    assert shown == [
        (1, "POST", "/v2/contacts", 201, "-key", "ann@example.com"),
        (2, "GET", "/v2/contacts/email:ann%40example.com", 200, "-key", None),
        (3, "POST", "/v2/contacts", 400, "-key", None),
        (4, "GET", "/nowhere", 404, "-key", None),
    ]
    assert entries[0]["body"] == {"channels": email(address="Ann@Example.com")}
    assert entries[2]["body"] is None
    assert all(entry["started"] <= entry["ended"] for entry in entries)


async def test_the_journal_is_read_in_parts(cordial):
    """`after` gives what is new, also over a clearing, which does not reuse numbers."""

    async def numbers(after: int) -> list[int]:
        answer = await cordial.get("/_sandbox/journal", params={"after": after})
        return [entry["n"] for entry in answer.json()["requests"]]

    for _ in range(3):
        await post(cordial)
    assert [await numbers(n) for n in (0, 2, 3, 9)] == [[1, 2, 3], [3], [], []]
    assert (await cordial.delete("/_sandbox/journal")).status_code == 204
    await post(cordial)
    assert [await numbers(n) for n in (0, 2, 3, 4)] == [[4], [4], [4], []]


async def test_overlapping_requests_overlap_in_the_journal(cordial, sandbox):
    """An entry is there from the start of its request."""
    sandbox.faults.append(Fault(kind="slow", seconds=0.05))
    await asyncio.gather(post(cordial), post(cordial))
    first, second = sandbox.journal
    assert first.ended is not None
    assert second.started < first.ended
