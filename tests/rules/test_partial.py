"""What of a refused contact is sent once more, and what is not."""

import pytest

from app.rules.partial import Channels, Refusal, without_refused
from tests.table import table

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
        (body(None, "unsubscribed"), ["first_name", "channels.sms.address"], "no"),
    ],
)
def test_a_no_is_not_left_out(sent, names, message):
    """Behind a success nobody would see that somebody's no did not arrive."""
    assert reduced(sent, names, message) is None


@pytest.mark.parametrize(
    ("email", "field", "value", "goes"),
    [
        (None, "answered", "no", False),
        ("subscribed", "weekly_deals", False, False),
        ("unsubscribed", "weekly_deals", False, False),
        ("unsubscribed", "answered", "no", True),  # the status says it too
        ("subscribed", "answered", "yes", True),
        (None, "answered", "unclear", True),
        ("subscribed", "first_name", "no", True),
        ("subscribed", "weekly_deals", True, True),
        ("subscribed", "score", 0, True),
    ],
)
def test_a_no_in_a_field_is_not_left_out(email, field, value, goes):
    """The answer to the opt-in, unless the status tells it, and leaving a list."""
    sent = {**body(email, None), field: value}
    refusal = Refusal({field: "no"}, "no")
    left = without_refused(sent, refusal, CHANNELS, fields=True, answer_field="answered")
    assert (left is not None) is goes
    assert left is None or field not in left.body
    named = without_refused(sent, Refusal({}, f"{field} is odd"), CHANNELS, fields=True)
    assert (named is None) is (value is False)


def test_of_a_phone_alone_a_no_in_a_field_is_not_left_out():
    """There is no email whose status could tell it."""
    channels = {"sms": {"address": "15555550101"}}
    sent = {"channels": channels, "answered": "no"}
    refusal = Refusal({"answered": "no"}, "no")
    assert without_refused(sent, refusal, CHANNELS, fields=True, answer_field="answered") is None


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


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["channels.sms.programs.main.subscribeStatus"], "no"),
        (["subscribeStatus"], "no"),
        ([], "the SMS number is unsubscribed"),
    ],
)
def test_a_number_goes_with_its_status_where_another_one_gets_texts(names, message):
    """Alone, it would get them in the place of the one that agreed to them."""
    sent, channels = body("subscribed", "subscribed"), Channels("email", "sms", True)
    refusal = Refusal(dict.fromkeys(names, "no"), message)
    left = without_refused(sent, refusal, channels, fields=True)
    assert list(left.body["channels"]) == ["email"]
    assert {"sms_rejected", "status_rejected"} == {each.code for each in left.warnings}
    alone = {**sent, "channels": {"sms": sent["channels"]["sms"]}}
    left = without_refused(alone, refusal, channels, fields=True)
    assert left.body["channels"] == {"sms": {"address": "15555550101"}}


def test_a_number_stays_where_the_status_of_email_is_refused():
    """Whoever gets texts by another number: this one's own status goes with it."""
    sent, channels = body("subscribed", "subscribed"), Channels("email", "sms", True)
    refusal = Refusal({"channels.email.subscribeStatus": "no"}, "no")
    left = without_refused(sent, refusal, channels, fields=True)
    assert left.body["channels"]["sms"] == sent["channels"]["sms"]


@pytest.mark.parametrize("names", [["channels.email.address"], ["email"], ["first_name", "email"]])
def test_without_an_address_there_is_nothing_to_send(names):
    assert reduced(body("subscribed", None), names) is None


@pytest.mark.parametrize("names", [["last_name"], [], ["channels"], ["identifyBy"]])
def test_what_was_not_sent_cannot_be_left_out(names):
    assert reduced(body("subscribed", None), names) is None


def test_fields_stay_where_the_customer_says_so():
    assert reduced(body(None, None), ["first_name"], fields=False) is None


# --- Which part is meant ------------------------------------------------------------------------

EVERYTHING = body(
    "subscribed",
    "subscribed",
    forceSubscribe=True,
    identifyBy=["customer_id"],
    **{"home.city": "Oslo", "home.loc.lat": 59.9, "colors": ["red"]},
    **{"quiz-outcome": "Bold", "_score": 7, "x": 1},
)
BOTH = ["channels.email status", "channels.sms status"]
SMS_STATUS, EMAIL_STATUS = BOTH[1:], BOTH[:1]


def lacks(sent, left):
    """Return what a body lacks of another, a channel's status apart from the channel."""
    if left is None:
        return None
    of_channels = []
    for channel, told in sent["channels"].items():
        if channel not in left["channels"]:
            of_channels.append(f"channels.{channel}")
        elif left["channels"][channel] != told:
            assert left["channels"][channel] == {"address": told["address"]}
            of_channels.append(f"channels.{channel} status")
    gone = [key for key in sent if key not in left]
    assert all(left[key] == sent[key] for key in left if key != "channels")
    return of_channels + gone


@table(
    ("name", "lacking"),
    [
        ("first_name", ["first_name"]),
        ("home.city", ["home.city"]),
        ("home", ["home.city", "home.loc.lat"]),
        ("colors.0", ["colors"]),
        ("first_name.x", ["first_name"]),
        ("city", None),
        ("identifyBy", ["identifyBy"]),
        ("identifyBy.0", ["identifyBy"]),
        ("channels.sms", ["channels.sms"]),
        ("channels.sms.address", ["channels.sms"]),
        ("sms", ["channels.sms"]),
        ("sms.address", ["channels.sms"]),
        ("channels.sms.programs.main.keyword", ["channels.sms"]),
        *((each, ["channels.sms"]) for each in ("programs", "program", "keyword", "suppressDOI")),
        ("programs.main.keyword", ["channels.sms"]),
        ("programs.main.subscribeStatus", SMS_STATUS),
        ("channels.sms.programs.main.subscribeStatus", SMS_STATUS),
        ("channels.sms.status", SMS_STATUS),
        ("sms.subscribeStatus", SMS_STATUS),
        ("channels.email.subscribeStatus", EMAIL_STATUS),
        ("email.status", EMAIL_STATUS),
        ("subscribeStatus", [*BOTH, "forceSubscribe"]),
        ("forceSubscribe", [*BOTH, "forceSubscribe"]),
        ("channels.email", None),
        ("channels.push", None),
        ("channels.push.subscribeStatus", None),
        ("channels", None),
        ("suppressTriggers", None),
        ("status", None),
        ("", None),
    ],
)
def test_a_name_in_a_refusal_means_a_part_of_the_body(name, lacking):
    """However Cordial writes the place; what is no part of it that can go leaves nothing out."""
    left = reduced(EVERYTHING, [name])
    assert lacks(EVERYTHING, left and left.body) == lacking


@table(
    ("text", "lacking"),
    [
        ("key first_name is not part of the schema", ["first_name"]),
        ("home.city: no such key.", ["home.city"]),
        ("there is no home-.", ["home.city", "home.loc.lat"]),
        ("Colors is not known", None),
        ("(colors)", ["colors"]),
        ("colorsX is not known", None),
        ("quiz-outcome is not known", ["quiz-outcome"]),
        ("_score is not known", ["_score"]),
        ("no such key: x", ["x"]),
        ("the Search Field customer_id is not indexed", ["identifyBy"]),
        ("the phone is not valid", ["channels.sms"]),
        *((f"this {each} is odd", ["channels.sms"]) for each in ("SMS", "mobile", "Program")),
        ("no such keyword", ["channels.sms"]),
        ("no such keywords, smss or telephones", None),
        ("the contact is unsubscribed", [*BOTH, "forceSubscribe"]),
        ("subscribestatus is wrong", [*BOTH, "forceSubscribe"]),
        ("forceSubscribe is not allowed", [*BOTH, "forceSubscribe"]),
        ("the SMS number is unsubscribed", SMS_STATUS),
        ("something is wrong", None),
        ("", None),
    ],
)
def test_a_text_without_names_means_the_parts_that_it_speaks_of(text, lacking):
    """As whole words; a text that speaks of none leaves nothing out."""
    left = reduced(EVERYTHING, message=text)
    assert lacks(EVERYTHING, left and left.body) == lacking


def test_a_name_counts_before_the_text():
    """What Cordial names it means, whatever else it says."""
    left = reduced(EVERYTHING, ["colors"], "first_name and the phone are wrong")
    assert lacks(EVERYTHING, left.body) == ["colors"]


def test_a_text_is_read_where_the_names_are_none_of_ours():
    """Cordial may name an inner place, and say in words what it means."""
    left = reduced(EVERYTHING, ["attributes"], "first_name is not known")
    assert lacks(EVERYTHING, left.body) == ["first_name"]


def test_a_text_of_search_fields_means_nothing_where_none_are_sent():
    """`identifyBy` was not sent: Cordial speaks of something else."""
    sent = body("subscribed", None)
    assert reduced(sent, message="search field unknown") is None
    left = reduced(sent, message="search field first_name unknown")
    assert lacks(sent, left.body) == ["first_name"]


def test_a_status_that_was_not_asked_cannot_be_left_out():
    """The same contact would only be refused again; of a bad number the channel can go."""
    sent = body(None, None)
    assert reduced(sent, ["channels.email.status"]) is None
    assert reduced(sent, ["subscribeStatus"]) is None
    left = reduced(sent, message="the SMS number is unsubscribed")
    assert lacks(sent, left.body) == ["channels.sms"]


def test_the_sms_channel_stays_where_it_is_the_only_address():
    """Without it Cordial would not know whom the contact is."""
    alone = {"channels": {"sms": EVERYTHING["channels"]["sms"]}, "first_name": "Ann"}
    for name in ("channels.sms.address", "keyword"):
        assert reduced(alone, [name]) is None
    assert reduced(alone, message="the phone is not valid") is None
    assert lacks(alone, reduced(alone, ["channels.sms.status"]).body) == SMS_STATUS


def test_of_an_sms_channel_that_was_not_sent_nothing_goes():
    """A text that speaks of SMS means another part then, or none."""
    email = {"channels": {"email": {"address": "ann@example.com"}}, "first_name": "Ann"}
    assert reduced(email, ["channels.sms.address"]) is None
    assert reduced(email, message="the phone is not valid") is None
    asked = {"channels": {"email": EVERYTHING["channels"]["email"]}}
    left = reduced(asked, message="unsubscribed from SMS")
    assert lacks(asked, left.body) == EMAIL_STATUS


def test_a_channel_and_its_status_may_both_be_refused():
    """In whichever order: the channel goes whole, and each is told."""
    names = ["channels.sms.address", "channels.sms.programs.main.subscribeStatus"]
    for each in (names, names[::-1]):
        left = reduced(EVERYTHING, each)
        assert lacks(EVERYTHING, left.body) == ["channels.sms"]
        assert {each.code for each in left.warnings} == {"sms_rejected", "status_rejected"}


@pytest.mark.parametrize("name", ["first_name", "identifyBy"])
def test_fields_and_search_fields_stay_where_the_customer_says_so(name):
    """Then the contact is refused with them; a status may still go."""
    assert reduced(EVERYTHING, [name], fields=False) is None
    assert reduced(EVERYTHING, [name, "subscribeStatus"], fields=False) is None
    assert reduced(EVERYTHING, ["subscribeStatus"], fields=False) is not None
    assert reduced(EVERYTHING, ["channels.sms.address"], fields=False) is not None


def test_the_body_that_was_refused_stays_as_it_was():
    """It is told in the attempt."""
    before = repr(EVERYTHING)
    reduced(EVERYTHING, ["channels.sms", "subscribeStatus", "first_name"])
    assert repr(EVERYTHING) == before


# --- What a person reads of it ------------------------------------------------------------------


def test_each_part_that_is_left_out_is_told_with_its_words():
    """By a code for programs; a field by its name; words of its own, or else the whole text.

    The words stand behind these two: they are taken out for whoever may see no answer.
    """
    words = {
        "first_name": "too long",
        "identifyBy": "not indexed",
        "channels.email.status": "",
        "keyword": "no such",
    }
    left = without_refused(EVERYTHING, Refusal(words, "refused"), CHANNELS, fields=True)
    assert [(each.code, each.attribute, each.field) for each in left.warnings] == [
        ("field_rejected", None, "first_name"),
        ("identify_by_rejected", None, None),
        ("status_rejected", None, None),
        ("sms_rejected", None, None),
    ]
    ends = ["too long", "not indexed", "refused", "no such"]
    for warning, end in zip(left.warnings, ends, strict=True):
        assert warning.detail.endswith(f". Cordial said: {end}")
    parts = ["first_name", "identify_by", "asked for email", "(sms)"]
    for warning, part in zip(left.warnings, parts, strict=True):
        assert part in warning.detail


def test_the_first_words_of_a_part_are_told():
    """Once, though two names mean it."""
    refusal = Refusal({"colors.0": "one", "colors.1": "two"}, "refused")
    (warning,) = without_refused(EVERYTHING, refusal, CHANNELS, fields=True).warnings
    assert warning.detail.endswith(" Cordial said: one")


def test_a_refusal_without_words_is_told_without_them():
    """No empty quotation."""
    (warning,) = without_refused(
        EVERYTHING, Refusal({"colors": ""}, ""), CHANNELS, fields=True
    ).warnings
    assert "said" not in warning.detail
    assert warning.detail.endswith("replay.")
