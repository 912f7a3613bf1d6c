"""Integrations: what is refused and where, what the rest defaults to, and how a patch merges."""

import copy
import json
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import pytest
from pydantic import ValidationError

from app.rules.integration import Integration, Sms, merge_patch, slug
from app.rules.mapping import Rule
from app.rules.values import Answer, answer
from tests.table import table

Make = Callable[..., Any]
EMAIL = {"attribute": "email", "field": "channels.email.address"}


def refusals(body: Any) -> list[tuple[str, str]]:
    """Return the places and messages a body is refused with."""
    with pytest.raises(ValidationError) as refused:
        Integration.model_validate(body)
    return [(".".join(map(str, each["loc"])), each["msg"]) for each in refused.value.errors()]


# --- refusals


@pytest.mark.parametrize(
    "place",
    [
        *("name", "cordial", "cordial.account_url", "cordial.api_key"),
        *("policy", "policy.collect", "policy.opt_in", "policy.auto_subscribe"),
    ],
)
def test_required(make_body: Make, place: str) -> None:
    """Whom to send and subscribe has no lawful default: each must be said, and is named."""
    body = make_body()
    section, _, key = place.partition(".")
    if key:
        del body[section][key]
    else:
        del body[section]
    assert refusals(body) == [(place, "Field required")]


@pytest.mark.parametrize(
    ("extra", "place"),
    [
        ({"campaign": "x"}, "campaign"),
        ({"cordial": {"key": "x"}}, "cordial.key"),
        ({"cordial": {"sms": {"programme": "x"}}}, "cordial.sms.programme"),
        ({"jebbit": {"secret": "x"}}, "jebbit.secret"),
        ({"jebbit": {"attributes": {"optin": "x"}}}, "jebbit.attributes.optin"),
        ({"jebbit": {"campaigns": {"only": []}}}, "jebbit.campaigns.only"),
        ({"jebbit": {"opt_in_labels": {"yes": []}}}, "jebbit.opt_in_labels.yes"),
        ({"policy": {"null_is_consent": True}}, "policy.null_is_consent"),
        ({"policy": {"eu": {"collect": "eu"}}}, "policy.eu.collect"),
        ({"mapping": [EMAIL | {"to": "x"}]}, "mapping.0.to"),
    ],
)
def test_unknown_key(make_body: Make, extra: dict[str, Any], place: str) -> None:
    """A key that nothing reads is refused where it stands: a typing error must not pass as set."""
    assert refusals(make_body(**extra)) == [(place, "Extra inputs are not permitted")]


@pytest.mark.parametrize(
    "field",
    ["channels", "suppressTriggers", "forceSubscribe", "identifyBy", "cID", "attributes"],
)
def test_reserved_field(make_body: Make, field: str) -> None:
    """A key that Cordial's body gives a meaning of its own is no field, for the opt-in neither."""
    ((place, message),) = refusals(make_body(mapping=[EMAIL, {"attribute": "a", "field": field}]))
    assert place == "mapping.1"
    assert f"{field} is reserved" in message
    ((_, message),) = refusals(make_body(policy={"opt_in_field": field}))
    assert f"{field} is reserved" in message


@pytest.mark.parametrize(
    ("mapping", "opt_in_field"),
    [
        ([EMAIL, {"attribute": "a", "field": "x"}, {"attribute": "b", "field": "x"}], None),
        ([EMAIL, {"attribute": "a", "field": "x"}, {"attribute": "a", "field": "x"}], None),
        ([EMAIL, {"attribute": "a", "field": "x"}], "x"),
        ([EMAIL, {"attribute": "x", "field": "channels.email.address"}], None),
    ],
)
def test_two_rules_for_one_field(make_body: Make, mapping: Any, opt_in_field: str | None) -> None:
    """A field is filled by one rule, the opt-in's own included; the message names it."""
    ((_, message),) = refusals(make_body(mapping=mapping, policy={"opt_in_field": opt_in_field}))
    assert message.endswith(mapping[-1]["field"])


def test_fields_that_differ_in_case_are_two(make_integration: Make) -> None:
    """Cordial's keys are case-sensitive."""
    rules = [EMAIL, {"attribute": "a", "field": "x"}, {"attribute": "a", "field": "X"}]
    assert len(make_integration(mapping=rules).mapping) == 3


@pytest.mark.parametrize("policy", [{"opt_in": "everyone"}, {"eu": {"opt_in": "everyone"}}])
def test_everyone_needs_the_status_as_data(make_body: Make, policy: dict[str, Any]) -> None:
    """Who sends people whatever they said must tell Cordial what they said."""
    ((place, message),) = refusals(make_body(policy=policy))
    assert place == "policy"
    assert "opt_in_field" in message
    Integration.model_validate(make_body(policy=policy | {"opt_in_field": "jebbit_opt_in"}))


def at(place: str, value: Any) -> dict[str, Any]:
    """Return sections of a body that have a value at a place."""
    for name in reversed(place.split(".")):
        value = {name: value}
    return dict(value)


@table(
    ("place", "taken", "refused"),
    [
        ("name", "a", ""),
        ("name", "a" * 100, "a" * 101),
        ("cordial.account_url", "x", ""),
        ("cordial.email_channel", "x", ""),
        ("cordial.sms.channel", "x", ""),
        ("cordial.sms.program", "x", ""),
        ("cordial.sms.keyword", "x", ""),
        ("cordial.requests_per_second", 1e-9, 0.0),
        ("cordial.requests_per_second", 1e9, float("inf")),
        ("cordial.requests_per_second", 7, float("nan")),
        ("jebbit.webhook_secrets", ["x"] * 8, ["x"] * 9),
        ("jebbit.webhook_secrets", [], [""]),
        ("policy.opt_in_field", "x", ""),
        ("mapping", [EMAIL], []),
    ],
)
def test_what_is_taken_at_least_and_at_most(
    make_body: Make, place: str, taken: Any, refused: Any
) -> None:
    """Nothing shorter, longer, smaller or larger."""
    assert all(where.startswith(place) for where, _ in refusals(make_body(**at(place, refused))))
    body = make_body(**at(place, taken))
    if place == "cordial.email_channel":
        body["mapping"] = [{"attribute": "email", "field": "channels.x.address"}]
    Integration.model_validate(body)


def test_what_was_given_is_kept(make_integration: Make) -> None:
    """Secrets, and the country of phone numbers, are as they were written."""
    integration = make_integration(
        cordial={"api_key": "ab****"},
        jebbit={"webhook_secrets": ["s 1", "s2"], "default_phone_country": "GB"},
    )
    assert integration.cordial.api_key.get_secret_value() == "ab****"
    secrets = [each.get_secret_value() for each in integration.jebbit.webhook_secrets]
    assert secrets == ["s 1", "s2"]
    assert integration.jebbit.default_phone_country == "GB"


def test_an_integration_does_not_change(make_integration: Make) -> None:
    """What was worked out of it would not follow: a copy is made instead."""
    with pytest.raises(ValidationError, match="frozen"):
        make_integration().policy.auto_subscribe = False


GEO = [{"attribute": "a", "field": f"{each}.loc.lat", "type": "geo"} for each in "edcba"]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"jebbit": {"opt_in_labels": {"true": list("edcba"), "false": list("ACEBD")}}},
            "['a', 'b', 'c', 'd', 'e'] cannot mean both true and false",
        ),
        (
            {
                "mapping": [EMAIL, *[{"attribute": "a", "field": each} for each in "bab"], GEO[4]]
                * 2
            },
            "two rules for one field: a, a.loc.lat, b, channels.email.address",
        ),
        (
            {"mapping": [EMAIL, *GEO, *[{"attribute": "a", "field": each} for each in "fabcde"]]},
            "both a geo attribute and an ordinary field: a, b, c, d, e",
        ),
        (
            {
                "mapping": [
                    *[{"attribute": "a", "field": f"channels.{each}.address"} for each in "edcba"],
                    EMAIL,
                ]
            },
            "no such channel: a, b, c, d, e; cordial.email_channel and cordial.sms.channel name "
            "email, sms",
        ),
        (
            {"mapping": GEO, "cordial": {"email_channel": "mail", "sms": {"channel": "texts"}}},
            "the mapping names no address; add a rule for channels.mail.address or "
            "channels.texts.address",
        ),
        (
            {"mapping": [EMAIL, *GEO], "policy": {"opt_in_field": "c"}},
            "policy.opt_in_field and the mapping both fill c",
        ),
        ({"policy": {"opt_in_field": "c.city"}}, 'only a field of type "geo" has parts'),
        (
            {"cordial": {"api_key": "****0001"}},
            "this is how a secret is shown, not the secret itself",
        ),
    ],
)
def test_a_refusal_names_all_that_it_is_about(make_body: Make, sections: Any, message: str) -> None:
    """In an order that stays the same."""
    ((_, told),) = refusals(make_body(**sections))
    assert told.endswith(message)


def test_parts_of_one_geo_attribute_go_together(make_integration: Make) -> None:
    city, state = (
        {"attribute": "a", "field": f"home.{each}", "type": "geo"} for each in ("city", "state")
    )
    rules = [EMAIL, city, state, {"attribute": "a", "field": "city"}]
    assert len(make_integration(mapping=rules, policy={"opt_in_field": "state"}).mapping) == 4


@table(
    ("sections", "place", "message"),
    [
        ({"name": ""}, "name", "at least 1 character"),
        ({"name": "!!!"}, "", "letter a-z or digit"),
        ({"cordial": {"api_key": ""}}, "cordial.api_key", "not empty"),
        ({"cordial": {"api_key": " key"}}, "cordial.api_key", "without spaces"),
        ({"cordial": {"api_key": "k\u00e9y"}}, "cordial.api_key", "ASCII"),
        ({"cordial": {"requests_per_second": 0}}, "cordial.requests_per_second", "greater than 0"),
        ({"cordial": {"on_rejected_field": "retry"}}, "cordial.on_rejected_field", "'drop' or"),
        (
            {"cordial": {"sms": {"address_format": "national"}}},
            "cordial.sms.address_format",
            "'digits' or 'e164'",
        ),
        ({"jebbit": {"webhook_secrets": [""]}}, "jebbit.webhook_secrets.0", "not empty"),
        ({"jebbit": {"region": "uk"}}, "jebbit.region", "'us' or 'eu'"),
        ({"jebbit": {"default_phone_country": "us"}}, "jebbit.default_phone_country", "alpha-2"),
        ({"jebbit": {"default_phone_country": "UK"}}, "jebbit.default_phone_country", "alpha-2"),
        ({"cordial": {"email_channel": "sms"}}, "", "must differ"),
        (
            {"jebbit": {"opt_in_labels": {"true": ["OK  then"], "false": ["ok then"]}}},
            "jebbit.opt_in_labels",
            "cannot mean both",
        ),
        ({"mapping": []}, "mapping", "at least 1 item"),
        ({"mapping": [{"attribute": "a", "field": "x"}]}, "", "names no address"),
        ({"mapping": [{"attribute": "a", "field": "channels.fax.address"}]}, "", "fax"),
        ({"unmapped": "all"}, "unmapped", "'ignore' or 'known'"),
        ({"policy": {"collect": "us"}}, "policy.collect", "'both', 'eu' or 'non_eu'"),
        ({"policy": {"opt_in": "all"}}, "policy.opt_in", "'opted_in_only'"),
        ({"policy": {"auto_subscribe": "yes"}}, "policy.auto_subscribe", "valid boolean"),
        ({"policy": {"resubscribe": "always"}}, "policy.resubscribe", "'explicit_opt_in'"),
        ({"policy": {"on_opt_out": "delete"}}, "policy.on_opt_out", "'unsubscribe'"),
    ],
)
def test_refused_value(make_body: Make, sections: Any, place: str, message: str) -> None:
    """A value that cannot hold is refused, naming where and what would."""
    ((where, what),) = refusals(make_body(**sections))
    assert where == place
    assert message in what


def test_secrets_do_not_show(make_body: Make, make_integration: Make) -> None:
    """Neither an integration as text nor a refusal shows a key or secret."""
    shown = repr(make_integration())
    with pytest.raises(ValidationError) as refused:
        Integration.model_validate(make_body(cordial={"api_key": "cordial-key-0001 "}))
    for text in (shown, str(refused.value)):
        assert "cordial-key" not in text
        assert "jebbit-secret" not in text


# --- defaults


def test_defaults(make_integration: Make) -> None:
    """What a body leaves out is as published."""
    integration = make_integration()
    assert integration.model_dump(
        exclude={
            "name": True,
            "cordial": {"account_url", "api_key"},
            "jebbit": {"webhook_secrets"},
            "policy": {"collect", "opt_in", "auto_subscribe"},
        },
        exclude_unset=False,
    ) == {
        "cordial": {
            "email_channel": "email",
            "sms": None,
            "identify_by": [],
            "suppress_triggers": True,
            "requests_per_second": None,
            "on_rejected_field": "drop",
        },
        "jebbit": {
            "region": "us",
            "campaigns": {"include": [], "exclude": []},
            "attributes": {
                "opt_in": "opt_in",
                "sms_opt_in": None,
                "country": "country_code",
                "region": "aws_region",
                "session": "user_session_id",
                "occurred_at": "experience_date",
                "campaign_id": "campaign_id",
                "campaign_name": "campaign_name",
            },
            "opt_in_labels": {"true": [], "false": []},
            "trusted_url_params": [],
            "default_phone_country": "US",
        },
        "mapping": [
            {
                "attribute": "email",
                "field": "channels.email.address",
                "type": "string",
                "separator": None,
                "default": None,
                "lists_need": "not_no",
                "too_long": "warn",
            }
        ],
        "unmapped": "ignore",
        "policy": {
            "opt_in_field": None,
            "resubscribe": "never",
            "opt_in_guard": True,
            "on_opt_out": "leave",
            "eu": None,
        },
    }


@pytest.mark.parametrize("blank", ["", " ", "\u00a0", "&nbsp;", "\u200b"])
def test_a_blank_label_makes_no_yes_of_silence(make_integration: Make, blank: str) -> None:
    """Only `null_is_consent` does. A no it may make: that subscribes nobody."""

    def said(**labels: list[str]) -> list[Answer]:
        own = make_integration(jebbit={"opt_in_labels": labels}).jebbit.opt_in_labels.labels
        return [answer(each, own) for each in ("", blank, "sure")]

    assert said(true=["sure", blank]) == [Answer.NULL, Answer.NULL, Answer.YES]
    assert said(false=["sure", blank]) == [Answer.NO] * 3


def test_part_of_an_object_keeps_the_rest(make_integration: Make) -> None:
    """An object given in part has the defaults of its other keys, null being a choice."""
    names = make_integration(
        jebbit={"attributes": {"opt_in": "newsletter", "country": None}}
    ).jebbit.attributes
    assert (names.opt_in, names.country, names.region) == ("newsletter", None, "aws_region")
    eu = make_integration(policy={"eu": {"auto_subscribe": False}}).policy.eu
    assert (eu.opt_in, eu.auto_subscribe, eu.null_is_consent) == (None, False, False)


def test_sms_in_part(make_integration: Make) -> None:
    """An SMS channel given in part asks by text and sends digits; without program it is silent."""
    sms = make_integration(cordial={"sms": {}}).sms
    assert (sms.channel, sms.program, sms.suppress_doi) == ("sms", None, False)
    assert (sms.keyword, sms.address_format) == ("join", "digits")
    assert make_integration().sms == sms


@pytest.mark.parametrize(
    ("names", "asked"),
    [
        ({}, ["opt_in"]),
        ({"sms_opt_in": "sms"}, ["opt_in", "sms"]),
        ({"opt_in": None, "sms_opt_in": "sms"}, ["sms"]),
        ({"opt_in": None}, []),
    ],
)
def test_the_names_of_the_opt_ins(make_integration: Make, names: Any, asked: list[str]) -> None:
    """Of each channel that has one."""
    assert list(make_integration(jebbit={"attributes": names}).jebbit.opt_in_names) == asked


def test_address_attribute(make_integration: Make) -> None:
    """The mapping tells which attribute holds a channel's address."""
    integration = make_integration(mapping=[{"attribute": "Mail", "field": EMAIL["field"]}])
    assert integration.email_attribute == "Mail"
    assert integration.phone_attribute is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Spring quiz", "spring-quiz"),
        ("  Spring -- Quiz!  ", "spring-quiz"),
        ("Frühling 2024", "fruhling-2024"),
        ("Spring/Quiz_1", "spring-quiz-1"),
        ("春", ""),
        ("\u2122" * 100, "tm" * 50),
        ("a" * 98 + "\u2122 b", "a" * 98 + "tm"),
        ("a" * 99 + " b", "a" * 99),
    ],
)
def test_slug(name: str, expected: str) -> None:
    """The id is fit for an address, and no longer than the ledger has place for."""
    assert slug(name) == expected


# --- merge patch


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        ({"name": "a"}, {"name": "b"}, {"name": "b"}),
        ({"name": "a"}, {}, {"name": "a"}),
        ({"unmapped": "known"}, {"unmapped": None}, {}),
        (
            {"policy": {"collect": "eu", "opt_in": "opted_in_only"}},
            {"policy": {"collect": "both"}},
            {"policy": {"collect": "both", "opt_in": "opted_in_only"}},
        ),
        ({"mapping": [1, 2]}, {"mapping": [3]}, {"mapping": [3]}),
        ({}, {"unmapped": None, "name": "b"}, {"name": "b"}),
        (
            {"policy": {"on_opt_out": "unsubscribe"}},
            {"policy": {"on_opt_out": None}},
            {"policy": {}},
        ),
        ({"mapping": [1]}, {"mapping": None}, {}),
        (
            {"jebbit": {"attributes": {"opt_in": "a", "country": "b"}}},
            {"jebbit": {"attributes": {"opt_in": "c"}}},
            {"jebbit": {"attributes": {"opt_in": "c", "country": "b"}}},
        ),
        ({"name": "a"}, {"nome": "b", "nul": None}, {"name": "a", "nome": "b"}),
        ({"name": "a"}, {"name": {"b": {"c": 1}}}, {"name": {"b": {"c": 1}}}),
    ],
)
def test_merge_patch(before: Any, patch: Any, after: Any) -> None:
    """A patch changes what it names and nothing else; objects merge, lists are replaced, null
    takes away. What the model has no place for stays, to be refused."""
    kept = copy.deepcopy(before)
    assert merge_patch(before, patch) == after
    assert before == kept


@pytest.mark.parametrize(
    ("before", "patch"),
    [
        ({}, {"jebbit": {"campaigns": {"include": ["a"]}}}),
        ({"jebbit": {"region": "eu"}}, {"jebbit": {"region": None}}),
        ({"jebbit": {}}, {"jebbit": {"attributes": {"country": None}}}),
        ({"policy": {"eu": {"opt_in": "everyone"}}}, {"policy": {"eu": None}}),
        ({"cordial": {"sms": {"program": "main"}}}, {"cordial": {"sms": None}}),
        ({"cordial": {"sms": None}}, {"cordial": {"sms": {"program": "main"}}}),
        ({"cordial": {"sms": {"keyword": "go"}}}, {"cordial": {"sms": {"keyword": None}}}),
    ],
)
def test_merge_patch_keeps_a_null_that_is_a_choice(before: Any, patch: Any) -> None:
    """Where null is a value of its own it stays, else the default would come back."""
    assert merge_patch(before, patch) == patch


@pytest.mark.parametrize(
    ("patch", "place", "value"),
    [
        ({"jebbit": {"region": None}}, "jebbit.region", None),
        ({"jebbit": {"attributes": {"country": None}}}, "jebbit.attributes.country", None),
        ({"jebbit": {"default_phone_country": None}}, "jebbit.default_phone_country", "US"),
        ({"jebbit": {"campaigns": None}}, "jebbit.campaigns.include", []),
        ({"policy": {"resubscribe": None}}, "policy.resubscribe", "never"),
        ({"policy": {"eu": {"opt_in": None}}}, "policy.eu.on_opt_out", "unsubscribe"),
        ({"cordial": {"suppress_triggers": None}}, "cordial.suppress_triggers", True),
        ({"unmapped": None}, "unmapped", "ignore"),
    ],
)
def test_merged_integration(make_body: Make, patch: Any, place: str, value: Any) -> None:
    """After a patch by null an integration is unknown where that is a choice, else at default."""
    body = make_body(
        cordial={"suppress_triggers": False},
        jebbit={
            "region": "eu",
            "default_phone_country": "DE",
            "campaigns": {"include": ["a"]},
            "attributes": {"country": "land"},
        },
        unmapped="known",
        policy={
            "resubscribe": "explicit_opt_in",
            "eu": {"opt_in": "opted_in_only", "on_opt_out": "unsubscribe"},
        },
    )
    patched = Integration.model_validate(merge_patch(body, patch))
    assert attrgetter(place)(patched) == value


@pytest.mark.parametrize("place", ["cordial.api_key", "policy.collect"])
def test_required_cannot_be_patched_away(make_body: Make, place: str) -> None:
    """A null for what is required is refused like its absence."""
    section, _, key = place.partition(".")
    assert refusals(merge_patch(make_body(), {section: {key: None}})) == [(place, "Field required")]


def test_merged_body_is_json(make_body: Make) -> None:
    """What is merged can be stored as it is."""
    merged = merge_patch(make_body(), {"jebbit": {"region": None}, "unmapped": "known"})
    assert json.loads(json.dumps(merged)) == merged


def test_a_copy_follows_from_its_own_values(make_integration: Make) -> None:
    """What is worked out once of a model is worked out anew for a changed copy of it."""
    integration = make_integration(jebbit={"opt_in_labels": {"true": ["sure"]}})
    assert integration.email_attribute == "email"
    assert integration.sms.program is None
    assert integration.jebbit.opt_in_labels.labels.yes == {"sure"}
    mapping = [Rule(attribute="Mail", field="channels.email.address")]
    cordial = integration.cordial.model_copy(update={"sms": Sms(program="main")})
    changed = integration.model_copy(update={"mapping": mapping, "cordial": cordial})
    assert changed.email_attribute == "Mail"
    assert changed.sms.program == "main"
    labels = integration.jebbit.opt_in_labels.model_copy(update={"true": ["ok"]})
    assert labels.labels.yes == {"ok"}
    assert integration.model_copy() == integration
