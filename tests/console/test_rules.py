"""The editor of rules: what stands in it, what it shows, and what it saves."""

from html import unescape
from html.parser import HTMLParser
from itertools import count

import pytest

from app.console import rules
from app.sandbox.faults import Fault
from tests.console.test_pages import text_of
from tests.console.test_rules_form import RICH

_numbers = count(1)


def asked(stage) -> str:
    """Return an integration for those who said yes alone, with what came in for it."""
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
    return made


@pytest.fixture
def quiz(stage):
    """An integration to be changed."""
    made = asked(stage)
    yield made
    stage.ops.delete(f"/integrations/{made}?force=true")


@pytest.fixture(scope="module")
def still(stage):
    """An integration that is looked at alone."""
    made = asked(stage)
    yield made
    stage.ops.delete(f"/integrations/{made}?force=true")


class _Editor(HTMLParser):
    """Reads the editor's form as a browser does."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.sent: dict[str, str] = {}
        self._inside, self._select, self._area = False, "", ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        said = dict(attrs)
        self._inside = self._inside or "data-editor" in said
        if not self._inside:
            return
        if tag == "input" and said.get("type") != "checkbox":
            self.sent[said["name"]] = said.get("value") or ""
        elif tag == "select":
            self._select = said["name"]
        elif tag == "option" and self._select:
            if "selected" in said or self._select not in self.sent:
                self.sent[self._select] = said["value"] or ""
        elif tag == "textarea":
            self._area = said["name"]
            self.sent[self._area] = ""

    def handle_data(self, data):
        if self._area:
            self.sent[self._area] += data

    def handle_endtag(self, tag):
        self._inside = self._inside and tag != "form"
        self._select = "" if tag == "select" else self._select
        self._area = "" if tag == "textarea" else self._area


def form_on(page: str) -> dict[str, str]:
    """Return what a browser would send of the editor's form, as it stands."""
    return _Editor(page).sent


def live(client, path, **typed):
    """Return the regions that the page's own script asks for."""
    answer = client.post(path, data=typed, headers={"x-refresh": "1"})
    assert answer.status_code == 200
    assert "<html" not in answer.text
    return text_of(answer.text)


def test_a_page_that_is_sent_back_changes_nothing(stage, admin):
    """Whatever is configured; it is saved as it was."""
    quick = {**RICH["cordial"], "requests_per_second": 1000}
    made = stage.create(f"Ruled {next(_numbers)}", state="paused", **RICH | {"cordial": quick})
    path = f"/console/integrations/{made}/rules"
    before = stage.ops.get(f"/integrations/{made}").json()
    sent = form_on(admin.get(path).text)
    assert "Nothing is changed yet." in live(admin, path, **sent, do="preview")
    assert admin.post(path, data={**sent, "do": "save"}).status_code == 303
    after = stage.ops.get(f"/integrations/{made}").json()
    parts = ("cordial", "jebbit", "mapping", "policy", "unmapped")
    assert {each: after[each] for each in parts} == {each: before[each] for each in parts}


def test_rules_are_seen_on_what_came_in_and_saved_once_confirmed(stage, admin, quiz):
    """Who would be newly subscribed is said in words, and wants a confirmation of the number."""
    path = f"/console/integrations/{quiz}/rules"
    sent = form_on(admin.get(path).text) | {
        "policy.opt_in": "opted_in_or_null",
        "do": "compare",
    }
    compared = admin.post(path, data=sent)
    said = text_of(compared.text)
    assert "2 people would be newly subscribed." in said
    assert "2 not sent: did not opt in → now; sent, email subscribed" in said
    assert "1 not sent: did not opt in → now; sent, email left as it is" in said

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

    twice = admin.post(path, data={**sent, "confirmed": "2", "do": "save"})  # a second click
    assert twice.headers["location"] == saved.headers["location"]
    sent["policy.collect"] = "non_eu"
    again = admin.post(path, data={**sent, "do": "save"})  # by its version, somebody else's turn
    assert again.status_code == 412
    assert "Somebody else changed it meanwhile" in again.text
    assert "policy.opt_in opted_in_only opted_in_or_null" in text_of(again.text)
    unkept = admin.post(path, data={**sent, "version": "9" * 18, "do": "save"})
    assert unkept.status_code == 412


def test_what_is_compared_is_what_a_replay_then_does(stage, admin, quiz):
    """As many are sent as the comparison said."""
    path = f"/console/integrations/{quiz}/rules"
    sent = form_on(admin.get(path).text) | {
        "policy.opt_in": "opted_in_or_null",
        "do": "save",
    }
    admin.post(path, data={**sent, "confirmed": "2"})
    skipped = stage.ops.get(f"/submissions?integration={quiz}&status=skipped").json()
    wanted = {"integration": quiz, "status": "skipped"}
    stage.ops.post("/submissions/replay?confirm=true", json=wanted)
    settled = [stage.settled(each["id"]) for each in skipped["submissions"]]
    assert [each["status"] for each in settled].count("delivered") == 3
    found = [stage.sandbox.contacts.find("email", f"{name}@example.com") for name in "bcd"]
    statuses = [each.channels["email"].status for each in found]
    assert statuses == ["subscribed", "subscribed", "none"]


def test_wrong_rules_are_told_and_what_was_typed_stays(stage, admin, still):
    """With their places; nothing is saved."""
    path = f"/console/integrations/{still}/rules"
    page = form_on(admin.get(path).text)
    labels = {"jebbit.opt_in_labels.true": "Maybe"}
    wrong = {**page, "mapping.1.field": "channels", **labels, "do": "save"}
    refused = admin.post(path, data=wrong)
    assert refused.status_code == 422
    assert '<a href="#mapping.1.field">Rule 2</a> channels is reserved' in refused.text
    assert 'value="channels"' in refused.text
    assert ">Maybe</textarea>" in refused.text
    for broken in (
        {},
        {"rows": "99999999"},
        {"rows": "x", "version": "y"},
        {"policy.collect": "all"},
    ):
        assert admin.post(path, data={**broken, "do": "save"}).status_code == 422


def test_what_concerns_several_settings_leads_to_the_one_that_mends_it(admin, still):
    """A part as a whole is told with the last setting that is named."""
    path = f"/console/integrations/{still}/rules"
    page = form_on(admin.get(path).text) | {"policy.opt_in": "everyone", "do": "compare"}
    for field, said in (("", "needs opt_in_field"), ("quiz_outcome", "both fill quiz_outcome")):
        told = admin.post(path, data=page | {"policy.opt_in_field": field}).text
        assert '<a href="#policy.opt_in_field">policy.opt_in_field</a>' in told
        assert said in text_of(told)


def test_an_active_one_is_checked_before_it_is_saved(stage, admin, quiz):
    """A field that Cordial does not have is told, and saved only if the person insists."""
    path = f"/console/integrations/{quiz}/rules"
    sent = form_on(admin.get(path).text) | {"mapping.1.field": "no_such_field", "do": "save"}
    refused = admin.post(path, data=sent)
    assert refused.status_code == 409
    assert "Save although the check finds errors." in refused.text
    assert admin.post(path, data={**sent, "force": "yes"}).status_code == 303
    assert stage.ops.get(f"/integrations/{quiz}").json()["mapping"][1]["field"] == "no_such_field"


def test_one_submission_is_seen_by_the_rules_that_are_typed(stage, admin, still):
    """The newest, or one that is chosen: its outcome, and what differs from the rules that hold."""
    path = f"/console/integrations/{still}/rules"
    page = admin.get(path).text
    assert "Not sent: opted out" in text_of(page)
    assert "The rules that hold do the same." in page
    sent = form_on(page) | {"policy.opt_in": "everyone", "policy.opt_in_field": "answered"}
    said = live(admin, path, **sent, do="preview")
    assert "Sent, email left as it is By the rules that hold: not sent: opted out." in said
    assert "What differs in the request" not in said  # all of it is new
    assert "e@example.com" in said
    assert "Step by step" in said
    listed = stage.ops.get(f"/submissions?integration={still}&contact=a@example.com").json()
    (chosen,) = (each["id"] for each in listed["submissions"])
    said = live(admin, path, **sent | {"sample": chosen}, do="preview")
    assert "As by the rules that hold, with another request." in said
    assert "What differs in the request answered yes" in said
    assert "Sent, email subscribed" in text_of(admin.get(f"{path}?submission={chosen}").text)
    for other in (
        "no-such-id",
        stage.ops.get("/submissions?integration=strict").json()["submissions"][0]["id"],
    ):
        said = live(admin, path, **sent | {"sample": other}, do="preview")
        assert "There is no such submission of this integration." in said


def test_what_is_pasted_is_seen_in_place_of_what_is_stored(stage, admin, still):
    """A body in any form that Jebbit sends; nothing of it is kept."""
    path = f"/console/integrations/{still}/rules"
    sent = form_on(admin.get(path).text) | {"do": "preview"}
    for pasted, said in (
        ('{"email": "new@example.com", "opt_in": "yes"}', "Sent, email subscribed"),
        ('[{"email": "n@example.com"}, {"email": "m@example.com"}]', "The first of 2 that are"),
        ("no json", "What is pasted cannot be read"),
        ("[]", "What is pasted holds no submission."),
    ):
        assert said in live(admin, path, **sent | {"pasted": pasted})
    assert not stage.ops.get("/submissions?contact=new@example.com").json()["submissions"]


def test_what_is_wrong_is_told_while_it_is_typed(admin, still):
    """With the input that mends it; nothing is compared, so nothing can be saved."""
    path = f"/console/integrations/{still}/rules"
    sent = form_on(admin.get(path).text) | {"mapping.1.field": "channels", "do": "compare"}
    answer = admin.post(path, data=sent, headers={"x-refresh": "1"}).text
    assert "Something must be corrected, so nothing is compared." in answer
    assert 'data-wrong="mapping.1.field"' in answer
    assert 'value="save" disabled' in answer
    right = sent | {"mapping.1.field": "first_name"}
    answer = admin.post(path, data=right, headers={"x-refresh": "1"}).text
    assert 'value="save" class="primary"' in answer


def test_it_offers_what_there_is(stage, admin, quiz):
    """The account's fields with their types, the keys that came in with how often and an example;
    a name that is not the account's is mended by one button, and so is a missing rule."""
    path = f"/console/integrations/{quiz}/rules"
    page = admin.get(path).text
    assert '<option value="quiz_outcome" label="string">' in page
    assert '<option value="opt_in" label="2 times, last ' in unescape(page)
    assert "1 attribute came in that no rule uses" not in page  # all are read by the rules
    sent = form_on(page)
    row = {"mapping.1.attribute": "Country Code", "mapping.1.field": "Quiz Outcome"}
    said = live(admin, path, **sent | row, do="preview")
    assert "Cordial writes quiz_outcome; case counts Write quiz_outcome" in said
    assert ": US" in said  # the newest that there is, however the name is spelled
    mended = admin.post(path, data={**sent, **row, "do": "set mapping.1.field quiz_outcome"})
    assert form_on(mended.text)["mapping.1.field"] == "quiz_outcome"
    age = {"mapping.1.attribute": "nothing", "mapping.1.field": "age"}
    said = live(admin, path, **sent | age, do="preview")
    assert "in nothing that came in" in said
    assert "in Cordial of type number Make it number" in said
    stage.settled(*stage.post({"email": "f@example.com", "Age": 30, "Shoe size": 9}, quiz))
    assert "2 attributes came in that no rule uses" in admin.get(path).text
    for attribute, expected in (("Age", ("age", "number")), ("Shoe size", ("", "number"))):
        shown = form_on(admin.post(path, data={**sent, "do": f"map {attribute}"}).text)
        (at,) = (name for name, text in shown.items() if text == attribute and "origin" not in name)
        found = at.removesuffix("attribute")
        assert (shown[f"{found}field"], shown[f"{found}type"]) == expected


def test_the_page_does_not_wait_for_a_cordial_that_is_down(stage, admin, monkeypatch):
    """It opens without the account's fields, and says why."""
    account = {"account_url": f"{stage.account_url}/v2"}
    made = stage.create(f"Down {next(_numbers)}", state="paused", cordial=account)
    monkeypatch.setattr(rules, "_PATIENCE_SECONDS", 0.05)
    slow = Fault(kind="slow", seconds=2, path="/accountcontactattributes")
    stage.sandbox.faults.append(slow)
    try:
        page = admin.get(f"/console/integrations/{made}/rules")
    finally:
        stage.sandbox.faults.remove(slow)
    assert "cannot be offered: Cordial did not answer within 0.05 s." in text_of(page.text)
    assert form_on(page.text)["mapping.1.field"] == "quiz_outcome"
    stage.ops.delete(f"/integrations/{made}?force=true")


def test_a_field_that_the_account_lacks_is_created_by_one_button(stage, admin, still):
    """It says so once the account shows it; who did it is written down."""
    path = f"/console/integrations/{still}/rules"
    name = f"made_{next(_numbers)}"
    row = {"mapping.1.attribute": "age", "mapping.1.field": name, "mapping.1.type": "number"}
    sent = form_on(admin.get(path).text) | row
    assert f"Cordial has no such field Create {name} in Cordial" in live(
        admin, path, **sent, do="preview"
    )
    done = admin.post(path, data={**sent, "do": "create 1"})
    assert f"Created the number attribute {name}, without an index." in done.text
    assert form_on(done.text)["mapping.1.field"] == name
    assert "number" in live(admin, path, **sent, do="preview")
    assert name in str(stage.ops.get(f"/integrations/{still}/account").json())
    again = admin.post(path, data={**sent, "do": "create 1"})
    odd = admin.post(path, data={**sent, "do": f"create {'1' * 5_000}"})
    assert odd.status_code == again.status_code
    assert f"{name} is there already." in again.text
    (entry, *_) = stage.ops.get("/audit?operation=integration.create_field").json()
    assert (entry["name"], entry["target"], entry["outcome"]) == ("ops", still, "done")
    refused = admin.post(path, data={**sent, "mapping.1.field": "channels", "do": "create 1"})
    assert refused.status_code == 422


def test_who_comes_too_late_is_told_before_saving(stage, admin, quiz):
    """As soon as anything is asked for; what was typed stays."""
    path = f"/console/integrations/{quiz}/rules"
    sent = form_on(admin.get(path).text) | {"policy.on_opt_out": "unsubscribe"}
    stage.ops.patch(f"/integrations/{quiz}", json={"policy": {"resubscribe": "explicit_opt_in"}})
    assert "Somebody else changed it meanwhile." in live(admin, path, **sent, do="preview")
    page = admin.post(path, data={**sent, "do": "compare"}).text
    assert "policy.resubscribe never explicit_opt_in" in text_of(page)
    assert form_on(page)["policy.on_opt_out"] == "unsubscribe"


def test_only_an_admin_edits(viewer):
    """Nor does a viewer see the editor, or a link to it."""
    path = "/console/integrations/spring-quiz/rules"
    assert viewer.get(path).status_code == 403
    assert viewer.post(path).status_code == 403
    assert "/rules" not in viewer.get("/console/integrations/spring-quiz").text
