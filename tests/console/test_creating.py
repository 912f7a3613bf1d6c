"""A new integration from the console, to the first delivered contact."""

import pytest

from tests.console.stage import staged
from tests.console.test_pages import text_of
from tests.console.test_rules import form_on

SECRET = "a-secret-of-jebbit-for-tests-0815"
ANSWERS = {"region": "us", "collect": "both", "opt_in": "opted_in_only", "auto_subscribe": "yes"}


@pytest.fixture
def fresh(tmp_path):
    """A service with nothing in its ledger, and an admin at its console."""
    with staged(tmp_path) as stage, stage.visit() as admin:
        yield stage, admin


def test_from_nothing_to_the_first_delivered_contact(fresh):
    """Create, check, secret, sample, rules, live: each page leads to the next."""
    stage, admin = fresh
    assert 'href="/console/integrations/new"' in admin.get("/console").text
    typed = {"name": "Spring quiz", "account_url": stage.account_url, "api_key": "sandbox-key"}
    made = admin.post("/console/integrations/new", data={**typed, **ANSWERS})
    assert made.status_code == 303
    page = text_of(admin.get(made.headers["location"]).text)
    assert "It was created, and is paused." in page
    assert "What comes next" in page
    assert "None: every webhook is answered 401." in page
    here = "/console/integrations/spring-quiz"
    assert admin.post(f"{here}/check").status_code == 200
    assert admin.post(f"{here}/secrets", data={"secret": SECRET}).status_code == 303
    ann = {"email": "ann@example.com", "opt_in": "yes", "country_code": "US", "outcome": "Bold"}
    stage.post({**ann, "outcome": "Calm"}, secret=SECRET, headers={"x-jebbit-test": "true"})
    assert "outcome" in admin.get(f"{here}/rules").text
    (one,) = stage.post(ann, secret=SECRET)
    sent = form_on(admin.get(f"{here}/rules").text)
    sent |= {"mapping.1.attribute": "outcome", "mapping.1.field": "quiz_outcome", "do": "save"}
    saved = admin.post(f"{here}/rules", data=sent)
    assert saved.status_code == 303, text_of(saved.text)
    assert admin.post(f"{here}/resume").status_code == 303
    assert stage.settled(one)["status"] == "delivered"
    contact = stage.sandbox.contacts.find("email", "ann@example.com")
    assert contact.attributes["quiz_outcome"] == "Bold"


def test_what_is_wrong_or_missing_is_told_and_the_rest_stays(fresh):
    """By its place; nothing is created, and no secret is written back."""
    stage, admin = fresh
    typed = {"name": "Quiz", "account_url": stage.account_url, "api_key": "sandbox-key-0815"}
    for changes, said in (
        ({"name": "!!!"}, "needs at least one letter"),
        ({"account_url": "https://example.com"}, "Cordial account"),
        ({"api_key": ""}, "Cordial key"),
        ({"secret": "short"}, "needs at least 16 characters"),
        ({"opt_in": ""}, "Whom does it send to Cordial? Choose one."),
        ({"collect": "all"}, "collect"),
    ):
        refused = admin.post("/console/integrations/new", data={**typed, **ANSWERS, **changes})
        assert refused.status_code == 422, changes
        assert said in text_of(refused.text), changes
        assert "sandbox-key-0815" not in refused.text
        if "account_url" not in changes:
            assert f'value="{stage.account_url}"' in refused.text
    assert admin.post("/console/integrations/new").status_code == 422
    assert stage.ops.get("/integrations").json() == []
    assert admin.post("/console/integrations/new", data={**typed, **ANSWERS}).is_redirect
    again = admin.post("/console/integrations/new", data={**typed, **ANSWERS})
    assert again.status_code == 409
    assert "An integration has the id quiz already." in text_of(again.text)


def test_nothing_is_preselected(fresh):
    """Whom to send and subscribe is the customer's choice."""
    _, admin = fresh
    page = admin.get("/console/integrations/new").text
    assert page.count('type="radio"') == 10
    assert "checked" not in page


def test_only_an_admin_creates(viewer):
    """Nor is a viewer offered it."""
    assert viewer.get("/console/integrations/new").status_code == 403
    assert viewer.post("/console/integrations/new").status_code == 403
    assert "/integrations/new" not in viewer.get("/console/integrations").text
