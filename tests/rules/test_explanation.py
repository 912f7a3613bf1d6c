"""A plan's explanation: it tells of that very plan, in order, in words that a marketer reads."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jebbit.submission import Submission, parse
from app.rules.explanation import Explained, Read, explain_plan, shown, without_answers
from app.rules.integration import Integration
from app.rules.plan import Plan, Skip, Upsert, plan
from app.rules.policy import Refusals
from tests.rules.situations import ADA, MOBILE, NOW, config
from tests.rules.test_cases import CASES, SITUATIONS, history, load
from tests.table import table


def explained(
    attributes: Mapping[str, Any], told: Mapping[str, Any] | None = None, **more: Any
) -> tuple[Plan, Explained]:
    """Plan a submission and explain the plan; `told` is what `plan` is told beside it."""
    integration = Integration.model_validate(config(**more))
    submission = Submission(attributes)
    made = plan(submission, integration, **{"received_at": NOW, "now": NOW, **(told or {})})
    return made, explain_plan(made, submission, integration)


def sentence(told: Explained, subject: str) -> str:
    """Return the sentence of the step about a subject."""
    return next(each.sentence for each in told.steps if each.subject == subject)


@table("situation", SITUATIONS)
def test_each_golden_case_is_explained(situation: str) -> None:
    """The steps of each golden case end as its plan ends, and each is a whole sentence."""
    integration = Integration.model_validate(load(situation, "integration"))
    (item,) = parse((CASES / situation / "submission.json").read_bytes())
    assert item.submission is not None
    account = load(situation, "account_attributes")
    made = plan(item.submission, integration, **history(situation), account_attributes=account)
    told = explain_plan(made, item.submission, integration, account)
    agrees(made, told, integration)


def agrees(made: Plan, told: Explained, integration: Integration) -> None:
    """Hold the steps against the plan."""
    *before, last = told.steps
    assert not any(each.stops for each in before)
    assert all(each.sentence.endswith((".", "!")) for each in told.steps), told.steps
    results = {each.subject: each.result for each in told.steps}
    if isinstance(made, Skip):
        assert last.stops
        assert last.result == made.reason
        return
    assert last.subject == "result"
    channels: Any = made.body["channels"]
    email = channels.get(integration.cordial.email_channel, {})
    assert results.get("email", "left") == email.get("subscribeStatus", "left")
    programs = channels.get(integration.sms.channel, {}).get("programs", {})
    asked = [each["subscribeStatus"] for each in programs.values()]
    assert results.get("sms", "left") == (asked[0] if asked else "left")
    assert results.get("force") in (
        ("forced",) if "forceSubscribe" in made.body else (None, "not_forced")
    )


ANSWERS = st.sampled_from(["yes", "no", None, "", "perhaps", ["no", "no"], True])
TERMS = st.fixed_dictionaries(
    {
        "collect": st.sampled_from(["both", "eu", "non_eu"]),
        "opt_in": st.sampled_from(["everyone", "opted_in_only", "opted_in_or_null"]),
        "auto_subscribe": st.booleans(),
        "on_opt_out": st.sampled_from(["leave", "unsubscribe"]),
        "resubscribe": st.sampled_from(["never", "explicit_opt_in"]),
        "eu": st.sampled_from([None, {"null_is_consent": True}, {"auto_subscribe": False}]),
    }
)
ITEMS = st.fixed_dictionaries(
    {"email": st.sampled_from([ADA, "none"])},
    optional={
        "opt_in": ANSWERS,
        "Opt In": ANSWERS,
        "sms_opt_in": ANSWERS,
        "phone_number": st.sampled_from([MOBILE, "+49 30 901820", "1"]),
        "country_code": st.sampled_from(["DE", "US", "CH", "Narnia", None]),
        "aws_region": st.sampled_from(["eu", "us", "x"]),
        "is_completed": st.sampled_from([True, False, "no"]),
        "url_params": st.sampled_from([{"opt_in": "yes"}, {"email": "x"}, {"country_code": "US"}]),
    },
)


@given(
    item=ITEMS,
    policy=TERMS,
    said=st.sampled_from([None, NOW - 1, NOW + 1]),
    stale=st.booleans(),
    again=st.booleans(),
)
def test_an_explanation_tells_of_its_plan(
    item: dict[str, Any], policy: dict[str, Any], said: float | None, stale: bool, again: bool
) -> None:
    """Whatever came in and whatever went before, the steps end and say what the plan says."""
    integration = Integration.model_validate(config(policy=policy))
    submission = Submission(item)
    made = plan(
        submission,
        integration,
        received_at=NOW,
        now=NOW,
        refusals=Refusals(said, said),
        stale=stale,
        delivered_before=again,
    )
    agrees(made, explain_plan(made, submission, integration), integration)


def test_the_region_is_told_with_what_decided_it() -> None:
    """The sentence names the key as sent, its value, and the rules that hold from it."""
    _, told = explained({"email": ADA, "Country Code": "DE"}, policy={"eu": {}})
    assert (
        sentence(told, "region")
        == "Region: EU, because Country Code is DE. EU rules hold: policy.eu."
    )


def test_absent_reads_otherwise_than_null() -> None:
    """No such attribute, null and blank give one answer, and three sentences."""
    cases: list[dict[str, Any]] = [{}, {"opt_in": None}, {"opt_in": ""}]
    said = [sentence(explained({"email": ADA, **each})[1], "opt_in") for each in cases]
    assert said == [
        "Email opt-in: none, because the submission has no attribute opt_in: nobody was asked "
        "there.",
        "Email opt-in: none, because opt_in is null: nothing was answered.",
        "Email opt-in: none, because opt_in is blank: nothing was answered.",
    ]
    absent = next(each for each in explained({"email": ADA})[1].steps if each.subject == "opt_in")
    assert absent.read[0].key is None


def test_what_is_not_believed_is_told_with_the_reason() -> None:
    """An opt-in that stands in the page's URL is shown, and why nothing follows from it."""
    _, told = explained({"email": ADA, "opt_in": "yes", "url_params": {"opt_in": "yes"}})
    (read,) = next(each for each in told.steps if each.subject == "opt_in").read
    assert (read.key, read.value, read.believed) == ("opt_in", "yes", False)
    assert "URL" in (read.why or "")


def test_a_skip_tells_what_would_have_been_mapped() -> None:
    """A person who opted out is skipped; the fields that would have gone are shown."""
    mapping = [
        {"attribute": "email", "field": "channels.email.address"},
        {"attribute": "outcome", "field": "quiz_outcome"},
    ]
    made, told = explained(
        {"email": ADA, "opt_in": "no", "outcome": "Rose"},
        mapping=mapping,
        policy={"opt_in": "opted_in_only"},
    )
    assert isinstance(made, Skip)
    assert [step.subject for step in told.steps][-1] == "audience"
    assert [(each.field, each.value) for each in told.would_map] == [("quiz_outcome", "Rose")]


def test_steps_can_be_shown_without_answers() -> None:
    """Who may not see what people answered sees each decision, and no value or address."""
    made, told = explained(
        {"email": ADA, "opt_in": "Certainly", "country_code": "DE", "outcome": "Rose"}
    )
    assert isinstance(made, Upsert)
    shown = json.dumps([each._asdict() for each in without_answers(told.steps)], default=str)
    assert not any(each in shown for each in (ADA, "Certainly", '"DE"', "Rose"))


@pytest.mark.parametrize(("said", "word"), [("no", "no"), ("yes", "neither yes nor no")])
def test_a_key_that_only_means_the_opt_in_is_told(said: str, word: str) -> None:
    """Who reads why somebody was not subscribed learns which key to name."""
    _, told = explained({"email": ADA, "optIn": said})
    step = next(each for each in told.steps if each.subject == "opt_in")
    assert step.sentence.startswith(f"Email opt-in: {word}, because optIn is {said}.")
    assert "where opt_in should" in step.sentence
    assert [(each.key, each.value, each.believed) for each in step.read] == [
        (None, None, True),
        ("optIn", said, False),
    ]


# --- What each situation reads like ---------------------------------------------------------------

EMAIL = {"email": ADA}
US = {**EMAIL, "country_code": "US"}
EU = {**EMAIL, "country_code": "DE"}
BOTH = {**US, "phone_number": MOBILE}
AUTO, ASKED = "policy.auto_subscribe", "jebbit.attributes.opt_in"
LEFT = "left as it is in Cordial"
STAYS = "An earlier unsubscribe in Cordial stays:"
SINCE = Refusals(NOW, NOW)
OF_URL = "may come from the page's URL (url_params holds it as a name before a value)"


def test_a_decision_reads_from_the_session_to_the_result() -> None:
    """Every step in its order: where it was decided, in a word, and in a sentence."""
    mapping = [
        *config()["mapping"],
        {"attribute": "outcome", "field": "quiz_outcome"},
        {"attribute": "age", "field": "age", "type": "number"},
        {"field": "source", "default": "jebbit"},
    ]
    item = {**BOTH, "opt_in": "yes", "sms_opt_in": "on", "outcome": "Bold"}
    _, told = explained(item, mapping=mapping)
    assert [each._replace(read=())[:5] for each in told.steps] == [
        (
            "session",
            None,
            (),
            "counts",
            "The session counts: nothing says that it is incomplete or not valid.",
        ),
        (
            "contact",
            "mapping",
            (),
            "email_and_phone",
            "The contact is known by email and phone (read from email, phone_number).",
        ),
        (
            "region",
            "jebbit.attributes.country",
            (),
            "non_eu",
            "Region: outside the EU, because country_code is US.",
        ),
        ("opt_in", ASKED, (), "yes", "Email opt-in: yes, because opt_in is yes."),
        (
            "sms_opt_in",
            "jebbit.attributes.sms_opt_in",
            (),
            "yes",
            "SMS opt-in: yes, because sms_opt_in is on.",
        ),
        (
            "audience",
            "policy.opt_in",
            (),
            "sent",
            "People with this answer (yes) are sent: policy.opt_in is everyone.",
        ),
        ("email", AUTO, (), "subscribed", "Email is asked to be subscribed: the answer is yes."),
        ("sms", AUTO, (), "subscribed", "SMS is asked to be subscribed: the answer is yes."),
        (
            "force",
            "policy.resubscribe",
            (),
            "forced",
            "Also over an earlier unsubscribe: policy.resubscribe is explicit_opt_in and the yes "
            "is fresh.",
        ),
        ("fields", "mapping", (), "2", "2 of 3 fields are sent: quiz_outcome, source."),
        ("result", None, (), "sent", "The contact is sent to Cordial."),
    ]
    assert not any(each.stops for each in told.steps)
    assert told.would_map == ()
    read = {each.subject: each.read for each in told.steps if each.read}
    assert read == {
        "contact": [Read("email", "email", ADA), Read("phone_number", "phone_number", MOBILE)],
        "region": [Read("country_code", "country_code", "US"), Read("aws_region")],
        "opt_in": [Read("opt_in", "opt_in", "yes")],
        "sms_opt_in": [Read("sms_opt_in", "sms_opt_in", "on")],
        "fields": [Read("outcome", "outcome", "Bold")],
    }


@table(
    ("attributes", "told", "more", "subject", "result", "place", "words"),
    [
        # email: subscribed
        (US, {}, {}, "email", "subscribed", AUTO, "nobody was asked, and no EU rules hold"),
        (
            *(EU, {}, {"policy": {"eu": {"null_is_consent": True}}}, "email", "subscribed"),
            *("policy.eu.null_is_consent", "no answer counts as a yes there"),
        ),
        (
            *({**EU, "opt_in": "yes"}, {}, {"policy": {"eu": {}}}, "email", "subscribed"),
            *(AUTO, "the answer is yes"),
        ),
        (
            *({**EU, "opt_in": "yes"}, {}, {"policy": {"eu": {"auto_subscribe": True}}}, "email"),
            *("subscribed", "policy.eu.auto_subscribe", "the answer is yes"),
        ),
        (
            *({**US, "opt_in": "yes"}, {}, {"policy": {"eu": {"auto_subscribe": True}}}, "email"),
            *("subscribed", AUTO, "the answer is yes"),
        ),
        (
            *(BOTH, {}, {"cordial": {"sms": {}}}, "email", "subscribed"),
            *(AUTO, "nobody was asked, and no EU rules hold"),
        ),
        (
            *({**BOTH, "opt_in": "yes"}, {}, {"jebbit": {"attributes": {"sms_opt_in": None}}}),
            *("email", "subscribed", AUTO, "the answer is yes"),
        ),
        # email: unsubscribed
        (
            *({**US, "opt_in": "no"}, {}, {}, "email", "unsubscribed"),
            *("policy.on_opt_out", "the answer is no"),
        ),
        (
            *({**EU, "opt_in": "no"}, {}, {"policy": {"eu": {"on_opt_out": "unsubscribe"}}}),
            *("email", "unsubscribed", "policy.eu.on_opt_out", "the answer is no"),
        ),
        # email: left
        (
            *({**US, "opt_in": "no"}, {}, {"policy": {"on_opt_out": "leave"}}, "email", "left"),
            *("policy.on_opt_out", "the answer is no, and policy.on_opt_out is leave"),
        ),
        (
            *({**US, "opt_in": "yes", "url_params": "opt_in=yes"}, {}, {}, "email", "left"),
            *("jebbit.trusted_url_params", "the answer may come from the page's URL"),
        ),
        (
            *({**US, "opt_in": "perhaps"}, {}, {}, "email", "left"),
            *("jebbit.opt_in_labels", "the answer is neither yes nor no"),
        ),
        (
            *({**US, "opt_in": "yes"}, {}, {"policy": {"auto_subscribe": False}}, "email", "left"),
            *(AUTO, "policy.auto_subscribe is false"),
        ),
        (
            *(EU, {}, {"policy": {"eu": {"auto_subscribe": False}}}, "email", "left"),
            *("policy.eu.auto_subscribe", "policy.eu.auto_subscribe is false"),
        ),
        (
            *({**BOTH, "opt_in": "yes", "sms_opt_in": "no"}, {"stale": True}, {}, "email", "left"),
            *("jebbit.attributes.occurred_at", "newer answers were delivered already"),
        ),
        (
            *({**US, "opt_in": "yes"}, {"refusals": SINCE}, {}, "email", "left"),
            *(ASKED, "the person said no later, or at the same time"),
        ),
        (
            *(US, {"opt_in_missing": True}, {}, "email", "left"),
            *("policy.opt_in_guard", "the source stopped sending the opt-in, so silence is none"),
        ),
        (
            *({**EMAIL, "country_code": "CH"}, {}, {}, "email", "left"),
            *("jebbit.attributes.country", "there is no answer, and that country needs a yes"),
        ),
        (
            *({**EMAIL, "country_code": "Narnia"}, {}, {}, "email", "left"),
            *("jebbit.attributes.country", "there is no answer, and the country is in doubt"),
        ),
        (
            *(EU, {}, {}, "email", "left"),
            *("policy.eu.null_is_consent", "there is no answer, and EU rules need a yes"),
        ),
        (
            *(US, {"refusals": SINCE}, {}, "email", "left"),
            *(ASKED, "the person said no before, and silence does not overrule that"),
        ),
        (
            *(EU, {"refusals": SINCE}, {"policy": {"eu": {"null_is_consent": True}}}, "email"),
            *("left", ASKED, "the person said no before, and silence does not overrule that"),
        ),
        (
            *({**US, "phone_number": "+49 30 901820", "opt_in": "yes", "sms_opt_in": "yes"},),
            *({"refusals": Refusals(NOW, None)}, {}, "email", "left"),
            *(ASKED, "the person said no later, or at the same time"),
        ),
        # SMS
        (
            *({**BOTH, "sms_opt_in": "no"}, {}, {}, "sms", "unsubscribed"),
            *("policy.on_opt_out", "the answer is no"),
        ),
        (
            *(BOTH, {}, {"cordial": {"sms": {}}}, "sms", "left"),
            *("cordial.sms.program", "the integration names no SMS program"),
        ),
        (
            *(BOTH, {}, {"jebbit": {"attributes": {"sms_opt_in": None}}}, "sms", "left"),
            *("jebbit.attributes.sms_opt_in", "the integration names no SMS opt-in"),
        ),
        (
            *({**BOTH, "opt_in": "no", "sms_opt_in": "yes"}, {"stale": True}, {}, "sms", "left"),
            *("jebbit.attributes.occurred_at", "newer answers were delivered already"),
        ),
        (
            *({**BOTH, "sms_opt_in": "yes"}, {"refusals": SINCE}, {}, "sms", "left"),
            *("jebbit.attributes.sms_opt_in", "the person said no later, or at the same time"),
        ),
        (
            *({**US, "phone_number": "+49 30 901820", "sms_opt_in": "yes"}, {}, {}, "sms", "left"),
            *("mapping", "the number is of a kind that gets no texts"),
        ),
        (
            *({**US, "phone_number": "+49 30 901820", "opt_in": "yes"}, {}, {}, "email"),
            *("subscribed", AUTO, "the answer is yes"),
        ),
        (
            *({**BOTH, "opt_in": "yes"}, {"opt_in_missing": True}, {}, "sms", "left"),
            *(
                "jebbit.attributes.sms_opt_in",
                "there is no answer, and SMS needs a spoken yes",
            ),
        ),
    ],
)
def test_a_status_is_told_with_what_decided_it(
    attributes: dict[str, Any],
    told: dict[str, Any],
    more: dict[str, Any],
    subject: str,
    result: str,
    place: str,
    words: str,
) -> None:
    """One cause and one place for each way in which a channel is asked or left."""
    steps = explained(attributes, told, **more)[1].steps
    step = next(each for each in steps if each.subject == subject)
    channel = {"email": "Email", "sms": "SMS"}[subject]
    asked = LEFT if result == "left" else f"asked to be {result}"
    assert (step.result, step.place) == (result, place)
    assert step.sentence == f"{channel} is {asked}: {words}."


@pytest.mark.parametrize(
    ("told", "more", "place", "because"),
    [
        ({}, {"resubscribe": "never"}, "policy.resubscribe", "policy.resubscribe is never"),
        (
            *({}, {"eu": {"resubscribe": "never"}}, "policy.eu.resubscribe"),
            "policy.eu.resubscribe is never",
        ),
        ({"delivered_before": True}, {}, "policy.resubscribe", "it was delivered before"),
        (
            *({"now": NOW + 90_000}, {}, "policy.resubscribe"),
            "that needs a yes of the last 24 hours",
        ),
    ],
)
def test_a_yes_that_forces_nothing_says_why(
    told: dict[str, Any], more: dict[str, Any], place: str, because: str
) -> None:
    """By the rule, by a replay, or by its age."""
    steps = explained({**EU, "opt_in": "yes"}, told, policy=more)[1].steps
    step = next(each for each in steps if each.subject == "force")
    assert (step.result, step.place) == ("not_forced", place)
    assert step.sentence == f"{STAYS} {because}."


def test_force_is_told_only_where_somebody_is_subscribed() -> None:
    """By either channel; with a no there is nothing to force."""
    for item, is_told in (
        ({**BOTH, "opt_in": "no", "sms_opt_in": "yes"}, True),
        ({**BOTH, "opt_in": "yes", "sms_opt_in": "no"}, True),
        ({**BOTH, "opt_in": "no", "sms_opt_in": "no"}, False),
    ):
        told = explained(item)[1]
        assert ("force" in {each.subject for each in told.steps}) is is_told


def test_only_channels_with_an_address_are_told() -> None:
    """And an SMS opt-in only if the integration asks for one."""
    by_phone = explained({"phone_number": MOBILE})[1]
    assert "email" not in {each.subject for each in by_phone.steps}
    by_email = explained(US, jebbit={"attributes": {"sms_opt_in": None}})[1]
    assert {"sms", "sms_opt_in"}.isdisjoint(each.subject for each in by_email.steps)


INCLUDE, EXCLUDE = ({"jebbit": {"campaigns": {how: ["a"]}}} for how in ("include", "exclude"))
NAMED = {"campaign_id": "c-1", "campaign_name": "b"}


@table(
    ("attributes", "told", "more", "subject", "result", "place", "words"),
    [
        (
            *({**US, "campaign_id": "a"}, {}, EXCLUDE, "session", "campaign_excluded"),
            "jebbit.campaigns.exclude",
            "the campaign is one that is excluded (read from campaign_id; there is no "
            "campaign_name).",
        ),
        (
            *({**US, **NAMED}, {}, INCLUDE, "session", "campaign_not_included"),
            "jebbit.campaigns.include",
            "the campaign is none of those that are included (read from campaign_id, "
            "campaign_name).",
        ),
        (
            *(US, {}, INCLUDE, "session", "campaign_unknown", "jebbit.campaigns"),
            "it is not known which campaign it belongs to (there is no campaign_id or "
            "campaign_name).",
        ),
        (
            *({**US, "is_completed": False}, {}, {}, "session", "not_completed", None),
            "the session was not completed (read from is_completed).",
        ),
        (
            *({**US, "is_valid": "no"}, {}, INCLUDE | {"jebbit": {}}, "session", "not_valid"),
            *(None, "the session is not valid (read from is_valid)."),
        ),
        (
            *({"email": "x", "phone_number": "1"}, {}, {}, "contact", "no_identity", "mapping"),
            "no address can be used (read from email, phone_number).",
        ),
        (
            *({}, {}, {}, "contact", "no_identity", "mapping"),
            "no address can be used (there is no email or phone_number).",
        ),
        (
            *({**US, "page_url": "?email=x"}, {}, {}, "contact", "untrusted_identity"),
            "jebbit.trusted_url_params",
            "the address may come from the page's URL, which anyone can write (page_url holds it "
            "as a name before a value).",
        ),
        (
            *({**EMAIL, "aws_region": "eu"}, {}, {"policy": {"collect": "non_eu"}}, "region"),
            *("region_not_collected", "policy.collect", "policy.collect is non_eu."),
        ),
        (
            *(EMAIL, {}, {"jebbit": {"region": None}, "policy": {"collect": "eu"}}, "region"),
            *("region_unknown", "policy.collect", "policy.collect is eu."),
        ),
        (
            *(US, {}, {"policy": {"opt_in": "opted_in_only"}}, "audience", "not_opted_in"),
            *("policy.opt_in", "policy.opt_in is opted_in_only, and the answer is none."),
        ),
        (
            *({**EU, "opt_in": "no"}, {}, {"policy": {"eu": {"opt_in": "opted_in_or_null"}}}),
            *("audience", "opted_out", "policy.eu.opt_in"),
            "policy.eu.opt_in is opted_in_or_null, and the answer is no.",
        ),
        (
            *({**US, "opt_in": "x"}, {}, {"policy": {"opt_in": "opted_in_only"}}, "audience"),
            *("opt_in_unclear", "policy.opt_in"),
            "policy.opt_in is opted_in_only, and the answer is neither yes nor no.",
        ),
        (
            *({**US, "opt_in": "yes"}, {"stale": True}, {}, "order", "stale"),
            "jebbit.attributes.occurred_at",
            "newer answers of this contact were delivered already, which must not be overwritten.",
        ),
    ],
)
def test_a_skip_ends_with_the_step_that_says_why(
    attributes: dict[str, Any],
    told: dict[str, Any],
    more: dict[str, Any],
    subject: str,
    result: str,
    place: str | None,
    words: str,
) -> None:
    """Where it was decided, by the reason's own word, and in a sentence."""
    step = explained(attributes, told, **more)[1].steps[-1]
    assert step.stops
    assert (step.subject, step.result, step.place) == (subject, result, place)
    region = explained(attributes, told, jebbit=more.get("jebbit"))[1].steps[2:3]
    before = f"{region[0].sentence} " if subject == "region" else ""
    assert step.sentence == f"{before}Nothing is sent: {words}"


def test_a_session_is_told_with_what_was_looked_at() -> None:
    """The campaign where campaigns are listed; a mark of Jebbit's if it is there."""
    for how in (INCLUDE, EXCLUDE):
        name = "a" if how is INCLUDE else "b"
        step = explained({**US, "campaign_name": name}, **how)[1].steps[0]
        assert (step.subject, step.place, step.result) == ("session", "jebbit.campaigns", "counts")
        assert step.sentence == (
            "The campaign is one of those that count, and the session is a real one."
        )
        assert step.read == [Read("campaign_id"), Read("campaign_name", "campaign_name", name)]
    step = explained({**US, "is_valid": "yes"})[1].steps[0]
    assert step.read == [Read("is_valid", "is_valid", "yes")]
    step = explained({**US, "Is Completed": 1})[1].steps[0]
    assert step.read == [Read("is_completed", "Is Completed", 1)]
    nameless = {"attributes": {"campaign_id": None, "campaign_name": None}, **INCLUDE["jebbit"]}
    step = explained(US, jebbit=nameless)[1].steps[0]
    assert step.sentence == "Nothing is sent: it is not known which campaign it belongs to."
    unnamed = {"jebbit": {"attributes": {"campaign_name": None}, **INCLUDE["jebbit"]}}
    assert explained(US, **unnamed)[1].steps[0].read == [Read("campaign_id")]
    assert explained({**US, "campaign_id": "a"}, **unnamed)[1].steps[0].read == [
        Read("campaign_id", "campaign_id", "a")
    ]


@pytest.mark.parametrize(
    ("attributes", "result", "said"),
    [
        (US, "email", "email (read from email; there is no phone_number)."),
        ({"phone_number": MOBILE}, "phone", "phone (read from phone_number; there is no email)."),
        (
            {"email": "x", "phone_number": MOBILE},
            "phone",
            "phone (read from email, phone_number). email holds no email address that can be used "
            "and believed.",
        ),
    ],
)
def test_a_contact_is_told_by_its_addresses(
    attributes: dict[str, Any], result: str, said: str
) -> None:
    """By the keys that hold them, and what is wrong with one."""
    step = explained(attributes)[1].steps[1]
    assert (step.place, step.result) == ("mapping", result)
    assert step.sentence == f"The contact is known by {said}"


DOUBTFUL = (
    " A country or region is named that is not believed, not understood, or under a key that was "
    "not agreed on, so no silence is taken for consent."
)


@pytest.mark.parametrize(
    ("attributes", "more", "place", "said"),
    [
        (US, {}, "jebbit.attributes.country", "outside the EU, because country_code is US."),
        (
            *({**EMAIL, "country_code": "CH"}, {}, "jebbit.attributes.country"),
            "outside the EU, because country_code is CH. No silence is taken for consent there.",
        ),
        (
            *({**EMAIL, "country_code": "Narnia"}, {}, "jebbit.region"),
            "outside the EU, because the integration says so and the submission does not."
            + DOUBTFUL,
        ),
        (
            *({**EMAIL, "aws_region": "us-east-1"}, {}, "jebbit.attributes.region"),
            "outside the EU, because aws_region is us-east-1.",
        ),
        (
            *({**EMAIL, "AWS Region": "eu"}, {}, "jebbit.attributes.region"),
            "EU, because AWS Region is eu. EU rules hold: policy.",
        ),
        (
            *(EMAIL, {"jebbit": {"region": None}, "policy": {"eu": {}}}, "jebbit.region"),
            "unknown, because nothing says where the person is. EU rules hold: policy.eu.",
        ),
        (
            *({**US, "url_params": "country_code=US"}, {}, "jebbit.region"),
            "outside the EU, because the integration says so and the submission does not."
            + DOUBTFUL,
        ),
        (
            *(EU, {"jebbit": {"attributes": {"region": None}}}, "jebbit.attributes.country"),
            "EU, because country_code is DE. EU rules hold: policy.",
        ),
    ],
)
def test_a_region_is_told_with_what_decided_it(
    attributes: dict[str, Any], more: dict[str, Any], place: str, said: str
) -> None:
    """Country, region, the integration or nothing; and what follows from it."""
    step = explained(attributes, **more)[1].steps[2]
    assert step.place == place
    assert step.sentence == f"Region: {said}"


def test_a_country_is_told_by_the_key_that_decided() -> None:
    """Of several spellings, by the one that decided."""
    item = {**EMAIL, "country_code": "DE", "Country Code": "DE", "url_params": "country_code=DE"}
    step = explained(item)[1].steps[2]
    assert [each.believed for each in step.read] == [False, False, True]
    assert step.read[0] == Read("country_code", "country_code", "DE", False, f"it {OF_URL}")
    several = explained({**EMAIL, "country_code": "US", "Country Code": "Great Britain"})[1]
    assert several.steps[2].sentence.startswith("Region: EU, because Country Code is GB.")
    blank = explained({**EMAIL, "country_code": " ", "Country Code": "DE"})[1]
    assert blank.steps[2].sentence.startswith("Region: EU, because Country Code is DE.")
    without = explained({**US}, jebbit={"attributes": {"country": None, "region": None}})
    assert without[1].steps[2].read == []


@pytest.mark.parametrize(
    ("attributes", "more", "result", "said"),
    [
        (
            US,
            {"opt_in": None},
            "null",
            "not asked, because the integration names no attribute for it.",
        ),
        (
            *({**US, "opt_in": "yes", "url_params": "opt_in=yes"}, {}, "not_believed"),
            f"not believed, because opt_in {OF_URL}.",
        ),
        ({**US, "opt_in": None}, {}, "null", "none, because opt_in is null: nothing was answered."),
        ({**US, "opt_in": " "}, {}, "null", "none, because opt_in is blank: nothing was answered."),
        ({**US, "opt_in": "none"}, {}, "null", "none, because opt_in is none."),
        ({**US, "opt_in": "x"}, {}, "unclear", "neither yes nor no, because opt_in is x."),
        ({**US, "Opt In": ["é"]}, {}, "unclear", 'neither yes nor no, because Opt In is ["é"].'),
        ({**US, "opt_in": False}, {}, "no", "no, because opt_in is false."),
        ({**US, "opt_in": " ", "Opt In": "yes"}, {}, "yes", "yes, because Opt In is yes."),
    ],
)
def test_an_answer_is_told_with_its_key_and_value(
    attributes: dict[str, Any], more: dict[str, Any], result: str, said: str
) -> None:
    """As Jebbit sent it; and why it is none, or not believed."""
    step = explained(attributes, jebbit={"attributes": more})[1].steps[3]
    assert (step.subject, step.place, step.result) == ("opt_in", ASKED, result)
    assert step.sentence == f"Email opt-in: {said}"
    assert bool(step.read) is (more == {})


def test_a_value_is_cut_where_it_is_longer_than_a_sentence_holds() -> None:
    """After 120 characters."""
    assert shown("x" * 120) == "x" * 120
    assert shown("x" * 121) == "x" * 120 + "..."


def test_newer_answers_are_told_with_the_date() -> None:
    """As it stands there; without a name for it nothing was looked at."""
    item = {**US, "opt_in": "no", "experience_date": "2025-01-01"}
    step = next(
        each for each in explained(item, {"stale": True})[1].steps if each.subject == "order"
    )
    assert (step.place, step.result) == ("jebbit.attributes.occurred_at", "only_no")
    assert step.read == [Read("experience_date", "experience_date", "2025-01-01")]
    assert step.sentence == (
        "Newer answers of this contact were delivered already: of this one only the no is sent."
    )
    unnamed = {"attributes": {"occurred_at": None}}
    steps = explained(item, {"stale": True}, jebbit=unnamed)[1].steps
    assert next(each for each in steps if each.subject == "order").read == ()
    fields = next(each for each in steps if each.subject == "fields")
    assert (fields.result, fields.sentence) == ("0", "No field is sent with the no.")


def test_of_no_field_none_is_named() -> None:
    """The mapping may name addresses alone."""
    assert sentence(explained(US)[1], "fields") == "0 of 0 fields are sent."


def test_where_answers_are_not_shown_the_decision_still_is() -> None:
    """Of the steps that tell of an answer the words go; places and results stay."""
    _, told = explained({**US, "opt_in": "Certainly"})
    unsaid = "Only an admin may see what was answered."
    for step, kept in zip(told.steps, without_answers(told.steps), strict=True):
        tells = step.subject in ("region", "opt_in", "sms_opt_in")
        assert kept.sentence == (unsaid if tells else step.sentence)
        assert all(each.value is None for each in kept.read)
        assert [each._replace(value=None) for each in step.read] == list(kept.read)
        assert (kept.place, kept.result) == (step.place, step.result)


def test_what_would_have_been_mapped_may_be_unmapped_fields() -> None:
    """Where attributes flow that no rule names, by what the account has."""
    integration = Integration.model_validate(
        config(unmapped="known", policy={"opt_in": "opted_in_only"})
    )
    submission = Submission({**US, "outcome": "Rose"})
    made = plan(submission, integration, received_at=NOW, now=NOW)
    told = explain_plan(made, submission, integration, {"outcome": "string"})
    assert [(each.field, each.value) for each in told.would_map] == [("outcome", "Rose")]
    assert explain_plan(made, submission, integration).would_map == []
