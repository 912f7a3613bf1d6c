"""Subscribe statuses of email and SMS, and what a change of them sets off."""

import pytest

from app.sandbox.switches import Switches
from tests.sandbox.caller import ANN, PHONE, email, held, post, sms


@pytest.mark.parametrize(
    ("before", "asked", "force", "after"),
    [
        (None, None, False, "none"),
        (None, "subscribed", False, "subscribed"),
        (None, "unsubscribed", False, "unsubscribed"),
        ("subscribed", None, False, "subscribed"),
        ("subscribed", "none", False, "none"),
        ("subscribed", "unsubscribed", False, "unsubscribed"),
        ("unsubscribed", None, True, "unsubscribed"),
        ("unsubscribed", "none", True, "unsubscribed"),
        ("unsubscribed", "subscribed", False, "unsubscribed"),
        ("unsubscribed", "subscribed", True, "subscribed"),
    ],
)
async def test_the_email_status_machine(cordial, before, asked, force, after):
    """Only a forced `subscribed` leads out of `unsubscribed`."""
    if before:
        await post(cordial, channels=email(before))
    answer = await post(cordial, channels=email(asked), forceSubscribe=force)
    assert answer.is_success
    assert (await held(cordial))[0]["channels"]["email"]["subscribeStatus"] == after


@pytest.mark.parametrize("channels", [email, sms], ids=["email", "sms"])
async def test_resubscribing_without_force_can_be_refused(cordial, sandbox, channels):
    """By switch the whole write is 422 and writes nothing."""
    sandbox.switches = Switches(unsubscribed="reject")
    await post(cordial, channels=ANN | channels("unsubscribed"))
    before = await held(cordial)
    answer = await post(cordial, channels=ANN | channels("subscribed"), first_name="Ann")
    assert answer.status_code == 422
    assert await held(cordial) == before


@pytest.mark.parametrize(
    ("force_on_post", "after"), [(True, "subscribed"), (False, "unsubscribed")]
)
async def test_force_on_post_is_a_switch(cordial, sandbox, force_on_post, after):
    """POST may ignore forceSubscribe; PUT never does."""
    sandbox.switches = Switches(force_on_post=force_on_post)
    await post(cordial, channels=email("unsubscribed"))
    again = {"channels": email("subscribed"), "forceSubscribe": True}
    await post(cordial, **again)
    assert (await held(cordial))[0]["channels"]["email"]["subscribeStatus"] == after
    await cordial.put("/v2/contacts/email:ann@example.com", json=again)
    assert (await held(cordial))[0]["channels"]["email"]["subscribeStatus"] == "subscribed"


@pytest.mark.parametrize(
    ("steps", "after", "texts"),
    [
        ([("subscribed", {})], "pendingDOI", 1),
        ([("subscribed", {}), ("subscribed", {})], "pendingDOI", 1),
        ([("subscribed", {"suppressDOI": True})], "subscribed", 0),
        ([("subscribed", {}), ("subscribed", {"suppressDOI": True})], "subscribed", 1),
        ([("subscribed", {"suppressDOI": True}), ("subscribed", {})], "subscribed", 0),
        ([("unsubscribed", {}), ("subscribed", {})], "unsubscribed", 0),
        ([("none", {})], "none", 0),
    ],
)
async def test_the_sms_status_machine(cordial, steps, after, texts):
    """`subscribed` waits for the answer to a text, unless suppressDOI; one text per wait."""
    for status, program in steps:
        await post(cordial, channels=sms(status, **program))
    (contact,) = await held(cordial)
    expected = {"main": {"keyword": "join", "subscribeStatus": after}}
    assert contact["channels"]["sms"] == {"address": PHONE, "programs": expected}
    sent = (await cordial.get("/_sandbox/texts")).json()["texts"]
    assert [(one["to"], one["program"], one["keyword"]) for one in sent] == [
        (PHONE, "main", "join")
    ] * texts


async def test_triggers_fire_only_where_asked_and_changed(cordial):
    """suppressTriggers is true by default; a value that stays the same fires nothing."""
    await post(cordial, first_name="Ann")
    await post(cordial, first_name="Bea", suppressTriggers=True)
    await post(cordial, first_name="Bea", suppressTriggers=False)
    await post(cordial, first_name="Cat", age=1, suppressTriggers=False)
    fired = (await cordial.get("/_sandbox/triggers")).json()["triggers"]
    assert [one["attributes"] for one in fired] == [["first_name", "age"]]
