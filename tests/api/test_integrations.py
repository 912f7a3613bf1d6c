"""Integrations are made, shown and changed by the API."""

from typing import Any

import pytest

from app.api.integrations import EXAMPLE
from tests.api.conftest import ACCOUNT_URL, body, problem, without
from tests.conftest import API_KEY, WEBHOOK_SECRET

# --- Create, show -------------------------------------------------------------------------------

FULL = {
    "name": "Été: full & complete!",
    "cordial": {
        "account_url": "https://usw2.admin.cordial.io",
        "api_key": "the-cordial-key-1234",
        "email_channel": "mail",
        "sms": {
            "channel": "text",
            "program": "main",
            "keyword": "join",
            "suppress_doi": True,
            "address_format": "e164",
        },
        "identify_by": ["customer_id"],
        "suppress_triggers": False,
        "requests_per_second": 2.5,
        "on_rejected_field": "dead",
    },
    "jebbit": {
        "webhook_secrets": ["the-shared-secret-5678", "the-older-secret-4321"],
        "region": None,
        "campaigns": {"include": ["quiz"], "exclude": ["other"]},
        "attributes": {
            "opt_in": "newsletter",
            "sms_opt_in": "texts",
            "country": None,
            "region": None,
            "session": "session",
            "occurred_at": "at",
            "campaign_id": "cid",
            "campaign_name": None,
        },
        "opt_in_labels": {"true": ["Oui"], "false": ["Non"]},
        "trusted_url_params": ["uid"],
        "default_phone_country": "FR",
    },
    "mapping": [
        {"attribute": "mail", "field": "channels.mail.address"},
        {"attribute": "phone", "field": "channels.text.address"},
        {"attribute": "colors", "field": "colors", "type": "array", "separator": "|"},
        {"attribute": "city", "field": "home.city", "type": "geo"},
        {"attribute": "deals", "field": "weekly_deals", "type": "list"},
        {"field": "source", "default": "jebbit"},
    ],
    "unmapped": "known",
    "policy": {
        "collect": "eu",
        "opt_in": "everyone",
        "auto_subscribe": False,
        "opt_in_field": "opt_in_status",
        "resubscribe": "explicit_opt_in",
        "on_opt_out": "unsubscribe",
        "opt_in_guard": True,
        "eu": {
            "opt_in": "opted_in_only",
            "auto_subscribe": True,
            "resubscribe": "never",
            "on_opt_out": "leave",
            "null_is_consent": True,
        },
    },
}


def test_the_smallest_integration_gets_the_documented_defaults(shared, create):
    """What is not given is shown as it holds, paused, with the address to paste into Jebbit."""
    quiz = create(name="Defaults", state="paused", cordial={"account_url": ACCOUNT_URL})
    shown = shared.client.get(f"/integrations/{quiz}").json()
    assert (shown["id"], shown["name"], shown["state"]) == ("defaults", "Defaults", "paused")
    assert shown["webhook_url"] == f"{shared.url}/webhooks/jebbit/defaults"
    assert shown["gate"]["state"] == "open"
    assert shown["cordial"] == {
        "account_url": ACCOUNT_URL,
        "api_key": f"****{API_KEY[-4:]}",
        "email_channel": "email",
        "sms": None,
        "identify_by": [],
        "suppress_triggers": True,
        "requests_per_second": None,
        "on_rejected_field": "drop",
    }
    assert shown["jebbit"] == {
        "webhook_secrets": [f"****{WEBHOOK_SECRET[-4:]}"],
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
    }
    assert shown["unmapped"] == "ignore"
    assert shown["policy"] == {
        "collect": "both",
        "opt_in": "opted_in_or_null",
        "auto_subscribe": True,
        "opt_in_field": None,
        "resubscribe": "never",
        "on_opt_out": "leave",
        "opt_in_guard": True,
        "eu": None,
    }


def test_an_integration_is_created_paused_unless_said_otherwise(shared):
    """Nobody is sent anything before somebody looked; `state` can say that somebody did."""
    paused = shared.client.post("/integrations", json=without(body(name="By default"), "state"))
    assert (paused.status_code, paused.json()["state"]) == (201, "paused")
    assert paused.json()["state_reason"].startswith("Created paused")
    active = shared.client.post(
        "/integrations?force=true", json=body(name="Active", state="active")
    )
    assert (active.json()["state"], active.json()["state_reason"]) == ("active", None)


def test_everything_that_can_be_set_is_shown_as_it_was_set(shared):
    """The whole of section 5, but for the secrets; the id is a slug of the name."""
    created = shared.client.post("/integrations", json=FULL)
    assert created.status_code == 201, created.text
    shown = created.json()
    assert shown["id"] == "ete-full-complete"
    assert shown["cordial"] == {**FULL["cordial"], "api_key": "****1234"}
    secrets = ["****5678", "****4321"]
    assert shown["jebbit"] == {**FULL["jebbit"], "webhook_secrets": secrets}
    assert (shown["policy"], shown["unmapped"]) == (FULL["policy"], "known")
    unset = {
        "attribute": None,
        "type": "string",
        "separator": None,
        "default": None,
        "lists_need": "not_no",
        "too_long": "warn",
    }
    assert shown["mapping"] == [{**unset, **rule} for rule in FULL["mapping"]]
    assert shared.client.get("/integrations/ete-full-complete").json() == shown
    assert shown in shared.client.get("/integrations").json()


def test_the_mapping_may_be_left_out(shared):
    """Then the email address is all that is sent."""
    given = without(body(name="Email alone"), "mapping")
    [rule] = shared.client.post("/integrations", json=given).json()["mapping"]
    assert (rule["attribute"], rule["field"]) == ("email", "channels.email.address")


@pytest.mark.parametrize("name", ["new", "New", " NEW!"])
def test_a_name_that_hides_behind_a_page_is_refused(shared, name):
    """The console's own addresses stay free."""
    refused = shared.client.post("/integrations", json=body(name=name))
    assert refused.status_code == 422
    (place,) = refused.json()["errors"]
    assert place["place"] == "name"
    assert "choose another name" in place["detail"]


def test_the_documented_example_works(shared):
    """What /docs offers can be sent as it is."""
    assert shared.client.post("/integrations", json=EXAMPLE).status_code == 201
    assert shared.client.delete("/integrations/spring-quiz").status_code == 204


@pytest.mark.parametrize("name", ["Taken", "taken", " TAKEN! ", "Täken"])
def test_a_name_in_use_is_refused(shared, name):
    """409 names the id in the way, also where the names only look different."""
    shared.client.post("/integrations", json=body(name="Taken"))
    detail = problem(shared.client.post("/integrations", json=body(name=name)), 409)["detail"]
    assert "has the id taken already" in detail
    assert "PATCH /integrations/taken" in detail


# --- PATCH --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patch", "path", "value"),
    [
        ({"policy": {"opt_in": "opted_in_only"}}, "policy.opt_in", "opted_in_only"),
        ({"jebbit": {"region": None}}, "jebbit.region", None),
        ({"jebbit": {"region": "eu"}}, "jebbit.region", "eu"),
        ({"jebbit": {"attributes": {"opt_in": None}}}, "jebbit.attributes.opt_in", None),
        (
            {"jebbit": {"attributes": {"opt_in": "x"}}},
            "jebbit.attributes.session",
            "user_session_id",
        ),
        ({"jebbit": {"default_phone_country": None}}, "jebbit.default_phone_country", "US"),
        (
            {"jebbit": {"campaigns": {"include": ["a"]}}},
            "jebbit.campaigns",
            {"include": ["a"], "exclude": []},
        ),
        ({"cordial": {"sms": {"program": "main"}}}, "cordial.sms.channel", "sms"),
        ({"cordial": {"sms": None}}, "cordial.sms", None),
        ({"policy": {"eu": {"null_is_consent": True}}}, "policy.eu.null_is_consent", True),
        ({"policy": {"eu": None}}, "policy.eu", None),
        ({"unmapped": "known"}, "unmapped", "known"),
        ({"unmapped": None}, "unmapped", "ignore"),
        ({"mapping": None}, "mapping.0.field", "channels.email.address"),
        ({}, "policy.opt_in", "opted_in_or_null"),
    ],
)
def test_a_patch_merges(shared, create, patch, path, value):
    """RFC 7396: what is not named stays; null puts the default back, or is itself the choice."""
    quiz = create(jebbit={"default_phone_country": "DE"})
    answer = shared.client.patch(f"/integrations/{quiz}", json=patch)
    assert answer.status_code == 200, answer.text
    shown: Any = answer.json()
    for each in path.split("."):
        shown = shown[int(each)] if each.isdigit() else shown[each]
    assert shown == value
    assert shared.client.get(f"/integrations/{quiz}").json() == answer.json()


def test_a_new_name_keeps_the_address(shared, quiz):
    """The id is fixed at creation: Jebbit goes on posting to it."""
    changed = shared.client.patch(f"/integrations/{quiz}", json={"name": "Another name"}).json()
    assert (changed["id"], changed["name"]) == (quiz, "Another name")


@pytest.mark.parametrize(
    "path", ["name", "cordial.api_key", "policy.collect", "jebbit.webhook_secrets"]
)
def test_what_is_required_cannot_be_nulled(shared, quiz, path):
    """A null would put a default back that there is not."""
    patch: Any = None
    for each in reversed(path.split(".")):
        patch = {each: patch}
    [told] = problem(shared.client.patch(f"/integrations/{quiz}", json=patch), 422)["errors"]
    assert told["place"] == path


@pytest.mark.parametrize(
    "patch", [{"state": "active"}, {"id": "x"}, {"webhook_url": "x"}, {"gate": {}}]
)
def test_what_has_its_own_route_is_not_patched(shared, quiz, patch):
    """Pausing is a route of its own; the id stays; neither is silently passed over."""
    [told] = problem(shared.client.patch(f"/integrations/{quiz}", json=patch), 422)["errors"]
    assert told["place"] == next(iter(patch))
