"""Every answer of Cordial becomes one of: done, try again, wait, a person must act, give up."""

import json
import time
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.cordial.errors import (
    AccessRefused,
    CordialError,
    NoAnswer,
    ProxyRefuses,
    RateLimited,
    Rejected,
    TimedOut,
    Unavailable,
    Upserted,
    error_class,
    names_path,
    read_answer,
    refused_by_proxy,
    said_against,
)
from app.egress import Proxy
from tests.table import table

NOW = 1_700_000_000.0
CID = "5f0c1a2b3c4d5e6f70819202"
HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


def read(status, body=None, headers=None):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(status, headers or {}, content, NOW)


def refusal(status, body=None, headers=None, kind=CordialError):
    with pytest.raises(kind) as refused:
        read(status, body, headers)
    assert refused.type is kind or kind is CordialError
    return refused.value


# --- Done ---------------------------------------------------------------------------------------


@table("status", [200, 201, 202])
@table(
    ("body", "contact_id"),
    [
        ({"success": True, "message": "contact created", "cID": CID}, CID),
        ({"success": True, "cID": CID}, CID),
        ({"success": True}, None),
        ({"message": "contact created"}, None),
        ({}, None),
        ({"success": True, "cID": None}, None),
        ({"success": True, "cID": 17}, None),
        ({"cID": "aZ_-09"}, "aZ_-09"),
        ({"cID": "x"}, "x"),
        ({"cID": "x" * 64}, "x" * 64),
        ({"success": True, "cID": ""}, None),
        ({"success": True, "cID": "x" * 65}, None),
        ({"success": True, "cID": "ann@example.com"}, None),
        ({"success": True, "error": False, "errors": []}, None),
        ({"success": True, "error": None, "errors": {}}, None),
        ({"success": True, "error": "false", "accepted": "true"}, None),
        ({"success": True, "messages": "contact created"}, None),
        ({"success": True, "messages": {"validationErrors": []}}, None),
        ({"messagecontacts": [{"accepted": True}, {"id": 1}, None, 17]}, None),
        ({"status": "done"}, None),
        ({"data": {"success": True, "x": 0}}, None),
        ({"data": {"accepted": True}}, None),
        ({"data": []}, None),
    ],
)
def test_success_keeps_the_contact_id_where_there_is_one(status, body, contact_id):
    """2xx is done with any message or none; an id of another form is not kept."""
    assert read(status, body) == Upserted(status, contact_id)


# --- Not done -----------------------------------------------------------------------------------


@table(
    ("status", "body", "kind", "message"),
    [
        # 2xx that is not done
        (200, {"success": False, "message": "contact not saved"}, Rejected, "contact not saved"),
        (200, {"success": False}, Rejected, "success: false"),
        (201, {"success": True, "accepted": False}, Rejected, "success: false"),
        (200, {"success": True, "errors": ["no such list"]}, Rejected, "no such list"),
        (200, {"errors": {"age": ["is no number"]}}, Rejected, "age: is no number"),
        (200, {"error": True, "messages": "bad"}, Rejected, "bad"),
        (200, {"error": "an error has occurred"}, Rejected, "an error has occurred"),
        *((200, {"success": no}, Rejected, "success: false") for no in ("false", "No", 0, None)),
        (201, {"accepted": "false"}, Rejected, "success: false"),
        *((200, {"success": no}, Rejected, "success: false") for no in (" 0 ", "null", "", " ")),
        *((200, {"status": no}, Rejected, "success: false") for no in ("error", " Failed ")),
        *(
            (200, {"data": {flag: 0}}, Rejected, "success: false")
            for flag in ("success", "accepted")
        ),
        (200, {"validationErrors": {"age": ["bad"]}}, Rejected, "age: bad"),
        (299, {"success": False}, Rejected, "success: false"),
        (200, {"messages": {"validationErrors": {"age": ["bad"]}}}, Rejected, "age: bad"),
        (200, {"fieldErrors": {"age": "bad"}}, Rejected, "age: bad"),
        (200, {"errorKey": "GENERIC_ERROR_KEY"}, Rejected, "GENERIC_ERROR_KEY"),
        (200, {"messagecontacts": [{"accepted": True}, {"accepted": False}]}, Rejected, "success"),
        (200, [{"error": True, "message": "bad"}], Rejected, "bad"),
        (200, [{"success": True}, {"success": False}], Rejected, "success: false"),
        (200, False, Rejected, "false"),
        # 2xx that cannot be read: a page, or JSON cut short
        (200, HTML, Unavailable, "HTTP 200 with a body that cannot be read"),
        (201, b'{"success": tr', Unavailable, "HTTP 201 with a body that cannot be read"),
        (200, b"[1, ", Unavailable, "HTTP 200 with a body that cannot be read"),
        (200, b" \n<html>", Unavailable, "HTTP 200 with a body that cannot be read"),
        # no answer of HTTP that we asked for
        (199, {}, AccessRefused, "HTTP 199"),
        (399, {}, AccessRefused, "HTTP 399"),
        # access: the causes are checked below
        (401, {"error": "Access Denied: Authentication Failure"}, AccessRefused, "Access Denied"),
        (403, {"error": "Access Denied"}, AccessRefused, "Access Denied"),
        (403, HTML, AccessRefused, "HTTP 403"),
        (
            404,
            {"error": "'/v2/contact' is not found."},
            AccessRefused,
            "'/v2/contact' is not found.",
        ),
        (404, b"", AccessRefused, "HTTP 404"),
        (404, HTML, AccessRefused, "HTTP 404"),
        # a redirect would take the key elsewhere
        (301, b"", AccessRefused, "HTTP 301"),
        (302, HTML, AccessRefused, "HTTP 302"),
        (304, b"", AccessRefused, "HTTP 304"),
        (308, b"", AccessRefused, "HTTP 308"),
        # a 404 of a record speaks of this contact alone
        (404, {"error": True, "errorKey": "RECORD_NOT_FOUND"}, Rejected, "RECORD_NOT_FOUND"),
        (
            404,
            {"error": True, "errorKey": "CONTACTS_CONTACT_NOT_FOUND"},
            Rejected,
            "CONTACTS_CONTACT_NOT_FOUND",
        ),
        (400, {"error": True, "message": "The body is not JSON"}, Rejected, "The body is not JSON"),
        (415, {"errorKey": "UNSUPPORTED_MEDIA_TYPE"}, Rejected, "UNSUPPORTED_MEDIA_TYPE"),
        (422, {"errorKey": "GENERIC_ERROR_KEY", "messages": "bad tz"}, Rejected, "bad tz"),
        (422, {}, Rejected, "HTTP 422"),
        (404, {"error": True, "message": "no such list"}, Rejected, "no such list"),
        (404, {"errorKey": "RECORD_NOT_FOUND"}, Rejected, "RECORD_NOT_FOUND"),
        (413, {"message": "too large"}, Rejected, "too large"),
        *((status, {"message": "no"}, Rejected, "no") for status in (400, 411, 427, 499)),
        # of the account or the address, not of this contact
        *((each, {"message": "no"}, AccessRefused, "no") for each in (402, 405, 406, 410)),
        *((each, {"message": "no"}, AccessRefused, "no") for each in (421, 426, 451)),
        (407, HTML, AccessRefused, "HTTP 407"),
        # somebody else's words: a proxy, a firewall, the edge
        *(
            (status, body, Unavailable, f"HTTP {status}, not in Cordial's words")
            for status in (400, 402, 405, 406, 410, 411, 413, 414, 415, 421, 422, 431, 451)
            for body in (b"", HTML, b"blocked", "blocked", None, 7)
        ),
        # what passes by itself
        *((each, {"message": "later"}, Unavailable, "later") for each in (408, 409, 425, 500)),
        (408, b"", Unavailable, "HTTP 408"),
        (409, {"error": True, "message": "locked"}, Unavailable, "locked"),
        (425, b"", Unavailable, "HTTP 425"),
        (500, {"error": "an error has occurred"}, Unavailable, "an error has occurred"),
        (502, HTML, Unavailable, "HTTP 502"),
        (503, b"", Unavailable, "HTTP 503"),
        (504, b"\xff\xfe", Unavailable, "HTTP 504"),
        (522, HTML, Unavailable, "HTTP 522"),
        (429, {"error": "Too Many Requests"}, RateLimited, "Too Many Requests"),
        (429, HTML, RateLimited, "HTTP 429"),
    ],
)
def test_every_answer_says_what_can_be_done(status, body, kind, message):
    """Each row of Cordial's answers is one kind of error, with Cordial's own words kept."""
    error = refusal(status, body, kind=kind)
    assert message in error.message
    assert str(error) == error.message
    assert error.http_status == status


@pytest.mark.parametrize("status", [401, 403, 404])
def test_refused_access_names_every_likely_cause(status):
    """Cordial does not say which it is: key, allow list, permission or account URL."""
    assert refusal(status, {"error": "Access Denied"}, kind=AccessRefused).message == (
        f"Cordial answered {status}: Access Denied. Likely: "
        "the API key is wrong or was revoked; "
        "this machine's outbound IP address is not on the key's allow list; "
        "the key lacks the permission for this call (POST contacts); "
        "the account URL belongs to another region or account."
    )


@pytest.mark.parametrize("status", [402, 451])
def test_a_refusal_of_every_call_is_told_as_one(status):
    """It names no contact, and no key."""
    assert refusal(status, {"message": "no"}).message == (
        f"Cordial answered {status}: no. It concerns every call."
    )


def test_who_answered_in_its_place_is_told():
    """A person looks for the proxy, not for a fault of the contact."""
    assert refusal(422, HTML, kind=Unavailable).message == (
        "HTTP 422, not in Cordial's words: a proxy, a firewall or Cordial's edge answered in its "
        "place"
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"success": False}, "success: false"),
        ([{"success": False}], "success: false"),
        (False, "false"),
    ],
)
def test_a_success_that_says_no_without_words_is_told_so(body, message):
    """A person reads what the answer was; no field is to blame."""
    refused = refusal(200, body, kind=Rejected)
    assert (refused.message, refused.fields) == (message, {})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"success": False, "message": "no such list"}, "no such list"),
        ({"success": False}, "success: false"),
        ({"success": True, "message": "created"}, None),
    ],
)
def test_what_an_answer_says_against_itself_is_told(body, said):
    """Also of calls that make no contact."""
    assert said_against(body) == said


PROXY = Proxy("HTTPS_PROXY", "http://proxy.example:3128", "proxy.example:3128")


@pytest.mark.parametrize(
    ("status", "kind", "rest"),
    [
        (407, ProxyRefuses, ": it does not know the user and password given there."),
        (401, ProxyRefuses, ": it does not let this service reach api.cordial.io."),
        (403, ProxyRefuses, ": it does not let this service reach api.cordial.io."),
        *((each, Unavailable, ".") for each in (400, 402, 404, 406, 408, 502)),
    ],
)
def test_a_proxy_s_own_answer_is_told_as_the_proxy_s(status, kind, rest):
    """A person mends who may pass; what else it says passes by itself."""
    error = refused_by_proxy(PROXY, status, "api.cordial.io")
    assert type(error) is kind
    assert error.message == f"The proxy proxy.example:3128 (HTTPS_PROXY) answered {status}{rest}"
    assert error.http_status is None


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"", False),
        (b" \n", False),
        (HTML, True),
        (b"not found", True),
        (b"17", True),
        (b'{"error": "\'/v2/x\' is not found."}', True),
        (b'{"error": "x", "errorKey": "RECORD_NOT_FOUND"}', False),
        (b'{"error": true}', False),
        (b"{}", False),
        (b'{"message": "no"}', False),
        (b'["error"]', False),
    ],
)
def test_a_404_of_a_path_is_told_from_one_of_a_record(content, names):
    """A page, or Cordial's sentence about the path: then the address is wrong."""
    assert names_path(content) is names


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (TimedOut("m"), "timeout"),
        (NoAnswer("m"), "connection"),
        (Unavailable("m"), "unavailable"),
        (RateLimited("m", 429, None), "rate_limited"),
        (AccessRefused("m"), "access_refused"),
        (ProxyRefuses("m"), "access_refused"),
        (Rejected("m", 422), "rejected"),
        (CordialError("m"), "unavailable"),
    ],
)
def test_each_kind_of_error_has_a_word_for_metrics_and_logs(error, word):
    """Dashboards and alerts are written with these: they stay."""
    assert error_class(error) == word


@table(
    ("body", "message"),
    [
        ({"message": "one"}, "one"),
        ({"messages": "one"}, "one"),
        ({"messages": {"first_name": ["too long"]}}, "first_name: too long"),
        ({"messages": {"first_name": "too long"}}, "first_name: too long"),
        ({"messages": ["one", "two"]}, "one; two"),
        (
            {"messages": {"validationErrors": {"a": ["not of the schema"], "b": ["too", "bad"]}}},
            "a: not of the schema; b: too; b: bad",
        ),
        ({"validationErrors": {"a": ["not known"]}}, "a: not known"),
        ({"validationErrors": ["a is not known"]}, "a is not known"),
        ({"fieldErrors": {"a": "not known"}}, "a: not known"),
        ({"errors": [{"message": "one"}, {"message": "two"}]}, "one; two"),
        ({"errors": {"a": {"messages": ["deep"]}}}, "deep"),
        ({"message": "one", "errors": ["one", "two"]}, "one; two"),
        ({"error": "a string", "errorKey": "KEY"}, "a string"),
        ({"error": {"message": "one"}}, "one"),
        *(({key: "one"}, "one") for key in ("detail", "details")),
        ({"message": " ", "errorKey": "KEY"}, "KEY"),
        ({"message": "one\x7ftwo"}, "one two"),
        ({"error": True, "errorKey": "KEY"}, "KEY"),
        ({"message": "one\r\ntwo\x00three"}, "one two three"),
        ({"message": "   "}, "HTTP 422"),
        ({"message": None, "messages": 5, "errors": True}, "HTTP 422"),
        ({}, "HTTP 422"),
        ([], "HTTP 422"),
        ([{"message": "one"}, "two"], "one; two"),
    ],
)
def test_the_text_is_found_in_every_form_of_error(body, message):
    """Strings, lists, objects and nests of them are read alike; repeats are told once."""
    assert refusal(422, body, kind=Rejected).message == message


HUNDRED = [f"a{each}" for each in range(100)]
NAMING = ("field", "attribute", "property", "param", "path", "pointer", "key", "name")


@table(
    ("body", "fields"),
    [
        (
            {"messages": {"validationErrors": {"first_name": ["key first_name ..."]}}},
            ["first_name"],
        ),
        ({"messages": {"validationErrors": {"a": ["x"], "b": ["y"]}}}, ["a", "b"]),
        ({"validationErrors": {"a": "x"}}, ["a"]),
        ({"fieldErrors": {"home.city": ["x"]}}, ["home.city"]),
        ({"errors": {"validationErrors": {"a": ["x"]}}}, ["a"]),
        ({"messages": {"a": ["x"]}}, ["a"]),
        ({"message": {"a": "x"}}, ["a"]),
        ({"errors": {"a": ["x"], "b": {"message": "y"}}}, ["a", "b"]),
        ({"error": {"a": ["x"]}}, ["a"]),
        *(({"errors": [{key: "a", "message": "x"}]}, ["a"]) for key in NAMING),
        ([{"field": "a", "message": "x"}], ["a"]),
        (
            {"errors": [{"source": {"pointer": "/data/attributes/a"}, "detail": "x"}]},
            ["a"],
        ),
        ({"errors": [{"source": {"field": "b", "pointer": "c"}, "field": "a"}]}, ["a"]),
        ({"errors": [{"name": "b", "field": "a"}]}, ["a"]),
        ({"name": "ValidationError", "errors": {"a": ["x"]}}, ["a"]),
        ({"errorKey": "KEY", "message": "x", "more": {"a": 1}}, []),
        ({"errors": {"error": "x"}}, []),
        ({"fields": {"a": "x"}}, ["a"]),
        ({"invalid-params": [{"name": "a", "reason": "x"}]}, ["a"]),
        ({"errors": [{"field": "/attributes/a"}, {"path": "b.0"}]}, ["a", "b"]),
        (
            {"validationErrors": {"attributes.a": ["x"], "contact.home.city": ["x"]}},
            ["a", "home.city"],
        ),
        ({"validationErrors": {"colors.0": ["x"], "colors[12]": ["x"]}}, ["colors"]),
        ({"validationErrors": {"colors[]": ["x"], "colors[7].31": ["x"]}}, ["colors"]),
        ({"validationErrors": {"a.": ["x"], ".0": ["x"]}}, ["a.", ".0"]),
        ({"validationErrors": {" /Xmas ": ["x"]}}, ["Xmas"]),
        ({"validationErrors": {"x" * 200 + "y": ["x"]}}, ["x" * 200]),
        ({"validationErrors": {f"a{each}": ["x"] for each in range(101)}}, HUNDRED),
        ({"messages": {"channels.sms.address": ["x"]}}, ["channels.sms.address"]),
        ({"messages": "a is not known"}, []),
        ({"validationErrors": ["a"]}, []),
        ({"messages": {"message": "x", "code": 7}}, []),
        ([], []),
    ],
)
def test_the_refused_fields_are_named(body, fields):
    """In whichever form a refusal names fields, they can be left out of a second try."""
    assert list(refusal(422, body, kind=Rejected).fields) == fields


def test_each_field_keeps_its_words():
    """What Cordial says of a field is told beside the field, without anybody's address."""
    body = {"messages": {"validationErrors": {"a": ["too long"], "b": ["ann@mail.example", "no"]}}}
    assert refusal(422, body, kind=Rejected).fields == {"a": "too long", "b": "[address]; no"}


def test_the_words_of_a_field_are_those_that_tell_of_the_error():
    """Not the value that was refused; bounded as a whole message."""
    body = {"errors": [{"field": "a", "message": "too long", "value": "Ann", "code": "E1"}]}
    assert refusal(422, body, kind=Rejected).fields == {"a": "too long"}
    body = {"validationErrors": {"a": ["word " * 1_000]}}
    assert len(refusal(422, body, kind=Rejected).fields["a"]) == 500


@table("body", [b"", b"  ", b"OK", "done", [], [17, {}], {}, None, True, 17])
@table("status", [200, 201, 202, 204])
def test_a_success_that_says_nothing_against_it_is_one(status, body):
    """Cordial may answer with less than usual; then a warning says so."""
    found = read(status, body)
    assert found.contact_id is None
    said = "nothing" if body in (b"", b"  ") else "text that is not Cordial's usual JSON"
    doubt = f"Cordial answered {status} with {said}; it counts as done"
    assert found.doubt == (None if body == {} else doubt)


def test_a_byte_order_mark_is_not_in_the_way():
    assert read(200, b"\xef\xbb\xbf" + json.dumps({"cID": CID}).encode()) == Upserted(200, CID)


# --- Waiting ------------------------------------------------------------------------------------


def at(seconds):
    return format_datetime(datetime.fromtimestamp(NOW + seconds, UTC), usegmt=True)


EAST = format_datetime(datetime.fromtimestamp(NOW + 90, timezone(timedelta(hours=5))))


@table(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": " 7 "}, 7.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "30.0"}, 30.0),
        ({"Retry-After": "2.5"}, 2.5),
        ({"Retry-After": at(90).replace("GMT", "-0000")}, 90.0),
        (
            {"Retry-After": datetime.fromtimestamp(NOW + 90, UTC).strftime("%a %b %e %H:%M:%S %Y")},
            90.0,
        ),
        (
            {
                "Retry-After": datetime.fromtimestamp(NOW + 90, UTC).strftime(
                    "%A, %d-%b-%y %H:%M:%S GMT"
                )
            },
            90.0,
        ),
        ({"Retry-After": "7."}, 7.0),
        ({"Retry-After": "0" * 500 + "7"}, 7.0),
        ({"Retry-After": EAST}, 90.0),
        ({"Retry-After": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "1e3"}, None),
        ({"Retry-After": at(90)}, 90.0),
        ({"Retry-After": at(-90)}, 0.0),
        ({"Retry-After": "86400"}, 3600.0),
        ({"Retry-After": "9" * 400}, 3600.0),
        ({"X-Rate-Limit-Reset": "12"}, 12.0),
        ({"X-Rate-Limit-Reset": f"{NOW + 90:.0f}"}, 90.0),
        ({"X-Rate-Limit-Reset": f"{NOW - 90:.0f}"}, 0.0),
        ({"X-Rate-Limit-Reset": "999999999"}, 3600.0),
        ({"X-Rate-Limit-Reset": "1000000000"}, 0.0),
        ({"Retry-After": "3", "X-Rate-Limit-Reset": "12"}, 3.0),
        ({"Retry-After": "soon", "X-Rate-Limit-Reset": "12"}, 12.0),
        ({"Retry-After": "", "X-Rate-Limit-Reset": ""}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "٣"}, None),  # a digit, but not an ASCII one
        ({"X-Rate-Limit-Limit": "10", "X-Rate-Limit-Remaining": "0"}, None),
        ({}, None),
    ],
)
def test_a_429_says_how_long_to_wait(headers, seconds):
    """Retry-After in seconds or as a date, else the reset; from 0 s to an hour."""
    assert refusal(429, {}, headers, kind=RateLimited).retry_after == seconds


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_a_date_without_a_zone_is_read_alike_on_every_machine(zone, monkeypatch):
    """It is UTC, whatever the clock on the wall says."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        header = {"Retry-After": at(90).replace("GMT", "-0000")}
        assert refusal(429, {}, header, kind=RateLimited).retry_after == 90.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_503_that_says_how_long_is_waited_for():
    """As a 429; without the header it is an outage like the others."""
    assert refusal(503, b"", {"Retry-After": "120"}, kind=RateLimited).retry_after == 120.0
    assert refusal(503, HTML, {"Retry-After": "soon"}, kind=Unavailable)
    assert refusal(500, b"", {"Retry-After": "120"}, kind=Unavailable)
    assert refusal(422, {}, {"Retry-After": "120"}, kind=Rejected)


# --- Privacy ------------------------------------------------------------------------------------

PERSONAL = [
    "ann.o'neil+quiz@mail.example.co.uk",
    "'ann.o'neil'@mail.example",
    '"ann o neil"@mail.example',
    "ann.neil%40mail.example",
    "ann.neil\uff20mail.example",
    "neil" * 1_000 + "@mail.example",
    "222/555\u20115151",
    "+1\u00a0222\u00a0555\u00a05151",
    "+1 (222) 555-5151",
    "12225555151",
    "222-555-5151",
    "ann.neil&#64;mail.example",
    "ann.neil&#X40;mail.example",
    *(sign.join(("+22", "25", "55", "51", "51")) for sign in " ()./-\u00a0\u2010\u2012\u2015"),
    "12345151",
]


@table(
    "body",
    [
        {"message": "{} is subscribed already"},
        {"messages": {"channels.email.address": ["'{}' is not valid"]}},
        {"messages": {"validationErrors": {"{}": ["is not known"]}}},
        {"errors": [{"message": "no {}, sorry"}]},
        {"error": "<{}>"},
        {"errorKey": "{}"},
    ],
)
@table("status", [200, 401, 404, 409, 422, 429, 500])
def test_no_message_keeps_an_address(body, status):
    """Cordial's messages repeat what they refuse; addresses do not go on into ledger and logs."""
    pattern = json.dumps({"success": False, **body})
    for personal in PERSONAL:
        kept = refusal(
            status, json.loads(pattern.replace("{}", json.dumps(personal)[1:-1]))
        ).message
        assert personal not in kept
        assert not any(part in kept for part in ("neil", "mail.example", "5151")), personal


def test_a_message_is_not_cut_within_an_address():
    """Of a long text no half of an address is left, however little of it is kept."""
    text = "ann.neil@mail.example " * 190  # more than is looked at
    for more in range(60):
        kept = refusal(422, {"message": "x" * more + " " + text}).message
        assert not any(part in kept for part in ("neil", "mail"))


LONG = "x" * 3_900 + "@mail.example"  # what is left of it is short


def test_a_message_is_not_cut_within_a_phone_number():
    """What may be the begin of one goes with it; the word before stays whole."""
    for more in range(50, 90):
        kept = refusal(
            422, {"message": f"{LONG} {'y' * more} maX 222 555 5151 {'z ' * 99}"}
        ).message
        assert kept.startswith("[address]")
        assert not any(part in kept for part in ("222", "5151"))
        assert kept.rstrip("z ").endswith(("maX", "[address]", "y"))


def test_repeated_texts_leave_no_half_of_an_address():
    """They are told once, and what follows is looked at whole."""
    for more in range(1_960, 1_999):
        kept = refusal(422, {"errors": ["x" * more] * 2 + ["ann.neil@mail.example"]}).message
        assert not any(part in kept for part in ("ann", "neil", "mail"))


def test_so_much_of_a_text_is_looked_at():
    """4,000 characters; of a longer one the last word may be half of something."""
    room = 4_000 - len(LONG) - len("  end")
    for more, end in ((0, " end"), (1, "")):
        text = f"{LONG} {'y' * (room + more)} end"
        assert refusal(422, {"message": text}).message == f"[address] {'y' * (room + more)}{end}"
    text = f"{LONG} {'word ' * 30}"
    assert refusal(422, {"message": text}).message == f"[address]{' word' * 17}"
    assert refusal(422, {"message": "x" * 4_001}).message == "HTTP 422"


@pytest.mark.parametrize("body", [{"message": "word " * 10_000}, ["word " * 10_000]])
def test_a_message_is_bounded(body):
    """A page of text does not go into every attempt."""
    assert refusal(422, body).message == ("word " * 100)[:500]


def test_so_many_texts_make_a_message():
    """The first hundred."""
    texts = [str(each) for each in range(101)]
    assert refusal(422, {"errors": texts}).message == "; ".join(texts[:-1])


@pytest.mark.parametrize("sign", ' "<>:,;')
def test_the_words_around_an_address_stay(sign):
    """An address ends where none has such a sign."""
    text = f"to{sign}ann.neil@mail.example{sign}we say no"
    assert refusal(422, {"message": text}).message == f"to{sign}[address]{sign}we say no"


@pytest.mark.parametrize("text", ["12 apples and 34 pears", "error 1234567", 'say "no" to him'])
def test_what_is_no_address_stays(text):
    """Short numbers, and words in quotation marks."""
    assert refusal(422, {"message": text}).message == text


def test_a_quoted_part_may_be_blank():
    """No quotation mark is left over."""
    assert '"' not in refusal(422, {"message": 'no ""@mail.example'}).message


# --- Garbage ------------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
names = "success accepted error errors errorKey message messages validationErrors fieldErrors cID"
keys = st.sampled_from(names.split()) | st.text(max_size=5)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5)
)
bodies = st.binary(max_size=200) | documents.map(lambda each: json.dumps(each).encode())
headers = st.dictionaries(
    st.sampled_from(["Retry-After", "x-rate-limit-reset", "Server"]), st.text(max_size=40)
)


@given(st.integers(200, 599), headers, bodies, st.floats(0, 4e9))
@example(429, {"Retry-After": "Mon, 01 Jan 0001 00:00:00 -2359"}, b"", NOW)
@example(429, {"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, b"", NOW)
@example(422, {}, b'{"errors":' + b"[" * 5000 + b"]" * 5000 + b"}", NOW)
@example(422, {}, b'{"errors":' + b"[" * 150 + b'"x"' + b"]" * 150 + b"}", NOW)
@example(422, {}, b'{"message":"\\ud800"}', NOW)
@example(200, {}, b'{"cID":"\\ud800"}', NOW)
def test_any_answer_is_either_done_or_a_cordial_error(status, headers, content, now):
    """Whatever bytes come back, the caller gets a value or a named error that can be stored."""
    read: Upserted | CordialError
    try:
        read = read_answer(status, headers, content, now)
    except CordialError as error:
        read = error
    assert read.http_status == status
    if isinstance(read, Upserted):
        assert status < 300
        return
    assert 0 < len(read.message.encode()) < 4000
    if isinstance(read, RateLimited) and read.retry_after is not None:
        assert 0 <= read.retry_after <= 3600
