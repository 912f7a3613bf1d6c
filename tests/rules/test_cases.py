"""The golden cases: each folder of tests/fixtures/cases is a situation and what is done in it.

`integration.json` is what an API client posts, `submission.json` one item as Jebbit sends it,
`plan.json` either {"upsert": body, "warnings": [...]} or {"skip": reason}; where attributes may
flow unmapped, `account_attributes.json` holds those of the Cordial account. Where it matters what
went before, `history.json` holds that: the arguments of `plan` of that name. Without it the webhook
came in on 4 March 2026, 12:00 UTC, and is sent at once. A new case needs no Python.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from app.jebbit.submission import parse, read
from app.rules.integration import Integration
from app.rules.plan import Plan, Skip, plan
from app.rules.policy import Refusals

CASES = Path(__file__).parents[1] / "fixtures" / "cases"
NOW = 1_772_625_600.0
SITUATIONS = sorted(each.name for each in CASES.iterdir())


def load(situation: str, part: str) -> Any:
    """Return one file of a case, or None where the case has no such file."""
    file = CASES / situation / f"{part}.json"
    return json.loads(file.read_bytes()) if file.exists() else None


def history(situation: str) -> dict[str, Any]:
    """Return what went before, as plan's arguments; without a file, the webhook has just come."""
    given = {"received_at": NOW, "now": NOW} | (load(situation, "history") or {})
    if refusals := given.get("refusals"):
        given["refusals"] = Refusals(**refusals)
    return given


def shown(made: Plan) -> dict[str, Any]:
    """Return a plan as plan.json writes it."""
    if isinstance(made, Skip):
        return {"skip": made.reason}
    return {
        "upsert": made.body,
        "warnings": [
            {"code": each.code, "attribute": each.attribute, "field": each.field}
            for each in made.warnings
        ],
    }


def as_text(document: Any) -> str:
    """Return JSON that tells 1 from true and 1.0, which Python's `==` does not."""
    return json.dumps(document, indent=1, sort_keys=True, allow_nan=False)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_situation_gets_its_plan(situation: str) -> None:
    """Each situation is answered as its folder says, from the webhook and from the kept payload."""
    integration = Integration.model_validate(load(situation, "integration"))
    (item,) = parse((CASES / situation / "submission.json").read_bytes())
    expected = as_text(load(situation, "plan"))
    for submission in (item.submission, read(item.payload)):
        assert submission is not None
        made = plan(
            submission,
            integration,
            **history(situation),
            account_attributes=load(situation, "account_attributes"),
        )
        assert as_text(shown(made)) == expected


def test_each_situation_is_complete() -> None:
    """A case's folder holds the three files and nothing unknown, so that none is left unread."""
    required = {"integration.json", "submission.json", "plan.json"}
    for situation in SITUATIONS:
        files = {each.name for each in (CASES / situation).iterdir()}
        assert required <= files <= required | {"account_attributes.json", "history.json"}, (
            situation
        )


def test_the_situations_are_there() -> None:
    """Moving the folder does not turn the golden cases into no cases."""
    assert len(SITUATIONS) >= 32
