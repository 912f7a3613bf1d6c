"""Integrations are made, shown, changed and removed by the API; their secrets never come back."""

import json
from typing import Any

import httpx
import pytest

from app.api.integrations import EXAMPLE
from app.jebbit.signature import HEADER
from tests.conftest import API_KEY, WEBHOOK_SECRET, integration_body

ACCOUNT_URL = "https://admin.cordial.io"
ANN = {"email": "ann@example.com", "opt_in": "true", "outcome": "Bold"}


def body(**overrides: Any) -> dict[str, Any]:
    return integration_body(ACCOUNT_URL, **overrides)


def without(document: dict[str, Any], path: str) -> dict[str, Any]:
    """Return a copy of a document without the member at a dotted path."""
    copied = json.loads(json.dumps(document))
    *parents, last = path.split(".")
    inner = copied
    for each in parents:
        inner = inner[each]
    del inner[last]
    return dict(copied)


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (told["status"], told["type"]) == (status, "about:blank")
    return dict(told)


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
        "eu": None,
    }


def test_an_integration_is_created_paused_unless_said_otherwise(shared):
    """Nobody is sent anything before somebody looked; `state` can say that somebody did."""
    paused = shared.client.post("/integrations", json=without(body(name="By default"), "state"))
    assert (paused.status_code, paused.json()["state"]) == (201, "paused")
    assert paused.json()["state_reason"].startswith("Created paused")
    active = shared.client.post("/integrations", json=body(name="Active"))
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
    unset = {"attribute": None, "type": "string", "separator": None, "default": None}
    assert shown["mapping"] == [{**unset, **rule} for rule in FULL["mapping"]]
    assert shared.client.get("/integrations/ete-full-complete").json() == shown
    assert shown in shared.client.get("/integrations").json()


def test_the_mapping_may_be_left_out(shared):
    """Then the email address is all that is sent."""
    given = without(body(name="Email alone"), "mapping")
    [rule] = shared.client.post("/integrations", json=given).json()["mapping"]
    assert (rule["attribute"], rule["field"]) == ("email", "channels.email.address")


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


# --- Refusals -----------------------------------------------------------------------------------

REQUIRED = [
    "name",
    "cordial",
    "cordial.account_url",
    "cordial.api_key",
    "jebbit",
    "jebbit.webhook_secrets",
    "policy",
    "policy.collect",
    "policy.opt_in",
    "policy.auto_subscribe",
]
EMAIL_RULE = {"attribute": "email", "field": "channels.email.address"}


def rules(*more: dict[str, Any]) -> dict[str, Any]:
    return {"mapping": [EMAIL_RULE, *more]}


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    # unknown keys, at every level
    ({"colour": "red"}, "colour", "Extra inputs are not permitted"),
    ({"cordial": {"apikey": "x"}}, "cordial.apikey", "Extra inputs"),
    ({"cordial": {"sms": {"x": 1}}}, "cordial.sms.x", "Extra inputs"),
    ({"jebbit": {"x": 1}}, "jebbit.x", "Extra inputs"),
    ({"jebbit": {"attributes": {"email": "x"}}}, "jebbit.attributes.email", "Extra inputs"),
    ({"jebbit": {"campaigns": {"only": []}}}, "jebbit.campaigns.only", "Extra inputs"),
    ({"policy": {"x": 1}}, "policy.x", "Extra inputs"),
    ({"policy": {"eu": {"collect": "eu"}}}, "policy.eu.collect", "Extra inputs"),
    (rules({"attribute": "a", "field": "b", "kind": "x"}), "mapping.1.kind", "Extra inputs"),
    # reserved fields
    *(
        (rules({"attribute": "a", "field": field}), "mapping.1", f"{field} is reserved by Cordial")
        for field in (
            *("channels", "suppressTriggers", "forceSubscribe", "identifyBy", "cID", "attributes"),
            "channels.email.subscribeStatus",
        )
    ),
    ({"policy": {"opt_in_field": "cID"}}, "policy.opt_in_field", "cID is reserved"),
    # the mapping
    (
        rules({"attribute": "a", "field": "b"}, {"attribute": "c", "field": "b"}),
        "mapping",
        "two rules for one field: b",
    ),
    (rules(EMAIL_RULE), "mapping", "two rules for one field: channels.email.address"),
    (rules({"field": "b"}), "mapping.1", "needs an attribute, a default, or both"),
    (rules({"attribute": "a", "field": "b.c"}), "mapping.1", "has a dot"),
    (
        rules({"attribute": "a", "field": "b", "type": "geo"}),
        "mapping.1",
        "names none of the parts",
    ),
    (rules({"attribute": "a", "field": "b", "type": "bool"}), "mapping.1.type", "Input should be"),
    (
        rules({"attribute": "a", "field": "b", "type": "number", "default": "x"}),
        "mapping.1",
        "the default of b is no number",
    ),
    ({"mapping": []}, "mapping", "at least 1 item"),
    ({"mapping": [{"attribute": "a", "field": "b"}]}, "body", "the mapping names no address"),
    (rules({"attribute": "p", "field": "channels.fax.address"}), "body", "no such channel: fax"),
    (
        {"mapping": [{**EMAIL_RULE, "default": "a@example.com"}]},
        "mapping.0",
        "is a person's address",
    ),
    # the policy
    ({"policy": {"opt_in": "everyone"}}, "policy", 'opt_in "everyone" needs opt_in_field'),
    ({"policy": {"eu": {"opt_in": "everyone"}}}, "policy", 'opt_in "everyone" needs opt_in_field'),
    ({"policy": {"opt_in": "all"}}, "policy.opt_in", "Input should be 'opted_in_only'"),
    ({"policy": {"collect": "us"}}, "policy.collect", "Input should be 'both'"),
    ({"policy": {"auto_subscribe": "yes"}}, "policy.auto_subscribe", "valid boolean"),
    ({"policy": {"auto_subscribe": None}}, "policy.auto_subscribe", "valid boolean"),
    (
        {"policy": {"opt_in_field": "quiz_outcome"}},
        "body",
        "and the mapping both fill quiz_outcome",
    ),
    # values
    ({"name": ""}, "name", "at least 1 character"),
    ({"name": "x" * 101}, "name", "at most 100 characters"),
    ({"name": "漢字"}, "body", "name needs at least one letter"),
    ({"state": "blocked"}, "state", "Input should be 'active' or 'paused'"),
    ({"cordial": {"api_key": ""}}, "cordial.api_key", "plain ASCII, not empty"),
    ({"cordial": {"api_key": " padded "}}, "cordial.api_key", "without spaces"),
    ({"cordial": {"requests_per_second": 0}}, "cordial.requests_per_second", "greater than 0"),
    ({"cordial": {"on_rejected_field": "keep"}}, "cordial.on_rejected_field", "'drop' or 'dead'"),
    ({"jebbit": {"webhook_secrets": []}}, "jebbit.webhook_secrets", "at least 1 item"),
    ({"jebbit": {"webhook_secrets": [""]}}, "jebbit.webhook_secrets.0", "plain ASCII, not empty"),
    ({"jebbit": {"webhook_secrets": "one"}}, "jebbit.webhook_secrets", "valid list"),
    ({"jebbit": {"region": "uk"}}, "jebbit.region", "'us' or 'eu'"),
    ({"jebbit": {"default_phone_country": "usa"}}, "jebbit.default_phone_country", "ISO 3166"),
    (
        {"jebbit": {"opt_in_labels": {"true": ["Yes"], "false": [" yes "]}}},
        "jebbit.opt_in_labels",
        "cannot mean both",
    ),
    # the account
    (
        {"cordial": {"account_url": "https://example.com"}},
        "cordial.account_url",
        "is no Cordial account",
    ),
    (
        {"cordial": {"account_url": "http://admin.cordial.io"}},
        "cordial.account_url",
        "is no Cordial account",
    ),
    (
        {"cordial": {"account_url": "https://u:p@admin.cordial.io"}},
        "cordial.account_url",
        "Leave out user",
    ),
]


@pytest.mark.parametrize("path", REQUIRED)
def test_what_only_the_customer_can_decide_is_required(shared, path):
    """There is no lawful default for whom to send and subscribe."""
    told = problem(shared.client.post("/integrations", json=without(body(), path)), 422)
    assert told["errors"] == [{"place": path, "detail": "Field required"}]
    assert told["detail"] == f"{path}: Field required"


@pytest.mark.parametrize(("overrides", "place", "detail"), REFUSED)
def test_what_cannot_be_meant_is_refused_naming_the_place(shared, overrides, place, detail):
    """422 with each place and what is wrong there; nothing is created."""
    told = problem(
        shared.client.post("/integrations", json=body(**{"name": "Wrong", **overrides})), 422
    )
    assert [each["place"] for each in told["errors"]] == [place]
    assert detail in told["errors"][0]["detail"]
    assert told["errors"][0]["detail"] in told["detail"]
    assert shared.client.get("/integrations/wrong").status_code == 404


PATCHED = [
    each
    for each in REFUSED
    if "state" not in each[0] and each[0].get("policy") != {"auto_subscribe": None}
]


@pytest.mark.parametrize(("overrides", "place", "detail"), PATCHED)
def test_a_change_is_held_to_the_same_rules(shared, quiz, overrides, place, detail):
    """What cannot be created cannot be patched in; nothing is changed."""
    before = shared.client.get(f"/integrations/{quiz}").json()
    told = problem(shared.client.patch(f"/integrations/{quiz}", json=overrides), 422)
    assert [each["place"] for each in told["errors"]] == [place]
    assert detail in told["detail"]
    assert shared.client.get(f"/integrations/{quiz}").json() == before


def test_every_wrong_place_is_named_at_once(shared):
    """Nobody has to mend one mistake to hear of the next."""
    wrong = body(policy={"collect": "us", "opt_in": 5}, cordial={"api_key": 5}, x=1)
    told = problem(shared.client.post("/integrations", json=wrong), 422)
    places = {each["place"] for each in told["errors"]}
    assert places == {"policy.collect", "policy.opt_in", "cordial.api_key", "x"}


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"{", b"\xff", b'"text"', b'{"name": "\\ud800"}'], ids=str
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_body_that_is_no_object_is_refused(shared, quiz, method, content):
    """A problem document, not a crash; FastAPI says 400 where it is not even text."""
    path = "/integrations" if method == "POST" else f"/integrations/{quiz}"
    headers = {"content-type": "application/json"}
    answer = shared.client.request(method, path, content=content, headers=headers)
    problem(answer, 400 if content == b"\xff" else 422)


def test_broken_json_is_told_with_its_place(shared):
    """Whoever wrote it by hand finds the comma."""
    headers = {"content-type": "application/json"}
    answer = shared.client.post("/integrations", content=b'{"name": "a",}', headers=headers)
    [told] = problem(answer, 422)["errors"]
    assert told["place"] == "body"
    assert told["detail"].startswith("not JSON, at character 1")


# --- Secrets ------------------------------------------------------------------------------------


def test_no_answer_shows_a_secret(shared, create):
    """Neither the answers to reading and changing, nor a preview, nor any refusal."""
    key, one, two = "cordial-key-MARKER", "webhook-one-MARKER", "webhook-two-MARKER"
    quiz = create(cordial={"api_key": key}, jebbit={"webhook_secrets": [one]})
    path, client = f"/integrations/{quiz}", shared.client
    wrong_key = {"cordial": {"api_key": f" {key}"}, "jebbit": {"webhook_secrets": [two, ""]}}
    answers = [
        client.get(path),
        client.get("/integrations"),
        client.patch(path, json={"cordial": {"api_key": f"{key}2"}}),
        client.patch(path, json=wrong_key),
        client.post("/integrations", json=body(**wrong_key)),
        client.post("/integrations", json=body(cordial={"api_key": [key]})),
        client.post("/integrations", json=body(jebbit={"webhook_secrets": {"x": two}})),
        client.post(f"{path}/webhook-secrets", json={"secret": two}),
        client.post(f"{path}/webhook-secrets", json={"secret": f"{two} "}),
        client.post(f"{path}/webhook-secrets", json={"secret": [two]}),
        client.post(f"{path}/webhook-secrets", content=f'{{"secret": "{two}'.encode()),
        client.post(f"{path}/preview", json=ANN),
        client.post(f"{path}/pause"),
        client.post(f"{path}/resume"),
        client.delete(f"{path}/webhook-secrets/RKER"),
    ]
    assert [each.text for each in answers if "MARKER" in each.text] == []


@pytest.mark.parametrize(
    ("secret", "shown"), [("12345678", "****5678"), ("1234567", "****"), ("x", "****")]
)
def test_a_short_secret_is_not_given_away_by_its_end(create, shared, secret, shown):
    """Four of seven characters would be most of it."""
    quiz = create(cordial={"api_key": secret}, jebbit={"webhook_secrets": [secret]})
    integration = shared.client.get(f"/integrations/{quiz}").json()
    assert integration["cordial"]["api_key"] == shown
    assert integration["jebbit"]["webhook_secrets"] == [shown]


def test_what_is_shown_can_be_sent_back(shared, create, clock):
    """GET, edit, PATCH: the masked secrets stand for the real ones, which go on holding."""
    quiz = create(jebbit={"webhook_secrets": [WEBHOOK_SECRET, "the-second-secret"]})
    shown = shared.client.get(f"/integrations/{quiz}").json()
    edited = {name: shown[name] for name in ("name", "cordial", "jebbit", "mapping", "policy")}
    edited["policy"]["opt_in"] = "opted_in_only"
    changed = shared.client.patch(f"/integrations/{quiz}", json=edited)
    assert changed.status_code == 200, changed.text
    assert changed.json()["jebbit"] == shown["jebbit"]
    assert shared.post(ANN, quiz).status_code == 202
    assert shared.post(ANN, quiz, secret="the-second-secret").status_code == 202
    assert shared.post(ANN, quiz, secret=shown["jebbit"]["webhook_secrets"][0]).status_code == 401


def test_a_mask_of_no_known_secret_is_refused(shared, quiz):
    """`****` and four other characters was copied from elsewhere: as a key it would only fail."""
    masked = {"cordial": {"api_key": "****9999"}}
    problem(shared.client.patch(f"/integrations/{quiz}", json=masked), 422)


def test_webhook_secrets_are_added_and_removed_by_their_end(shared, quiz):
    """The last one stays, an unknown end is told, one that several share is not guessed."""
    path = f"/integrations/{quiz}/webhook-secrets"
    only = problem(shared.client.delete(f"{path}/{WEBHOOK_SECRET[-4:]}"), 409)["detail"]
    assert only == "This is the last webhook secret; add the new one first."
    for secret in ("second-secret-abcd", "second-secret-abcd", "third-secret-abcd"):
        added = shared.client.post(path, json={"secret": secret})
        assert added.status_code == 200
    assert added.json()["jebbit"]["webhook_secrets"] == ["****cdef", "****abcd", "****abcd"]
    several = problem(shared.client.delete(f"{path}/abcd"), 409)["detail"]
    assert several == "Several webhook secrets end in 'abcd'."
    unknown = problem(shared.client.delete(f"{path}/zzzz"), 404)["detail"]
    assert unknown == "No webhook secret ends in 'zzzz'."
    left = shared.client.delete(f"{path}/cdef")
    assert left.json()["jebbit"]["webhook_secrets"] == ["****abcd", "****abcd"]


def test_two_secrets_that_are_shown_alike_are_not_confused(shared, create):
    """Sent back as shown, both go on holding (or the change is refused): none is lost unseen."""
    quiz = create(jebbit={"webhook_secrets": ["first-secret-abcd", "second-secret-abcd"]})
    secrets = {"webhook_secrets": ["****abcd", "****abcd"]}
    shared.client.patch(f"/integrations/{quiz}", json={"jebbit": secrets})
    answers = [shared.post({}, quiz, secret=f"{each}-secret-abcd") for each in ("first", "second")]
    assert [each.status_code for each in answers] == [202, 202]


def test_all_webhook_secrets_can_be_replaced_at_once(shared, create):
    """By PATCH, which replaces lists whole: also where two share an end."""
    quiz = create(jebbit={"webhook_secrets": ["first-secret-abcd", "second-secret-abcd"]})
    secrets = {"webhook_secrets": ["first-secret-abcd"]}
    shared.client.patch(f"/integrations/{quiz}", json={"jebbit": secrets})
    answers = [shared.post({}, quiz, secret=f"{each}-secret-abcd") for each in ("first", "second")]
    assert [each.status_code for each in answers] == [202, 401]


@pytest.mark.parametrize(
    ("given", "place", "detail"),
    [
        ({}, "secret", "Field required"),
        ({"secret": ""}, "secret", "plain ASCII, not empty"),
        ({"secret": "é"}, "secret", "plain ASCII"),
        ({"secret": "good-secret", "x": 1}, "x", "Extra inputs"),
    ],
)
def test_a_bad_webhook_secret_is_refused(shared, quiz, given, place, detail):
    """422 names the place."""
    told = problem(shared.client.post(f"/integrations/{quiz}/webhook-secrets", json=given), 422)
    assert told["errors"][0]["place"] == place
    assert detail in told["errors"][0]["detail"]


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


# --- Pause, resume, delete ----------------------------------------------------------------------


def test_pausing_and_resuming_are_told(shared, quiz, sandbox_server):
    """With a reason while paused; both can be said twice."""
    for _ in range(2):
        paused = shared.client.post(f"/integrations/{quiz}/pause").json()
        assert (paused["state"], paused["state_reason"]) == ("paused", "Paused by a person.")
    for _ in range(2):
        resumed = shared.client.post(f"/integrations/{quiz}/resume").json()
        assert (resumed["state"], resumed["state_reason"]) == ("active", None)


def test_what_came_while_paused_is_sent_on_resuming(service, sandbox_server):
    """Webhooks are accepted all the same; sending waits."""
    running = service()
    running.create_integration(state="paused")
    [waiting] = running.post(ANN).json()["submissions"]
    other = running.create_integration(name="Other")["id"]
    [sent] = running.post({**ANN, "email": "ben@example.com"}, other).json()["submissions"]
    assert running.wait(sent)["status"] == "delivered"
    assert running.submission(waiting)["status"] == "pending"
    assert running.client.post("/integrations/spring-quiz/resume").json()["state"] == "active"
    assert running.wait(waiting)["status"] == "delivered"


def test_an_integration_with_pending_submissions_is_not_deleted_by_chance(shared, quiz):
    """409 says how many; with force they become dead and are kept."""
    ids = shared.post([ANN, {**ANN, "email": "b@example.com"}], quiz).json()["submissions"]
    detail = problem(shared.client.delete(f"/integrations/{quiz}"), 409)["detail"]
    assert detail.startswith("2 submissions are pending.")
    assert "?force=true" in detail
    assert shared.client.delete(f"/integrations/{quiz}?force=true").status_code == 204
    assert shared.client.get(f"/integrations/{quiz}").status_code == 404
    kept = [shared.submission(each) for each in ids]
    assert {(each["status"], each["reason"]) for each in kept} == {("dead", "integration_deleted")}
    assert {each["plan"] is None and each["payload"] is not None for each in kept} == {True}


def test_a_deleted_name_can_be_used_again(shared, quiz, create):
    """Nothing of the old one stands in the way."""
    shown = shared.client.get(f"/integrations/{quiz}").json()
    answer = shared.client.delete(f"/integrations/{quiz}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert create(name=shown["name"]) == quiz


# --- Preview ------------------------------------------------------------------------------------


def test_a_preview_shows_the_exact_request_and_does_nothing(service, sandbox_server):
    """Every envelope, per submission; the body is the one that delivery then sends."""
    running = service()
    running.create_integration()
    path = "/integrations/spring-quiz/preview"
    shown = running.client.post(
        path, json=[{"data": ANN, "event": {"event_number": 0}}, 5, {}, {"n": 1}]
    )
    assert shown.status_code == 200
    [upsert, unreadable, skip] = shown.json()["submissions"]
    assert unreadable is None
    assert (skip["decision"], skip["reason"], skip["request"]) == ("skip", "no_identity", None)
    assert upsert["decision"] == "upsert"
    assert upsert["request"]["method"] == "POST"
    assert upsert["request"]["url"] == f"{sandbox_server.url}/v2/contacts"
    assert upsert["request"]["headers"]["Authorization"] == f"Basic ****{API_KEY[-4:]}:"
    assert upsert["opt_in"] == {
        "answer": "yes",
        "attribute": "opt_in",
        "value": "true",
        "trusted": True,
    }
    assert (running.client.get("/submissions").json()["submissions"], sandbox_server.bodies()) == (
        [],
        [],
    )
    [sent] = running.post(ANN).json()["submissions"]
    assert running.wait(sent)["status"] == "delivered"
    assert sandbox_server.bodies() == [upsert["request"]["body"]]


def test_a_preview_follows_the_integration_as_it_is_now(shared, quiz):
    """Change a rule, look again."""
    path = f"/integrations/{quiz}"
    declined = {**ANN, "opt_in": "false"}
    before = shared.client.post(f"{path}/preview", json=declined).json()["submissions"][0]
    assert (before["decision"], before["reason"]) == ("skip", "opted_out")
    policy = {"opt_in": "everyone", "opt_in_field": "opt_in_status"}
    shared.client.patch(path, json={"policy": policy})
    after = shared.client.post(f"{path}/preview", json=declined).json()["submissions"][0]
    assert after["request"]["body"]["opt_in_status"] == "no"
    assert "subscribeStatus" not in after["request"]["body"]["channels"]["email"]


def test_a_preview_tells_what_it_could_not_find_out(service, sandbox_server):
    """Unmapped attributes depend on Cordial: the plan is shown without them, with a note."""
    running = service(run_worker=False)
    running.create_integration(unmapped="known")
    path = "/integrations/spring-quiz/preview"
    told = {**ANN, "first_name": "Ann"}
    known = running.client.post(path, json=told).json()["submissions"][0]
    assert (known["request"]["body"]["first_name"], known["note"]) == ("Ann", None)
    wrong_key = {"cordial": {"api_key": "wrong-key-0000"}}
    assert running.client.patch("/integrations/spring-quiz", json=wrong_key).status_code == 200
    without_them = running.client.post(path, json=told).json()["submissions"][0]
    assert "first_name" not in without_them["request"]["body"]
    assert without_them["note"].startswith(
        "Unmapped attributes are not shown: Cordial answered 401"
    )


@pytest.mark.parametrize("content", [b"{", b"5", b"", b"null", b"\xff"])
def test_a_preview_of_what_cannot_be_read_is_refused(shared, quiz, content):
    """A problem document, whatever bytes were pasted."""
    headers = {"content-type": "application/json"}
    answer = shared.client.post(f"/integrations/{quiz}/preview", content=content, headers=headers)
    assert answer.status_code in (400, 422)
    problem(answer, answer.status_code)


# --- Access and addresses -----------------------------------------------------------------------

OPEN = {"/healthz", "/readyz", "/webhooks/jebbit/{integration_id}"}


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer wrong", "Basic b3BzOg==", "ops-token-of-the-tests",
     "Bearer ops-token-of-the-test", "Bearer ops-token-of-the-testss", b"Bearer \xff"],
)  # fmt: skip
def test_every_route_but_the_open_ones_wants_the_token(shared, quiz, authorization):
    """401 with the way to give it, before anything of the request is looked at."""
    headers = {} if authorization is None else {"Authorization": authorization}
    closed = 0
    for path, operations in shared.client.get("/openapi.json").json()["paths"].items():
        for method in operations:
            if path in OPEN:
                continue
            address = path.replace("{integration_id}", quiz)
            answer = shared.anyone.request(method, address, headers=headers, content=b"{")
            told = problem(answer, 401)
            assert told["detail"] == "Send Authorization: Bearer with the value of OPS_TOKEN."
            assert answer.headers["www-authenticate"] == "Bearer"
            closed += 1
    assert closed >= 13


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/openapi.json"])
def test_probes_and_docs_need_no_token(shared, path):
    """They tell nothing of anybody."""
    assert shared.anyone.get(path).status_code == 200


def test_the_scheme_is_read_in_any_case(shared):
    """RFC 9110: bearer, Bearer and BEARER are one scheme."""
    for scheme in ("bearer", "BEARER"):
        headers = {"authorization": f"{scheme} {shared.token}"}
        assert shared.anyone.get("/integrations", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/preview"),
        ("POST", "/webhook-secrets"),
        ("DELETE", "/webhook-secrets/abcd"),
    ],
)
@pytest.mark.parametrize("name", ["nobody", "%00", "é", "x" * 300])
def test_an_unknown_integration_is_told(shared, method, path, name):
    """404 says where the known ones are listed."""
    given = {"json": {"secret": "a-good-secret"}} if method != "DELETE" else {}
    answer = shared.client.request(method, f"/integrations/{name}{path}", **given)
    assert "GET /integrations lists them" in problem(answer, 404)["detail"]


@pytest.mark.parametrize("public_url", ["https://hooks.example.com", "https://hooks.example.com/"])
def test_the_webhook_address_is_the_public_one(service, public_url):
    """Behind a proxy the service does not know its own name: PUBLIC_URL says it."""
    running = service(public_url=public_url, run_worker=False)
    assert running.create_integration()["webhook_url"] == (
        "https://hooks.example.com/webhooks/jebbit/spring-quiz"
    )


def test_the_webhook_address_is_the_one_to_post_to(shared, quiz):
    """It is taken as it is shown."""
    address = shared.client.get(f"/integrations/{quiz}").json()["webhook_url"]
    assert shared.anyone.post(address, json={}, headers={HEADER: "x"}).status_code == 401
