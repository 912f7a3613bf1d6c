"""What of a refused contact is sent once more, and what is not."""

import pytest

from app.rules.partial import Channels, Refusal, without_refused

CHANNELS = Channels("email", "sms")


def body(email: str | None, sms: str | None, **more):
    channels = {"email": {"address": "ann@example.com"}, "sms": {"address": "15555550101"}}
    if email:
        channels["email"]["subscribeStatus"] = email
    if sms:
        channels["sms"]["programs"] = {"main": {"subscribeStatus": sms}}
    return {"channels": channels, "first_name": "Ann", "suppressTriggers": True, **more}


def reduced(sent, names=(), message="no", fields=True):
    return without_refused(
        sent, Refusal(dict.fromkeys(names, "no"), message), CHANNELS, fields=fields
    )


@pytest.mark.parametrize(
    ("sent", "names", "message"),
    [
        (body("subscribed", "unsubscribed"), ["channels.sms.address"], "no"),
        (body("subscribed", "unsubscribed"), ["keyword"], "no"),
        (body("subscribed", "unsubscribed"), [], "SMS program unknown"),
        (body(None, "unsubscribed"), ["channels.sms.programs.main.subscribeStatus"], "no"),
        (body("unsubscribed", None), ["channels.email.subscribeStatus"], "no"),
    ],
)
def test_a_no_is_not_left_out(sent, names, message):
    """Behind a success nobody would see that somebody's no did not arrive."""
    assert reduced(sent, names, message) is None


def test_a_field_goes_and_a_no_stays():
    left = reduced(body("unsubscribed", "unsubscribed"), ["first_name"])
    assert left is not None
    assert "first_name" not in left.body
    assert left.body["channels"] == body("unsubscribed", "unsubscribed")["channels"]


def test_force_goes_with_the_last_status_that_it_could_force():
    """Alone it would mean nothing; beside another yes it stays."""
    both = body("subscribed", "subscribed", forceSubscribe=True)
    assert reduced(both, ["channels.sms"]).body["forceSubscribe"] is True
    assert "forceSubscribe" not in reduced(both, ["subscribeStatus"]).body


@pytest.mark.parametrize("names", [["channels.email.address"], ["email"], ["first_name", "email"]])
def test_without_an_address_there_is_nothing_to_send(names):
    assert reduced(body("subscribed", None), names) is None


@pytest.mark.parametrize("names", [["last_name"], [], ["channels"]])
def test_what_was_not_sent_cannot_be_left_out(names):
    assert reduced(body("subscribed", None), names) is None


def test_fields_stay_where_the_customer_says_so():
    assert reduced(body(None, None), ["first_name"], fields=False) is None
