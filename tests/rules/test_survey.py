"""What a source really sends, held against what is expected of it."""

from collections.abc import Callable
from typing import Any

from app.jebbit.submission import Submission
from app.rules.survey import Survey, survey

Make = Callable[..., Any]


def surveyed(integration: Any, *seen: dict[str, Any]) -> Survey:
    return survey(((float(at), Submission(each)) for at, each in enumerate(seen)), integration)


def test_keys_are_told_with_how_often_when_and_as_what(make_integration: Make) -> None:
    """Each key as sent, the most frequent first, with its users in the configuration."""
    found = surveyed(
        make_integration(),
        {"Email": "ann@example.com", "age": 3},
        {"Email": "", "age": "3", "opt_in": True},
        {"Email": None, "colors": ["red"], "more": {"a": 1}},
    )
    told = {each.key: (each.times, each.last_seen, each.kinds) for each in found.attributes}
    assert found.submissions == 3
    assert next(iter(told)) == "Email"
    assert told == {
        "Email": (3, 2.0, ["blank", "text"]),
        "age": (2, 1.0, ["number", "text"]),
        "opt_in": (1, 1.0, ["yes/no"]),
        "colors": (1, 2.0, ["list"]),
        "more": (1, 2.0, ["object"]),
    }
    used = {each.key: each.used_by for each in found.attributes}
    assert used["Email"] == ["mapping.0.attribute"]
    assert used["opt_in"] == ["jebbit.attributes.opt_in"]
    assert used["age"] == []


def test_names_that_nothing_has_are_missing(make_integration: Make) -> None:
    """A name that no submission has in any spelling is told with its place."""
    integration = make_integration(
        jebbit={"attributes": {"opt_in": "consent", "region": None, "occurred_at": None}}
    )
    found = surveyed(integration, {"E-mail": "x", "email": "y", "Country Code": "US"})
    assert found.missing["jebbit.attributes.opt_in"] == "consent"
    assert "jebbit.attributes.country" not in found.missing
    assert "mapping.0.attribute" not in found.missing


def test_nothing_is_missing_where_nothing_came(make_integration: Make) -> None:
    """An empty ledger tells nothing of a source."""
    assert surveyed(make_integration()).missing == {}


def test_unclear_answers_are_counted_by_label(make_integration: Make) -> None:
    """By what they would be as labels; what may be personal, or is no label, is not shown."""
    found = surveyed(
        make_integration(jebbit={"attributes": {"sms_opt_in": "sms"}}),
        *({"opt_in": each} for each in ("Count me in", "count  me in", "yes", None, "no")),
        *({"opt_in": each} for each in ("ann@example.com", {"a": 1}, "6175550123", "x" * 200)),
        {"sms": "perhaps"},
    )
    assert [(each.attribute, each.text, each.times) for each in found.unclear] == [
        ("opt_in", "(another text)", 4),
        ("opt_in", "count me in", 2),
        ("sms", "perhaps", 1),
    ]


def test_a_source_that_invents_keys_is_told_in_part(make_integration: Make) -> None:
    """However many keys there are, the answer has its bounds."""
    found = surveyed(make_integration(), *({f"key {each}": 1} for each in range(2_000)))
    assert len(found.attributes) == 500


def test_a_value_is_told_as_a_marketer_would_call_it(make_integration: Make) -> None:
    """In a fixed order; a text of spaces is blank."""
    values: tuple[Any, ...] = ("x", " ", "", None, True, 1, 1.5, ["x"], {})
    found = surveyed(make_integration(), *({"all": each} for each in values), {"gap": " \t"})
    told = {each.key: each.kinds for each in found.attributes}
    assert told["all"] == ["blank", "list", "number", "object", "text", "yes/no"]
    assert told["gap"] == ["blank"]


def test_the_newest_receipt_of_a_key_is_told(make_integration: Make) -> None:
    """In whichever order the submissions are read."""
    submission = Submission({"age": 3})
    found = survey([(9.0, submission), (5.0, submission)], make_integration())
    assert [each.last_seen for each in found.attributes] == [9.0]


def test_a_rule_without_an_attribute_misses_none(make_integration: Make) -> None:
    """A field that is always filled with one text looks for nothing."""
    mapping = [
        {"attribute": "email", "field": "channels.email.address"},
        {"field": "source", "default": "jebbit"},
        {"attribute": "outcome", "field": "outcome"},
    ]
    found = surveyed(make_integration(mapping=mapping), {"email": "x"})
    rules = {place for place in found.missing if place.startswith("mapping")}
    assert rules == {"mapping.2.attribute"}


def test_labels_are_shown_up_to_their_bounds(make_integration: Make) -> None:
    """Up to 120 characters, four digits in a row and fifty labels."""
    shown = ["x" * 120, "since 2024"]
    found = surveyed(
        make_integration(),
        *({"opt_in": each} for each in (*shown, "x" * 121, "no. 12345")),
    )
    assert {each.text for each in found.unclear} == {*shown, "(another text)"}
    words = [f"{first}{second} maybe" for first in "abcdefgh" for second in "abcdefgh"]
    many = surveyed(make_integration(), *({"opt_in": each} for each in words))
    assert len(many.unclear) == 50
