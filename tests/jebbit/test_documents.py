"""JSON is read as it is written: nothing that another reader would drop goes unheard."""

import json

import pytest

from app.jebbit.documents import WRITTEN_TWICE, load_closely, unpacked
from app.jebbit.nested import plain_values


def several(*values: object) -> object:
    """Return what stands in place of the values of one key."""
    return {WRITTEN_TWICE: {str(number): value for number, value in enumerate(values, 1)}}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('"yes", "no"', several("yes", "no")),
        ('"yes", "yes", "no"', several("yes", "no")),
        ('1, true, "1"', several(1, "1")),
        ('{"b": 1}, {"b": 1}', {"b": 1}),
        ('{"b": 1}, {"b": 1}, "no"', several({"b": 1}, "no")),
        ('{"b": 1}, [2], {"b": 1}', several({"b": 1}, [2])),
        ('"yes", "yes"', "yes"),
    ],
)
def test_a_key_that_is_written_more_than_once_keeps_all_its_values(
    written: str, read: object
) -> None:
    pairs = ", ".join(f'"a": {each}' for each in _parts(written))
    text = f"{{{pairs}}}"
    assert load_closely(text.encode()) == {"a": read}
    assert unpacked(text) == {"a": read}


def _parts(written: str) -> list[str]:
    return [json.dumps(each) for each in json.loads(f"[{written}]")]


@pytest.mark.parametrize("text", ["", "yes", "12", "true", "null", "NaN", "{", '{"a": }', '"'])
def test_a_text_that_is_no_object_list_or_text_in_json_is_none(text: str) -> None:
    assert unpacked(text) is None


@pytest.mark.parametrize(
    "text", ['{"a": "\ud83d"}', '{"n": NaN, "a": "\\ud83d"}', '{"n": NaN, "a": "?"}']
)
def test_half_of_a_character_is_a_question_mark(text: str) -> None:
    read = unpacked(text)
    assert isinstance(read, dict)
    assert read["a"] == "?"


def test_what_was_looked_into_is_left_out() -> None:
    """A value that two attributes hold is heard once."""
    value, seen = [1, {"a": "[2]"}], dict[int, object]()
    assert sorted(plain_values(value, seen)) == [1, 2]  # type: ignore[arg-type,type-var]
    assert list(plain_values(value, seen)) == []  # type: ignore[arg-type]
