"""The editor of rules: what stands in it, what it shows, and what it saves."""

import re
from html import unescape
from itertools import count

import pytest

from app.console.rules import RulesForm
from app.ledger.documents import document_of
from app.rules.integration import Integration, merge_patch
from tests.conftest import integration_body
from tests.console.test_pages import text_of

_numbers = count(1)
RICH = {
    "cordial": {"sms": {"program": "main"}},
    "jebbit": {
        "attributes": {"opt_in": "box", "sms_opt_in": "sms", "session": None},
        "opt_in_labels": {"true": ["Count me in", "Ja, gern"], "false": ["No, thanks"]},
        "campaigns": {"include": ["spring", "2026"], "exclude": ["internal"]},
    },
    "mapping": [
        {"attribute": "email", "field": "channels.email.address"},
        {"attribute": "phone", "field": "channels.sms.address"},
        {"attribute": "colors", "field": "colors", "type": "array", "separator": " "},
        {"attribute": "age", "field": "age", "type": "number", "default": 18},
        {"attribute": "when", "field": "quiz_date", "type": "date"},
        {"attribute": "news", "field": "weekly_deals", "type": "list", "lists_need": "yes"},
        {"attribute": "club", "field": "club", "type": "list", "lists_need": None},
        {"field": "signup_source", "default": "jebbit"},
        {"field": "digits", "default": "0123"},
    ],
    "policy": {
        "collect": "eu",
        "opt_in": "everyone",
        "auto_subscribe": False,
        "opt_in_field": "opt_in_status",
        "resubscribe": "explicit_opt_in",
        "on_opt_out": "unsubscribe",
        "eu": {"opt_in": "opted_in_only", "null_is_consent": True},
    },
}


def integration(**overrides):
    body = integration_body("https://admin.cordial.io", **overrides)
    del body["state"]
    return Integration.model_validate(body)


@pytest.mark.parametrize("overrides", [{}, RICH], ids=["plain", "rich"])
def test_what_is_not_touched_is_not_changed(overrides):
    """The form of any integration says that very integration."""
    stored = integration(**overrides)
    patch = RulesForm.of(stored, 1).patch()
    assert Integration.model_validate(merge_patch(document_of(stored), patch)) == stored


@pytest.fixture
def quiz(stage):
    """An integration for those who said yes alone, and what came in for it."""
    made = stage.create(f"Ruled {next(_numbers)}", policy={"opt_in": "opted_in_only"})
    bodies = [
        {"email": f"{name}@example.com", "country_code": country, **said}
        for name, country, said in (
            ("a", "US", {"opt_in": "true"}),
            ("b", "US", {}),
            ("c", "US", {}),
            ("d", "DE", {}),
            ("e", "US", {"opt_in": "no"}),
        )
    ]
    for each in stage.post(bodies, made):
        stage.settled(each)
    yield made
    stage.ops.delete(f"/integrations/{made}?force=true")


def form_on(page: str) -> dict[str, str]:
    """Return what a browser would send of the editor's form, as it stands."""
    (form,) = re.findall(r'(?s)<form method="post"[^>]*class="rules">(.*?)</form>', page)
    sent = dict(re.findall(r'<input [^>]*?name="([^"]+)" value="([^"]*)"', form))
    sent = {name: value for name, value in sent.items() if name not in ("confirmed", "force")}
    for name, options in re.findall(r'(?s)<select [^>]*?name="([^"]+)"[^>]*>(.*?)</select>', form):
        chosen = re.search(r'<option(?: value="([^"]*)")? selected>([^<]*)', options)
        assert chosen, name
        sent[name] = chosen[2] if chosen[1] is None else chosen[1]
    sent |= dict(re.findall(r'(?s)<textarea [^>]*?name="([^"]+)">(.*?)</textarea>', form))
    return {name: unescape(value) for name, value in sent.items()}


def test_rules_are_seen_on_what_came_in_and_saved_once_confirmed(stage, admin, quiz):
    """Who would be newly subscribed is said in words, and wants a confirmation of the number."""
    path = f"/console/integrations/{quiz}/rules"
    sent = form_on(admin.get(path).text) | {"opt_in": "opted_in_or_null", "do": "compare"}
    compared = admin.post(path, data=sent)
    said = text_of(compared.text)
    assert "2 people would be newly subscribed." in said
    assert "2 not sent: did not opt in sent, email subscribed" in said
    assert "1 not sent: did not opt in sent, email left as it is" in said
    assert "The newest submission, by these rules" in said

    def opt_in():
        return stage.ops.get(f"/integrations/{quiz}").json()["policy"]["opt_in"]

    for confirmed in ({}, {"confirmed": "1"}, {"confirmed": "yes"}):
        refused = admin.post(path, data={**sent, **confirmed, "do": "save"})
        assert refused.status_code == 409
        assert "Not saved" in refused.text
    assert opt_in() == "opted_in_only"
    saved = admin.post(path, data={**sent, "confirmed": "2", "do": "save"})
    assert saved.status_code == 303
    assert opt_in() == "opted_in_or_null"
    assert "The rules were saved." in admin.get(saved.headers["location"]).text

    again = admin.post(path, data={**sent, "do": "save"})  # by its version, somebody else's turn
    assert again.status_code == 412
    assert "Somebody else changed it meanwhile" in again.text
    assert "policy.opt_in opted_in_only opted_in_or_null" in text_of(again.text)
    unkept = admin.post(path, data={**sent, "version": "9" * 18, "do": "save"})
    assert unkept.status_code == 412


def test_what_is_compared_is_what_a_replay_then_does(stage, admin, quiz):
    """As many are sent as the comparison said."""
    path = f"/console/integrations/{quiz}/rules"
    sent = form_on(admin.get(path).text) | {"opt_in": "opted_in_or_null", "do": "save"}
    admin.post(path, data={**sent, "confirmed": "2"})
    skipped = stage.ops.get(f"/submissions?integration={quiz}&status=skipped").json()
    wanted = {"integration": quiz, "status": "skipped"}
    stage.ops.post("/submissions/replay?confirm=true", json=wanted)
    settled = [stage.settled(each["id"]) for each in skipped["submissions"]]
    assert [each["status"] for each in settled].count("delivered") == 3
    found = [stage.sandbox.contacts.find("email", f"{name}@example.com") for name in "bcd"]
    statuses = [each.channels["email"].status for each in found]
    assert statuses == ["subscribed", "subscribed", "none"]


def test_wrong_rules_are_told_and_what_was_typed_stays(stage, admin, quiz):
    """With their places; nothing is saved."""
    path = f"/console/integrations/{quiz}/rules"
    page = form_on(admin.get(path).text)
    wrong = {**page, "row1_field": "channels", "labels_true": "Maybe", "do": "save"}
    refused = admin.post(path, data=wrong)
    assert refused.status_code == 422
    assert "mapping.1" in refused.text
    assert 'value="channels"' in refused.text
    assert ">Maybe</textarea>" in refused.text
    for broken in ({}, {"rows": "99999999"}, {"rows": "x", "version": "y"}, {"collect": "all"}):
        assert admin.post(path, data={**broken, "do": "save"}).status_code == 422


def test_an_active_one_is_checked_before_it_is_saved(stage, admin, quiz):
    """A field that Cordial does not have is told, and saved only if the person insists."""
    path = f"/console/integrations/{quiz}/rules"
    sent = form_on(admin.get(path).text) | {"row1_field": "no_such_field", "do": "save"}
    refused = admin.post(path, data=sent)
    assert refused.status_code == 409
    assert "Save although the check finds errors." in refused.text
    assert admin.post(path, data={**sent, "force": "yes"}).status_code == 303
    assert stage.ops.get(f"/integrations/{quiz}").json()["mapping"][1]["field"] == "no_such_field"


def test_it_offers_what_there_is(admin):
    """The account's fields, and the keys that came in."""
    page = admin.get("/console/integrations/spring-quiz/rules").text
    assert '<option value="quiz_outcome">string</option>' in page
    assert '<option value="country_code"></option>' in page


def test_only_an_admin_edits(viewer):
    """Nor does a viewer see the editor, or a link to it."""
    path = "/console/integrations/spring-quiz/rules"
    assert viewer.get(path).status_code == 403
    assert viewer.post(path).status_code == 403
    assert "/rules" not in viewer.get("/console/integrations/spring-quiz").text
