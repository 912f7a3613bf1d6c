"""The envelopes, what is unreadable, and how attributes are found and believed."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.jebbit.documents import WRITTEN_TWICE
from app.jebbit.folding import fold
from app.jebbit.submission import (
    MAX_ITEMS,
    MAX_KEYS,
    Attribute,
    Item,
    Submission,
    TooManyItems,
    UnreadableBody,
    parse,
    read,
    with_inner,
)
from tests.table import table

ADA = {"email": "ada@example.com", "opt_in": "true"}
BOB = {"email": "bob@example.com"}


def body(document: Any) -> bytes:
    return json.dumps(document).encode()


def attributes(item: Item) -> Any:
    return None if item.submission is None else dict(item.submission.attributes)


# --- envelopes


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ([{"data": ADA, "event": {"event_number": 0}}, {"data": BOB, "event": {}}], [ADA, BOB]),
        ({"data": ADA, "event": {"event_number": 0}}, [ADA]),
        ({"data": ADA}, [ADA]),
        ([ADA, BOB], [ADA, BOB]),
        (ADA, [ADA]),
        ([{"data": ADA, "event": {}}, BOB], [ADA, BOB]),
        ({}, []),
        ([], []),
        ([{}, ADA, {}], [ADA]),
        ({"data": {}, "event": {}}, []),
        ({"data": ADA, "event": {"url": "x"}}, [{**ADA, "event": {"url": "x"}}]),
        ({"data": ADA, "event": ["x"]}, [{**ADA, "event": ["x"]}]),
        ({"data": ADA, "event": "x"}, [{**ADA, "event": "x"}]),
        ({"data": "x", "email": "a@example.com"}, [{"data": "x", "email": "a@example.com"}]),
    ],
)
def test_envelopes(document: Any, expected: list[Any]) -> None:
    """All four envelopes give their submissions in order; an empty one gives none."""
    assert [attributes(item) for item in parse(body(document))] == expected


@pytest.mark.parametrize(
    "entry", [1, 1.5, "x", True, None, [], [ADA], {"data": "x", "event": {}}, {"data": None}]
)
def test_unreadable_item_leaves_its_neighbours(entry: Any) -> None:
    """An item of no known form is kept as it came, without a submission; its neighbours go on."""
    before, unreadable, after = parse(body([ADA, entry, BOB]))
    assert (attributes(before), attributes(after)) == (ADA, BOB)
    assert unreadable.submission is None
    assert json.loads(unreadable.payload) == entry
    assert read(unreadable.payload) is None


@pytest.mark.parametrize("entry", [{"data": "x", "event": {}}, {"data": [ADA]}, {"data": None}])
def test_bare_envelope_around_no_object(entry: Any) -> None:
    """A bare envelope whose data is no object is one unreadable item, not an unreadable body."""
    assert [item.submission for item in parse(body(entry))] == [None]


@table(
    "raw",
    [
        *(b"", b" ", b"null", b"true", b"1", b'"text"', b"nonsense", b"{", b"[{}", b"{}{}"),
        *(b"{'a': 1}", b'{"a": 1,}', b'{"a": NaN}', b'{"a": Infinity}', b'[{"a": -Infinity}]'),
        *(b"\xff\xfe", b'{"a": "\xff"}', b"email=ada%40example.com", b"<html></html>"),
        b"[" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"a": ' + b"9" * 5_000 + b"}",
    ],
)
def test_unreadable_body(raw: bytes) -> None:
    """What is not JSON objects is refused as a whole, whatever is wrong with it."""
    with pytest.raises(UnreadableBody):
        parse(raw)
    assert read(raw) is None


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": "\\ud83d"}', {"a": "?"}),
        (b'\xef\xbb\xbf[{"\\udc00": "\\ud83d\\ude00"}]', {"?": "\N{GRINNING FACE}"}),
        (b'{"a": "\\u0000"}', {"a": "\0"}),
        (b'{"a": 123456789012345678901234567890}', {"a": 123456789012345678901234567890}),
        (b'{"a": 1, "a": 1}', {"a": 1}),
        (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", None),
    ],
    ids=["bom", "half_a_pair", "bom_and_half", "nul", "huge_integer", "same_key_twice", "nested"],
)
def test_odd_but_readable(raw: bytes, expected: Any) -> None:
    """What other readers of JSON take is taken here, and its kept payload reads the same."""
    (item,) = parse(raw)
    assert expected is None or attributes(item) == expected
    assert attributes(item) == attributes(Item(b"", read(item.payload)))


@pytest.mark.parametrize("number", ["1e999", "-1e999"])
def test_number_beyond_all_bounds(number: str) -> None:
    """A number too large for any reader means the same when received and when read again."""
    (item,) = parse(b'{"opt_in": %s, "email": "ada@example.com"}' % number.encode())
    kept = read(item.payload)
    assert kept is not None
    assert attributes(item) == dict(kept.attributes)
    json.loads(item.payload, parse_constant=pytest.fail)


@pytest.mark.parametrize("entry", [ADA, {}, 1])
def test_too_many_items(entry: Any) -> None:
    """A thousand items are taken, one more is refused."""
    assert len(parse(body([entry] * MAX_ITEMS))) == (0 if entry == {} else MAX_ITEMS)
    assert MAX_ITEMS == 1_000
    with pytest.raises(TooManyItems):
        parse(body([entry] * (MAX_ITEMS + 1)))


def test_envelope_of_a_kept_payload() -> None:
    """The payload keeps the item as Jebbit sent it, the event beside the data included."""
    entry = {"data": ADA, "event": {"event_number": 3}}
    (item,) = parse(body([entry]))
    assert json.loads(item.payload) == entry
    assert read(item.payload) == item.submission == Submission(ADA)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
json_bytes = json_values.map(json.dumps).map(str.encode)
mutated = st.builds(
    lambda raw, at, extra: raw[: at % (len(raw) + 1)] + extra + raw[at % (len(raw) + 1) :],
    json_bytes,
    st.integers(0, 200),
    st.sampled_from([b"\xff", b"NaN", b"1e999", b"\\ud800", b"\0", b"[", b"}", b"\xef\xbb\xbf"]),
)


@settings(deadline=None)
@given(st.binary() | json_bytes | mutated)
def test_any_bytes_are_split_or_refused(raw: bytes) -> None:
    """No body raises anything but the two errors, and every item's payload reads as itself."""
    try:
        items = parse(raw)
    except (UnreadableBody, TooManyItems):
        return
    for item in items:
        assert read(item.payload) == item.submission


def is_empty(entry: Any) -> bool:
    """Whether it holds nothing, nor stands anything of a person beside its empty `data`."""
    return entry == {} or (
        isinstance(entry, dict)
        and entry.get("data") == {}
        and all(key == "data" or is_number_of_event(key, entry[key]) for key in entry)
    )


def is_number_of_event(key: str, value: Any) -> bool:
    return key == "event" and isinstance(value, dict) and value.keys() <= {"event_number"}


@settings(deadline=None)
@given(st.lists(json_values, max_size=5))
@example([{"": None, "data": {}}, {"data": {}, "event": {"event_number": 0}}, {}])
def test_json_is_never_refused(entries: list[Any]) -> None:
    """Any JSON array gives, in order, every item but the empty ones, with nothing changed."""
    payloads = [json.loads(item.payload) for item in parse(body(entries))]
    assert payloads == [each for each in entries if not is_empty(each)]


# --- finding and believing attributes


@table(
    ("name", "key"),
    [
        ("phone_number", "phone_number"),
        ("Phone Number", "phone_number"),
        ("PHONE_NUMBER", "phone_number"),
        (" phone number ", "phone_number"),
        ("opt_in", "Opt In"),
        ("OPT IN", "Opt In"),
        ("pg_-_category", "Pg - Category"),
        ("phone-number", "phone_number"),
        ("Phone\u00a0\u2013 Number\u200b", "phone_number"),
        ("phonenumber", None),
        ("missing", None),
        ("", None),
    ],
)
def test_look_up(name: str, key: str | None) -> None:
    """A name finds its exact key, else one that differs in case and spaces for underscores."""
    submission = Submission({"phone_number": "1", "Opt In": "1", "Pg - Category": "1"})
    expected = Attribute(key, "1") if key else None
    assert submission.find(name) == expected


def test_exact_key_comes_first() -> None:
    """Of several spellings the exact one counts, else the first sent."""
    submission = Submission({"Opt In": "no", "opt_in": "yes", "OPT_IN": "maybe"})
    found = {name: submission.find(name) for name in ("opt_in", "OPT_IN", "Opt_In")}
    assert {name: each and each.value for name, each in found.items()} == {
        "opt_in": "yes",
        "OPT_IN": "maybe",
        "Opt_In": "no",
    }


@pytest.mark.parametrize("value", [None, "", " ", "\t\n"])
def test_nothing_is_absent(value: Any) -> None:
    """Null and blank count as absent."""
    assert Submission({"opt_in": value}).find("opt_in") is None


@pytest.mark.parametrize("value", [False, 0, 0.0, [], {}, "0", [None]])
def test_false_is_not_absent(value: Any) -> None:
    """What is false in Python may be an answer."""
    assert Submission({"opt_in": value}).find("opt_in") == Attribute("opt_in", value)


@table(
    "url_params",
    [
        "email=ada%40example.com",
        "?email=x",
        " ?L=1&email=x ",
        "L=1&email",
        "L=1&email=",
        "L=1&amp;email=x",
        "EMAIL=x",
        "Email=x",
        "%65mail=x",
        "+email=x",
        "email=x&email=y",
        "L=1%26email=x",
        {"email": "x"},
        {"Email": None},
    ],
)
def test_key_of_the_url_is_not_believed(url_params: Any) -> None:
    """A key that also occurs in `url_params`, in any form, is found but not trusted."""
    submission = Submission({"email": "ada@example.com", "url_params": url_params})
    found = submission.find("email")
    assert found
    assert (found.key, found.value, found.trusted) == ("email", "ada@example.com", False)
    assert found.doubt
    assert found.doubt.startswith("url_params holds it as ")


@pytest.mark.parametrize(
    "url_params",
    [None, "", " ", "?", "L=email", "e-mail=x", "emails=x", 7, True, {}, {"L": 1}],
)
def test_key_not_of_the_url_is_believed(url_params: Any) -> None:
    """A key that the URL does not name is trusted, whatever else the URL holds."""
    submission = Submission({"email": "ada@example.com", "url_params": url_params})
    assert submission.find("email") == Attribute("email", "ada@example.com")


@pytest.mark.parametrize("name", ["opt_in", "Opt In", "OPT_IN"])
def test_url_hides_every_spelling(name: str) -> None:
    """The URL's spelling of a key does not matter, nor that of the key it hides."""
    submission = Submission({name: "true", "url_params": "opt+in=true"})
    found = submission.find("opt_in")
    assert found
    assert (found.key, found.value, found.trusted) == (name, "true", False)


@pytest.mark.parametrize("shadow", ["Url_Params", "URL Params", "url params"])
def test_url_cannot_hide_its_own_parameters(shadow: str) -> None:
    """A URL parameter of nearly the same name, which Jebbit repeats as a key, does not stand in
    for `url_params` itself, wherever in the object it comes."""
    real = {"url_params": f"{shadow}=x&email=ada%40example.com"}
    for keys in ({shadow: "x", **real}, {**real, shadow: "x"}):
        found = Submission({"email": "ada@example.com", **keys}).find("email")
        assert found
        assert not found.trusted


def test_answers_are_not_the_url() -> None:
    """Where no text may hold parameters of a URL, nothing is untrusted."""
    answers = {"": "email", "note": "my email: ada@example.com & more", "L": "a?email#opt_in"}
    found = Submission({**answers, "email": "ada@example.com"}).find("email")
    assert found
    assert found.trusted


@given(st.text(), st.text())
def test_folding(name: str, other: str) -> None:
    """Folding is settled after once, and a name is found by its own folded form."""
    assert fold(fold(name)) == fold(name)
    if name.strip():
        found = Submission({other: "x", name: "y"}).find(fold(name))
        assert found
        assert found.key in {name, other}


# --- what is written twice, and limits


def first(text: str) -> Any:
    (item,) = parse(text.encode())
    return item.submission and dict(item.submission.attributes)


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ('{"a": 1, "a": 1}', {"a": 1}),
        ('{"a": 1, "a": 2}', {"a": {WRITTEN_TWICE: {"1": 1, "2": 2}}}),
        ('{"data": {"a": 1}, "a": 2}', {"a": {WRITTEN_TWICE: {"1": 1, "2": 2}}}),
        ('{"data": {"a": 1}, "a": 1, "b": 3}', {"a": 1, "b": 3}),
        ('{"data": {"a": 1}, "data": {"a": 2}}', None),
        ('{"a": 1e999}', {"a": "Infinity"}),
        ('[{"a": "\\"x\\""}]', {"a": '"x"'}),
    ],
)
def test_what_is_written_twice(text: str, attributes: Any) -> None:
    """Two values under one key are kept apart, in their order, and are no answer."""
    assert first(text) == attributes


def test_most_keys() -> None:
    """A submission has at most so many keys; one with more is kept for a person to see."""
    assert MAX_KEYS == 2_000
    for number, kept in ((MAX_KEYS, True), (MAX_KEYS + 1, False)):
        keys = ",".join(f'"k{each}": 1' for each in range(number))
        assert (first(f"{{{keys}}}") is not None) is kept


def test_submissions_are_compared_and_shown_by_their_attributes() -> None:
    """What is worked out of them makes no difference."""
    one, other = Submission({"b": 1, "a": 2}), Submission({"a": 2, "b": 1})
    assert one == other
    assert repr(one) == "Submission(attributes={'b': 1, 'a': 2})"
    assert [*one.in_order.items()] == [("a", 2), ("b", 1)]
    assert one.find_all("c") == ()
    assert [*one.find_alike("c")] == []


def test_what_is_wrong_with_a_body_is_said() -> None:
    """Who reads of an unreadable body learns why, and how many items were too many."""
    for raw, said in (
        (b"1", "neither an object nor an array"),
        (b"{", "The body is not JSON: Expecting"),
        (b'{"a": NaN}', "NaN is not JSON"),
    ):
        with pytest.raises(UnreadableBody, match=said):
            parse(raw)
    with pytest.raises(TooManyItems, match=f"holds {MAX_ITEMS + 1} items; at most {MAX_ITEMS}"):
        parse(body([BOB] * (MAX_ITEMS + 1)))


def test_only_the_keys_of_the_url_are_doubted() -> None:
    """Where the URL names one key, the others stay believed; each doubt says where it was read."""
    submission = Submission({"a": "1", "b": "2", "url_params": "a=1"})
    found = {each.key: each.doubt for name in "ab" for each in submission.find_all(name)}
    assert found["b"] is None
    assert found["a"] is not None
    assert found["a"].startswith("url_params holds it")


def test_what_is_worked_out_of_a_submission_makes_no_difference() -> None:
    """Submissions are equal by their attributes, whatever was looked up in one of them."""
    given = {"a": [{"b": 1}], "c": 2, "url_params": "c=3"}
    one, other = Submission(given), Submission({**given})
    object.__setattr__(one, "_doubts", {"c": "another"})
    object.__setattr__(one, "_url", None)
    object.__setattr__(one, "_nests", ())
    assert one == other


def test_where_more_stands_in_the_url_than_is_read_every_key_is_doubted() -> None:
    """With what stands there, for a person to look."""
    found = Submission({"a": 1, "b": "x", "url_params": "&".join(f"p{n}=1" for n in range(9_999))})
    assert found.find("a") == Attribute("a", 1, "more stands in url_params than is read of a URL")
    few = Submission({"a": 1, "b": "x", "url_params": "b=1"})
    assert few.find("a") == Attribute("a", 1, None)
    [doubted] = few.find_all("b")
    assert doubted.doubt is not None
    assert not doubted.trusted


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"a": 1e999}', {"a": "Infinity"}),
        ('[{"b": 1}, {"a": 1e999, "a": 1e999}]', {"b": 1}),
        ('{"a": "\\"", "a": "\\""}', {"a": '"'}),
        ('{"a": "\\"", "a": "\\"\\""}', {"a": {WRITTEN_TWICE: {"1": '"', "2": '""'}}}),
        ('{"a": 1, "a": 2, "b": 1e999}', {"a": {WRITTEN_TWICE: {"1": 1, "2": 2}}, "b": "Infinity"}),
    ],
)
def test_infinity_and_quotes_hide_no_key_that_is_written_twice(text: str, kept: Any) -> None:
    """The quick reader is believed where it dropped nothing."""
    found = parse(text.encode())[0].submission
    assert found is not None
    assert found.attributes == kept


def test_of_several_items_each_is_looked_at_for_infinity() -> None:
    """One that has none hides no other."""
    first, second = parse(b'[{"a": 1, "a": 2}, {"b": -1e999}]')
    assert first.submission == Submission({"a": {WRITTEN_TWICE: {"1": 1, "2": 2}}})
    assert second.submission == Submission({"b": "-Infinity"})


def test_what_stands_under_other_keys_and_within_values_is_found() -> None:
    """Each with why it is doubted; of a submission without nests what stands under its keys."""
    flat = {"optIn": 1, "opt_in": 2, "email_opt_out": 5, "city": 7, "url_params": "optIn=1"}
    nested = {"a": {"opt.in": 3, "city": 8}, "b": ["opt_in", 4], "c": {"smsOptOut": 6}}
    doubt = "url_params holds it as a name before a value"
    alike, out = Attribute("optIn", 1, doubt), Attribute("email_opt_out", 5)
    known = ("opt_in",)
    one = Submission(flat)
    assert [*one.find_alike("opt_in")] == [alike]
    assert [*one.find_like_any(("optin", "town"))] == [alike, Attribute("opt_in", 2)]
    assert [*one.find_beside("opt_in")] == []
    assert [*one.find_opting(known)] == [out]
    both = Submission({**flat, **nested})
    assert [*both.find_alike("opt_in")] == [alike, Attribute("opt.in", 3)]
    assert [*both.find_like_any(("city",))] == [Attribute("city", 7), Attribute("city", 8)]
    assert [*both.find_beside("opt_in")] == [Attribute("opt_in", 4)]
    assert [*both.find_opting(known)] == [out, Attribute("smsOptOut", 6)]
    for none in (one, both):
        assert [*none.find_alike("x")] == [*none.find_like_any(("x",))] == []
        assert [*none.find_beside("x")] == []
    doubted = Submission({"a": {"opt_in": 1}, "url_params": "opt_in=1"})
    assert doubted.find_alike("opt_in")[0].doubt == doubt
    assert (Attribute("a", " ").is_present, Attribute("a", 0).is_present) == (False, True)


def test_each_text_is_looked_into() -> None:
    """Whatever was read before it, and was let go."""
    texts = [json.dumps({"value": number}) for number in range(50)]
    found = [Attribute("a", text) for text in texts]
    said = [each.value for each in with_inner(found)]
    assert said == [each for pair in zip(texts, range(50), strict=True) for each in pair]
