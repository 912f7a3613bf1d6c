"""Who may claim how many: nobody's backlog holds up another."""

import pytest

from app.ledger.claims import share_out


@pytest.mark.parametrize(
    ("room", "flying", "most", "shares"),
    [
        (10, {}, 10, {"a": 5, "b": 5}),
        (1, {"a": 9}, 10, {"b": 1}),  # the next place goes to whoever has fewest
        (4, {"a": 2}, 10, {"a": 1, "b": 3}),
        (9, {"a": 8, "b": 0}, 8, {"b": 8}),  # one that is slow leaves room
        (0, {}, 10, {}),
    ],
)
def test_places_go_to_whoever_has_fewest_under_way(room, flying, most, shares):
    """And nobody gets beyond the bound."""
    assert dict(share_out(["a", "b"], room, flying, most)) == shares


def test_nobody_waits_nobody_claims():
    """With nothing due there is nothing to share out."""
    assert not share_out([], 5, {}, 5)
