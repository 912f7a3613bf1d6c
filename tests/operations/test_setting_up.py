"""What is said of whom to send and subscribe holds; what is not said subscribes nobody."""

from itertools import product

import pytest

from app.operations.setting_up import _UNANSWERED, Choice, SmsChoice, Whom, outcome
from app.operations.whom import REGIONS, treated
from app.rules.integration import Integration, OptInLabels, merge_patch
from app.rules.policy import Region
from app.rules.values import Answer

CHOICES = [
    Choice(send, subscribe)
    for send, subscribe in product(("opted_in_only", "opted_in_or_null", "everyone"), (True, False))
]
BEGUN = {
    "name": "Quiz",
    "cordial": {"account_url": "https://admin.cordial.io", "api_key": "the-key"},
    "jebbit": {"region": None},
    "policy": _UNANSWERED,
}


def said(**changes):
    """Return the integration as somebody's answers make it."""
    answers = {
        "opt_in": "opt_in",
        "collect": "both",
        "region": None,
        "elsewhere": CHOICES[0],
        "eu": CHOICES[0],
        "sms": None,
        "answer_field": "opt_in_status",
        **changes,
    }
    return Integration.model_validate(merge_patch(BEGUN, Whom(**answers).patch(OptInLabels())))


def test_what_nobody_has_said_subscribes_nobody():
    """Whatever they answer, wherever they are; nor is it the choice of one region alone."""
    begun = Integration.model_validate(BEGUN)
    assert all(each.status is None for each in treated(begun).values())
    assert {where for (where, _), each in treated(begun).items() if each.sent} == set(REGIONS)


@pytest.mark.parametrize("collect", ["both", "eu", "non_eu"])
def test_each_choice_holds_for_its_people_alone(collect):
    """What was shown of it is what is done; whom nobody collects is not sent."""
    for elsewhere, eu in product(CHOICES, CHOICES):
        made = said(
            collect=collect,
            elsewhere=None if collect == "eu" else elsewhere,
            eu=None if collect == "non_eu" else eu,
        )
        found = treated(made)
        for region, choice in ((Region.NON_EU, elsewhere), (Region.EU, eu)):
            for answer in Answer:
                got = found[region, answer]
                if collect in ("both", region.value):
                    assert got == outcome_of(made, choice, region, answer)
                else:
                    assert (got.sent, got.status) == (False, None)


def outcome_of(made, choice, region, answer):
    class Stored:
        integration = made

    return outcome(Stored, choice, region, answer)


def test_sms_goes_by_its_own_box_or_is_left_alone():
    """And a choice of before is taken back."""
    made = said(sms=SmsChoice("sms_opt_in", "main", None))
    assert made.jebbit.attributes.sms_opt_in == "sms_opt_in"
    assert made.cordial.sms.program == "main"
    assert said().cordial.sms is None
    assert said(opt_in=None).jebbit.attributes.opt_in is None
