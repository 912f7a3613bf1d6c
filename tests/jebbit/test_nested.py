"""What stands within values: by its name, under or beside it."""

import json
from typing import Any

from app.jebbit.documents import WRITTEN_TWICE
from app.jebbit.nested import Nested, nesting
from tests.table import table


@table(
    ("value", "nests"),
    [
        *((value, True) for value in ({}, [], {"a": 1}, [1], "{", "[", " [1]", 'a {"b": 1}')),
        *((value, False) for value in (None, True, 1, 1.5, "", "a", "(a)", "}", "]")),
    ],
)
def test_values_that_may_hold_others(value: Any, nests: bool) -> None:
    """Objects, lists, and texts that may be JSON; among texts alone and among others."""
    for beside in ("a", 1, None):
        assert list(nesting([beside, value, "b"])) == ([value] if nests else [])


@table(
    ("values", "under", "beside"),
    [
        ([{"Opt In": 1}], [("Opt In", 1)], []),
        ([{"a": [{"optIn": 1}]}], [("optIn", 1)], []),
        ([[[{"a": {"opt_in": None}}]]], [("opt_in", None)], []),
        (['{"opt_in": 1}'], [("opt_in", 1)], []),
        ([' [{"opt_in": 1}]\n'], [("opt_in", 1)], []),
        ([{"a": '{"opt_in": 1}'}], [("opt_in", 1)], []),
        ([json.dumps({"a": json.dumps({"opt_in": 1})})], [("opt_in", 1)], []),
        ([json.dumps(json.dumps({"opt_in": 1}))], [("opt_in", 1)], []),
        ([[json.dumps(json.dumps(["opt_in", 1]))]], [], [("opt_in", 1)]),
        (['\ufeff\u200b {"opt_in": 1}\u00a0'], [("opt_in", 1)], []),
        (['{"opt_in": 1'], [], []),
        (['a {"opt_in": 1}'], [], []),
        ([["opt_in", 1, None]], [], [("opt_in", 1), ("opt_in", None)]),
        ([{"name": "Opt In", "value": "no"}], [], [("Opt In", "no")]),
        ([{"a": [["x", 1], ["optIn", 2]]}], [], [("optIn", 2)]),
        ([["opt_in" + " " * 58, 1]], [], [("opt_in" + " " * 58, 1)]),
        ([["opt_in" + " " * 59, 1]], [], []),
        ([{"opt_in": "opt_in", "a": 1}], [("opt_in", "opt_in")], [("opt_in", 1)]),
        ([{WRITTEN_TWICE: {"1": "opt_in", "2": 1}}], [], []),
        (
            [{WRITTEN_TWICE: {"1": {"opt_in": 1}, "2": ["opt_in", 2]}}],
            [("opt_in", 1)],
            [("opt_in", 2)],
        ),
        ([{WRITTEN_TWICE: "x", "a": "opt_in"}], [], [("opt_in", "x")]),
        ([1, None, True, "opt_in"], [], []),
    ],
)
def test_what_stands_under_a_name_and_beside_it(values: Any, under: Any, beside: Any) -> None:
    """At any depth, by the letters of the name."""
    found = Nested(values)
    assert [*found.under("optin")] == under
    assert [*found.beside("optin")] == beside


def test_a_name_without_letters_names_nothing() -> None:
    """Nor does one that is not there."""
    found = Nested([{"?": 1, "a": 2}, ["!", 1]])
    assert [*found.under("")] == [*found.beside("")] == []
    assert [*found.under("b")] == [*found.beside("b")] == []


def test_whatever_speaks_of_opting() -> None:
    """Keys, and the first such text of each object or list."""
    found = Nested([{"emailOptOut": 1, "city": 2}, ["opt_out", "yes", "optIn"], ["city", "x"]])
    assert [*found.of_opting(())] == [("emailOptOut", 1), ("opt_out", "yes"), ("opt_out", "optIn")]
    assert [*found.of_opting(("opt out",))] == [("emailOptOut", 1)]
    assert [*found.of_opting(("email_opt_out",))] == [("opt_out", "yes"), ("opt_out", "optIn")]
