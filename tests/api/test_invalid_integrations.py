"""What cannot be meant is no integration: it is refused, naming each place."""

import json
from typing import Any

import pytest

from tests.api.conftest import body, problem, without

REQUIRED = [
    "name",
    "cordial",
    "cordial.account_url",
    "cordial.api_key",
    "policy",
    "policy.collect",
    "policy.opt_in",
    "policy.auto_subscribe",
]
HALF = "Wrong \ud83d"
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


CUT: list[tuple[dict[str, Any], str]] = [
    ({"name": HALF}, "name"),
    ({"cordial": {"email_channel": HALF}}, "cordial.email_channel"),
    ({"cordial": {"sms": {"program": HALF}}}, "cordial.sms.program"),
    ({"policy": {"opt_in_field": HALF}}, "policy.opt_in_field"),
    (rules({"attribute": HALF, "field": "b"}), "mapping.1.attribute"),
    (rules({"attribute": "a", "field": HALF}), "mapping.1.field"),
    (rules({"attribute": "a", "field": "b", "separator": HALF}), "mapping.1.separator"),
]
CHANGING = [
    ("POST", "/integrations?force=true"),
    ("PATCH", "/integrations/{quiz}?force=true"),
    ("POST", "/integrations/{quiz}/drafts/preview"),
    ("POST", "/integrations/{quiz}/drafts/comparison"),
]


def sent(shared, quiz, method, path, overrides):
    """Send a change by one of the ways there are; httpx cannot write half of an emoji."""
    given = body(**{"name": "Cut", **overrides})
    if method == "PATCH":
        given = overrides
    elif "drafts" in path:
        given = {"patch": overrides} | ({"body": {}} if path.endswith("preview") else {})
    headers = {"content-type": "application/json"}
    content = json.dumps(given)
    return shared.client.request(method, path.format(quiz=quiz), content=content, headers=headers)


@pytest.mark.parametrize(("overrides", "place"), CUT, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize(("method", "path"), CHANGING)
def test_half_of_an_emoji_is_no_name(shared, quiz, method, path, overrides, place):
    """It has no UTF-8 form."""
    told = problem(sent(shared, quiz, method, path, overrides), 422)
    assert [each["place"].removeprefix("patch.") for each in told["errors"]] == [place]


@pytest.mark.parametrize(("method", "path"), CHANGING)
def test_half_of_an_emoji_is_read_as_in_a_webhook(shared, quiz, method, path):
    """In a label and the like; before, no answer could hold the integration any more."""
    overrides = {
        "jebbit": {
            "opt_in_labels": {"true": ["Yes", HALF], "false": [f"No {HALF}"]},
            "campaigns": {"include": [HALF], "exclude": [f"x{HALF}"]},
            "attributes": {"campaign_name": HALF},
            "trusted_url_params": [HALF],
        },
        "cordial": {"identify_by": [HALF]},
    }
    answer = sent(shared, quiz, method, path, overrides)
    assert answer.status_code in (200, 201)
    assert shared.client.get("/integrations").status_code == 200
    if "drafts" not in path:
        stored = shared.client.get(f"/integrations/{answer.json()['id']}").json()["jebbit"]
        assert stored["opt_in_labels"]["true"] == ["Yes", "Wrong ?"]
        given = {"patch": {}, "body": {"email": "a@example.com", "opt_in": HALF}}
        made = shared.client.post(
            f"/integrations/{answer.json()['id']}/drafts/preview",
            content=json.dumps(given),
            headers={"content-type": "application/json"},
        )
        assert made.json()["submissions"][0]["opt_in"]["answer"] == "yes"


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


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/octet-stream"]
)
def test_a_body_that_is_not_sent_as_json_is_told_the_header(shared, quiz, kind):
    """As `curl -d` sends it."""
    headers = {} if kind is None else {"content-type": kind}
    answer = shared.client.patch(f"/integrations/{quiz}", content=b'{"name":"a"}', headers=headers)
    told = problem(answer, 422)
    assert "add the header Content-Type: application/json" in told["detail"]
    assert [each["place"] for each in told["errors"]] == ["body"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"name": "\xe9"}', "not UTF-8"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (b'{"name": ' + b"9" * 5000 + b"}", "too many digits"),
    ],
    ids=["latin", "deep", "long"],
)
def test_a_body_that_cannot_be_read_is_told_why(shared, quiz, content, why):
    """Whoever sent it can mend it."""
    headers = {"content-type": "application/json"}
    answer = shared.client.patch(f"/integrations/{quiz}", content=content, headers=headers)
    assert why in problem(answer, 400)["detail"]


def test_broken_json_is_told_with_its_place(shared):
    """Whoever wrote it by hand finds the comma."""
    headers = {"content-type": "application/json"}
    answer = shared.client.post("/integrations", content=b'{"name": "a",}', headers=headers)
    [told] = problem(answer, 422)["errors"]
    assert told["place"] == "body"
    assert told["detail"].startswith("not JSON, at character 1")
