"""The law on the dense grid: each plan is judged by the oracle, and they are the same in every run.

`make faults` judges all of some 116,000 plans, `make test` a sixth, in which any two values that
meet in the grid still do. `make test JOBS=0 ARGS="tests/rules/test_grid.py -s"` prints the reach
table; of all with `--hypothesis-profile many`.
"""

from collections import Counter

from tests.rules.code_under_test import Rules
from tests.rules.grid import IN_THE_URL, PLANES, Judged, judged, part
from tests.rules.oracle import Item, fold_key, load
from tests.rules.reach import Reach
from tests.rules.situations import URL_FORMS, flat
from tests.thorough import thorough

if thorough():
    PARTS = PLANES
    PLANS = 90_000  # at least
    CELL = 40  # plans of each place, channel and answer, at least
    CIRCUMSTANCE = 100
else:
    PARTS = tuple(map(part, PLANES))
    PLANS, CELL, CIRCUMSTANCE = 20_000, 12, 30


def test_the_law_holds_on_the_grid() -> None:
    """No plan of the grid does what a reading forbids, nor leaves out what all demand; and each
    cell of the reach table is tried."""
    reach = Reach()
    plans: Counter[str] = Counter()
    broken: dict[str, Judged] = {}
    for each in judged(Rules(), PARTS):
        plans[each.plane] += 1
        reach.note(each.asked.source.source, each.asked.when, each.worlds, each.body)
        for breach in each.breaches:
            known = broken.setdefault(f"{each.plane}: {breach.partition(':')[0]}", each)
            if len(each.text) < len(known.text):
                broken[f"{each.plane}: {breach.partition(':')[0]}"] = each
    print(f"\n{dict(plans)}: {plans.total()} plans\n{reach.table()}")
    assert not broken, "\n".join(f"{name}\n  {shown(each)}" for name, each in broken.items())
    assert not reach.missing(CELL, CIRCUMSTANCE)
    assert plans.total() >= PLANS


def shown(each: Judged) -> str:
    """Return one judged plan in words."""
    config = each.asked.source.body
    parts = {name: config[name] for name in ("jebbit", "mapping", "policy")}
    return f"{each.text}\n  {parts}\n  {each.asked.when}\n  -> {each.body}\n  {each.breaches}"


def test_the_oracle_sees_each_way_into_the_url() -> None:
    """Each form of the grid names its key, by the oracle's own reading."""
    for form, write in URL_FORMS.items():
        for name, value in IN_THE_URL.items():
            item = Item(load(flat(write(name, value))))
            assert fold_key(name) in item.urls.forbidden, form
