"""The wizard: from two browser tabs to the first contact, each step at an address of its own."""

import json
import re
from html import unescape
from ipaddress import ip_network

import pytest

from app.jebbit.samples import SAMPLES
from app.sandbox.account import Attribute
from app.sandbox.faults import Fault
from tests.conftest import signed
from tests.console.stage import staged
from tests.console.test_pages import text_of
from tests.jebbit_api.stand_in import CLIENT_ID, CLIENT_SECRET, running_stand_in
from tests.waiting import wait_for

NEW = "/console/integrations/new"
HERE = f"{NEW}/spring-quiz"
SECRET = "a-secret-of-jebbit-for-tests-0815"
ANN = {"email": "ann@example.com", "opt_in": "yes", "country_code": "US", "outcome": "Bold"}
WHOM = {
    "opt_in": "opt_in",
    "collect": "both",
    "region": "none",
    "send": "opted_in_only",
    "subscribe": "yes",
    "eu_send": "opted_in_only",
    "eu_subscribe": "no",
}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A service with nothing in its ledger, and an admin at its console."""
    with staged(tmp_path_factory.mktemp("wizard")) as stage, stage.visit() as admin:
        yield stage, admin


@pytest.fixture
def begun(fresh):
    """An integration of which the first step is done; it is gone afterwards."""
    stage, admin = fresh
    account = stage.sandbox.account.model_copy(deep=True)
    made = admin.post(NEW, data=typed(stage))
    assert made.headers["location"] == f"{HERE}/jebbit?done=reached", text_of(made.text)
    yield stage, admin
    stage.sandbox.account = account
    stage.ops.delete("/integrations/spring-quiz?force=true")


def typed(stage, **changes):
    account = {"name": "Spring quiz", "account_url": stage.account_url, "api_key": "sandbox-key"}
    return account | changes


def answer(admin, **answers):
    """Answer whom to send, as the page is now."""
    return fill_in(admin, "whom", **answers)


def fill_in(admin, step, **typed):
    """Send a step's form, as the page is now."""
    return admin.post(f"{HERE}/{step}", data={"version": version_on(admin, step), **typed})


def version_on(admin, step):
    (version,) = re.findall(r'name="version" value="(\d+)"', admin.get(f"{HERE}/{step}").text)
    return version


def page(admin, path):
    answer = admin.get(path, follow_redirects=True)
    assert answer.status_code == 200, answer.text
    return text_of(answer.text)


def form_on(page):
    """Return what a browser would send of the mapping's form, as it stands."""
    (form,) = re.findall(r'(?s)<form [^>]*class="rows-form">(.*?)</form>', page)
    sent = dict(re.findall(r'<input [^>]*?name="((?:row|version)[^"]*)" value="([^"]*)"', form))
    for name, options in re.findall(r'(?s)<select [^>]*?name="([^"]+)"[^>]*>(.*?)</select>', form):
        chosen = re.search(r'value="([^"]*)" selected', options)
        sent[name] = chosen[1] if chosen else "string"
    return {name: unescape(value) for name, value in sent.items()}


def mapping_form(admin):
    return form_on(admin.get(f"{HERE}/mapping").text)


def row_of(form, attribute):
    (found,) = (
        name for name, value in form.items() if name.endswith("_attribute") and value == attribute
    )
    return found.removesuffix("_attribute")


def test_from_nothing_to_the_first_delivered_contact(begun):
    """Each step leads to the next; what was sent meanwhile goes when it is live."""
    stage, admin = begun
    assert admin.get(HERE).headers["location"] == f"{HERE}/jebbit"
    taken = fill_in(admin, "jebbit", secret=SECRET)
    assert taken.headers["location"] == f"{HERE}/sample?done=secret"
    assert "Nothing came so far" in page(admin, f"{HERE}/sample")
    assert "Webhooks are accepted and wait" in page(admin, "/console/integrations/spring-quiz")
    stage.post({**ANN, "outcome": "Calm"}, secret=SECRET, headers={"x-jebbit-test": "true"})
    assert "A sample came" in page(admin, f"{HERE}/sample")
    form = mapping_form(admin)
    assert form[f"{row_of(form, 'outcome')}_field"] == "quiz_outcome"
    saved = admin.post(f"{HERE}/mapping", data=form | {"do": "save"})
    assert saved.headers["location"] == f"{HERE}/whom?done=mapped", text_of(saved.text)
    answered = answer(admin, **WHOM)
    assert answered.headers["location"] == f"{HERE}/check?done=answered", text_of(answered.text)
    assert "Nothing keeps it from going live" in page(admin, f"{HERE}/check")
    (one,) = stage.post(ANN, secret=SECRET)
    assert "Go live and send 1 submission" in page(admin, f"{HERE}/live")
    assert admin.post(f"{HERE}/live").headers["location"] == f"{HERE}/live?done=live"
    assert stage.settled(one)["status"] == "delivered"
    assert "1 contact is in Cordial" in page(admin, f"{HERE}/live")
    contact = stage.sandbox.contacts.find("email", "ann@example.com")
    assert contact.attributes["quiz_outcome"] == "Bold"
    for step in ("account", "mapping", "whom", "check"):  # what is live is changed in the editor
        led = admin.get(f"{HERE}/{step}").headers["location"]
        assert led == "/console/integrations/spring-quiz"


# --- 1. The account -------------------------------------------------------------------------------


def test_what_cannot_be_is_told_beside_its_field(fresh):
    """Nothing is stored, what was typed stays, and no key is written back."""
    stage, admin = fresh
    for changes, name, said in (
        ({"name": "!!!"}, "name", "needs at least one letter"),
        ({"name": "New"}, "name", "is the console's own address"),
        ({"name": "x" * 101}, "name", "at most 100 characters"),
        ({"account_url": "https://example.com"}, "account_url", "no Cordial account"),
        ({"api_key": ""}, "api_key", "Paste the key."),
    ):
        refused = admin.post(NEW, data=typed(stage, **changes))
        assert refused.status_code == 422, changes
        assert f'id="{name}-wrong"' in refused.text
        assert said in unescape(text_of(refused.text)), changes
        assert "sandbox-key" not in refused.text
    assert stage.ops.get("/integrations").json() == []


def test_a_key_that_was_typed_beside_a_mistake_is_asked_for_again(begun):
    """No page holds one, so whoever saves again without it must not take it for stored."""
    stage, admin = begun
    again = "Paste the key again"
    for path, mistake in (
        (NEW, {"name": "!!!"}),
        (NEW, {}),  # the name is taken
        (f"{HERE}/account", {"account_url": "https://example.com"}),
        (f"{HERE}/account", {"version": "1", "name": "Mine"}),  # somebody else changed it
    ):
        version = {"version": version_on(admin, "account")}
        refused = admin.post(path, data=typed(stage) | version | mistake)
        assert refused.status_code in (409, 412, 422)
        assert again in text_of(refused.text), (path, mistake)
        kept = admin.post(path, data=typed(stage, api_key="") | version | mistake)
        assert again not in text_of(kept.text)


def test_an_address_is_taken_as_a_browser_shows_it(fresh):
    """What it says of the page that is open there is left out, and stored nowhere."""
    stage, admin = fresh
    for name, page_there in (("Of a page", "/#/home?tab=1"), ("With a ticket", "?ticket=s3cret#x")):
        made = admin.post(
            NEW, data=typed(stage, name=name, account_url=stage.account_url + page_there)
        )
        assert made.is_redirect, text_of(made.text)
        (stored,) = stage.ops.get("/integrations").json()
        assert stored["cordial"]["account_url"].rstrip("/") == stage.account_url
        stage.ops.delete(f"/integrations/{stored['id']}?force=true")


def test_a_name_is_used_once(begun):
    """And the person is asked for another one."""
    stage, admin = begun
    again = admin.post(NEW, data=typed(stage))
    assert again.status_code == 409
    assert "Choose another name." in text_of(again.text)
    assert f'<a href="{HERE}">Go on setting that one up</a>' in again.text


@pytest.mark.parametrize(
    ("changes", "account", "denied", "told"),
    [
        ({"api_key": "a-key-with-a-typo"}, {}, 401, ["The key is another one", "ends in typo"]),
        (
            {},
            {"allowed_ips": [ip_network("192.0.2.0/24")]},
            401,
            ["The key is another one", "not on the key's allow list", "127.0.0.1", "region"],
        ),
        (
            {},
            {"allowed_ips": [ip_network("192.0.2.0/24")]},
            403,
            ["Cordial knows the key and refuses every call", "127.0.0.1"],
        ),
        (
            {},
            {"api_keys": {"sandbox-key": ["GET accountlists", "GET accountcontactattributes"]}},
            401,
            ["Cordial knows the key, and it may not write", "permit the key: POST contacts."],
        ),
    ],
)
def test_what_keeps_a_key_from_working_is_told_apart(begun, changes, account, denied, told):
    """With what to do and the address to allow; it is stored all the same, and mended later."""
    stage, admin = begun
    stage.sandbox.account = stage.sandbox.account.model_copy(update=account)
    stage.sandbox.switches.denied_status = denied
    try:
        refused = fill_in(admin, "account", **typed(stage, **changes))
        assert refused.status_code == 422
        assert f'value="{stage.account_url}"' in refused.text
        for said in told:
            assert said in unescape(text_of(refused.text))
        assert "Mend it later" in page(admin, f"{HERE}/account")
    finally:
        stage.sandbox.reset()


def test_a_key_that_may_not_read_is_no_obstacle(begun):
    """Contacts can be written; what it lacks is named."""
    stage, admin = begun
    account = stage.sandbox.account
    stage.sandbox.account = account.model_copy(
        update={"api_keys": {"sandbox-key": ["POST contacts"]}}
    )
    said = page(admin, f"{HERE}/account")
    assert "permit it GET accountcontactattributes and GET accountlists" in said


def test_an_account_that_nobody_answers_for(tmp_path):
    """Is told apart from a refused key."""
    with staged(tmp_path, cordial_extra_hosts="127.0.0.1:9") as stage, stage.visit() as admin:
        account = typed(stage, account_url="http://127.0.0.1:9")
        made = admin.post(NEW, data=account, follow_redirects=True)
        assert "Nobody answers there" in text_of(made.text)
        assert "In Cordial's words" not in unescape(text_of(made.text))
        assert 'id="account_url-wrong"' in made.text


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("not_found", "no address of a Cordial account"),
        ("rate_limited", "Cordial asks to wait"),
        ("html_502", "It does not answer as Cordial does"),
    ],
)
def test_what_is_no_matter_of_the_key_is_told_too(begun, kind, said):
    """A wrong path, too many calls, an outage."""
    stage, admin = begun
    stage.sandbox.faults = [Fault(kind=kind)]
    try:
        assert said in page(admin, f"{HERE}/account")
    finally:
        stage.sandbox.faults = []


# --- 2. Jebbit ------------------------------------------------------------------------------------


def test_a_secret_takes_the_place_of_a_wrong_one(begun):
    """Shown by its end; one that protects nothing is refused beside its field."""
    stage, admin = begun
    for secret, said in (("", "Paste the secret"), ("short", "needs at least 16 characters")):
        refused = fill_in(admin, "jebbit", secret=secret)
        assert refused.status_code == 422
        assert said in text_of(refused.text)
    for secret in ("another-secret-of-somebody-4711", SECRET):
        assert fill_in(admin, "jebbit", secret=secret).is_redirect
    said = page(admin, f"{HERE}/jebbit")
    assert "****0815" in said
    assert "****4711" not in said
    assert admin.post(f"{HERE}/jebbit").headers["location"] == f"{HERE}/sample"
    stage.post(ANN, secret=SECRET)


def test_the_service_registers_itself_and_asks_for_a_test(tmp_path):
    """With a client of Jebbit's API; what Jebbit refuses is told, and what was typed stays."""
    with (
        running_stand_in() as jebbit,
        staged(tmp_path, jebbit_api_url=jebbit.url) as stage,
        stage.visit() as admin,
    ):
        assert admin.post(NEW, data=typed(stage)).is_redirect
        client = {"do": "register", "client_id": CLIENT_ID, "remember": "yes"}
        for more, said in (
            ({"client_secret": CLIENT_SECRET}, "where it is stored"),
            ({"client_secret": "wrong", "region": "eu"}, "does not know this client id"),
            *(
                ({"client_secret": CLIENT_SECRET, "region": "eu", "business_id": copied}, told)
                for told in ["business_id: holds a space or a sign that is not ASCII"]
                for copied in ("biz\u20131", "biz\u200b1", "biz 1", "biz\r\nX: 1", "biz\x001")
            ),
        ):
            refused = admin.post(f"{HERE}/jebbit", data=client | more)
            assert refused.status_code == 422
            assert said in text_of(refused.text)
            assert CLIENT_ID in refused.text
            assert CLIENT_SECRET not in refused.text
            assert 'value="yes" checked' in refused.text
            assert ('value="eu" required checked' in refused.text) == ("region" in more)
            assert ("biz" in more.get("business_id", "")) == ('value="biz' in refused.text)
        right = {"client_secret": CLIENT_SECRET, "region": "eu"}
        made = admin.post(f"{HERE}/jebbit", data=client | right)
        assert made.headers["location"] == f"{HERE}/sample?done=registered", text_of(made.text)
        asked = admin.post(f"{HERE}/sample", data={"do": "ask"})
        assert asked.headers["location"] == f"{HERE}/sample?done=asked"
        assert "A sample came" in page(admin, f"{HERE}/sample")


def test_whoever_saves_second_undoes_nothing_unseen(begun):
    """Neither the account nor a secret that somebody else gave meanwhile; what they typed stays,
    and may be saved once it is known."""
    stage, admin = begun
    mine = typed(stage, name="Mine", api_key="")
    for step, theirs, ours in (
        ("account", typed(stage, name="Theirs", account_url=f"{stage.account_url}/v2"), mine),
        ("jebbit", {"secret": "another-secret-of-somebody-4711"}, {"secret": SECRET}),
    ):
        opened = {"version": version_on(admin, step)}  # by both
        assert admin.post(f"{HERE}/{step}", data=theirs | opened).is_redirect
        held = stage.ops.get("/integrations/spring-quiz").json()
        refused = admin.post(f"{HERE}/{step}", data=ours | opened)
        assert refused.status_code == 412
        assert "Somebody else changed this integration meanwhile" in text_of(refused.text)
        assert SECRET not in refused.text
        assert stage.ops.get("/integrations/spring-quiz").json() == held
        assert ours.get("name", "") in refused.text
        assert fill_in(admin, step, **ours).is_redirect
    assert stage.ops.get("/integrations/spring-quiz").json()["name"] == "Mine"


def test_what_is_sent_twice_is_done_once(begun):
    """By a second click, which is nobody else's change."""
    stage, admin = begun
    rows = {"rows": "1", "row0_attribute": "email", "row0_field": "channels.email.address"}
    for step, form, then in (
        ("account", typed(stage, name="Renamed", api_key=""), "jebbit"),
        ("jebbit", {"secret": SECRET}, "sample"),
        ("mapping", rows | {"row0_type": "string", "do": "save"}, "whom"),
        ("whom", WHOM, "check"),
    ):
        sent = {"version": version_on(admin, step)} | form
        for _ in range(2):
            answered = admin.post(f"{HERE}/{step}", data=sent)
            assert answered.headers.get("location", "").startswith(f"{HERE}/{then}?"), step
    kept = stage.ops.get("/integrations/spring-quiz/changes").json()["changes"]
    assert [each["kind"] for each in kept].index("created") == 4  # those of others came before


# --- 3. A sample ----------------------------------------------------------------------------------


def test_a_refused_webhook_is_told_with_the_secret_that_is_held(begun):
    """Until one comes that is right."""
    stage, admin = begun
    fill_in(admin, "jebbit", secret=SECRET)
    stage.refuse(ANN, "spring-quiz")
    refused = "was refused: its signature is wrong"
    said = wait_for(
        lambda: next(iter([x for x in [page(admin, f"{HERE}/sample")] if refused in x]), None),
        5,
        "the refusal",
    )
    assert "The secret stored here ends in ****0815" in said
    stage.post(ANN, secret=SECRET, headers={"x-jebbit-test": "true"})
    assert "A sample came" in page(admin, f"{HERE}/sample")


@pytest.mark.parametrize(
    "form",
    [
        {"data": {"body": json.dumps(ANN)}},
        {"data": {"body": json.dumps([{"data": ANN, "event": {}}])}},
        {"files": {"file": ("sample.json", b"\xef\xbb\xbf" + json.dumps(ANN).encode())}},
        {"data": {"shipped": "flat_session"}, "files": {"file": ("", b"")}},
    ],
)
def test_a_sample_is_given(begun, form):
    """Pasted, as a file, or one of ours: stored as a test, never sent."""
    stage, admin = begun
    given = admin.post(f"{HERE}/sample", **form)
    assert given.headers["location"] == f"{HERE}/mapping?done=sample", text_of(given.text)
    (kept,) = stage.ops.get("/submissions?integration=spring-quiz&limit=1").json()["submissions"]
    assert kept["status"] == "test"
    assert "quiz_outcome" in admin.get(f"{HERE}/mapping").text


def test_the_newest_sample_counts(begun):
    """Also if the same one is given again."""
    _, admin = begun
    for name in ("opted_in", "every_type", "opted_in"):
        body = json.dumps(SAMPLES[name])
        assert admin.post(f"{HERE}/sample", data={"body": body}).is_redirect
    assert "session-ann" in page(admin, f"{HERE}/sample")


def test_what_comes_and_cannot_be_read_is_told(begun):
    """Until something readable comes."""
    stage, admin = begun
    fill_in(admin, "jebbit", secret=SECRET)
    stage.post("no object", secret=SECRET)
    assert "and cannot be read" in page(admin, f"{HERE}/sample")
    refused = "/integrations/spring-quiz/refused-webhooks"
    wait_for(lambda: stage.ops.get(refused).json()["refused"], 5, "that it is noted")
    assert "and cannot be read" in page(admin, f"{HERE}/sample")


def test_what_is_too_large_is_told_and_not_as_a_matter_of_clocks(begun):
    """Nor as one of secrets."""
    stage, admin = begun
    fill_in(admin, "jebbit", secret=SECRET)
    large = {"email": "ann@example.com", "a": "x" * 2**20}
    how = signed(large, secret=SECRET)
    assert stage.ops.post("/webhooks/jebbit/spring-quiz", **how).status_code == 413
    refused = "/integrations/spring-quiz/refused-webhooks"
    wait_for(lambda: stage.ops.get(refused).json()["refused"], 5, "that it is noted")
    shown = page(admin, f"{HERE}/sample")
    assert "was refused: it is larger than webhooks may be Send another test." in shown


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "Paste a body"),
        (json.dumps({"a": "x" * 70_000}), "larger than 64 KB"),
        ("[" + " " * 1024 * 1024 + "]", "larger than 1 MB"),
        ("{oops", "is not JSON"),
        ("[]", "no submission"),
        ("3", "neither"),
    ],
)
def test_what_is_no_sample_is_told(begun, body, said):
    """And stays to be mended."""
    _, admin = begun
    refused = admin.post(f"{HERE}/sample", data={"body": body})
    assert refused.status_code in (400, 422)
    assert said in text_of(refused.text)
    assert len(body) > 1_000 or body in text_of(refused.text)


# --- 4. The mapping -------------------------------------------------------------------------------


@pytest.fixture
def sampled(begun):
    """An integration that has a sample."""
    stage, admin = begun
    body = json.dumps({**SAMPLES["every_type"], "weird": "x"})
    assert admin.post(f"{HERE}/sample", data={"body": body}).is_redirect
    return stage, admin


def test_each_row_shows_its_value_and_what_cordial_gets(sampled):
    """By the rules that deliveries ask; a look saves nothing."""
    stage, admin = sampled
    form = mapping_form(admin)
    looked = admin.post(f"{HERE}/mapping", data=form | {"do": "look"})
    said = unescape(text_of(looked.text))
    assert "red|blue" in said
    assert "red, blue" in said
    assert "mia@example.com" in said
    config = stage.ops.get("/integrations/spring-quiz").json()
    assert len(config["mapping"]) == 1
    assert admin.post(f"{HERE}/mapping", data=form | {"do": "save"}).is_redirect
    kept = {
        rule["attribute"]: (rule["field"], rule["type"])
        for rule in stage.ops.get("/integrations/spring-quiz").json()["mapping"]
    }
    assert kept["favorite_colors"] == ("colors", "array")
    assert kept["city"] == ("home.city", "geo")
    assert "weird" not in kept
    again = mapping_form(admin)
    assert again[f"{row_of(again, 'city')}_field"] == "home.city"


def test_wrong_case_and_another_type_offer_the_mend(sampled):
    """One press puts it right."""
    _, admin = sampled
    form = mapping_form(admin)
    outcome, age = row_of(form, "outcome"), row_of(form, "age")
    form |= {f"{outcome}_field": "Quiz_Outcome", f"{age}_type": "string"}
    saved = admin.post(f"{HERE}/mapping", data=form | {"do": "save"})
    assert saved.status_code == 422
    said = text_of(saved.text)
    assert "2 rows need mending" in said
    assert "Cordial has quiz_outcome, the mapping says Quiz_Outcome; case counts." in said
    for do in (f"field-{outcome[3:]}", f"type-{age[3:]}"):
        assert f'value="{do}"' in saved.text
        form = form_on(admin.post(f"{HERE}/mapping", data=form | {"do": do}).text)
    assert form[f"{outcome}_field"] == "quiz_outcome"
    assert form[f"{age}_type"] == "number"
    assert admin.post(f"{HERE}/mapping", data=form | {"do": "save"}).is_redirect


@pytest.mark.parametrize(("kind", "name"), [("string", "strange"), ("list", "vip-club")])
def test_a_field_that_the_account_lacks_is_created_from_its_row(sampled, kind, name):
    """An attribute, or a list; Cordial's refusal is told in its words."""
    stage, admin = sampled
    form = mapping_form(admin)
    row = row_of(form, "weird")
    form |= {f"{row}_field": name, f"{row}_type": kind}
    said = admin.post(f"{HERE}/mapping", data=form | {"do": "look"}).text
    assert f'value="create-{row[3:]}"' in said
    made = admin.post(f"{HERE}/mapping", data=form | {"do": f"create-{row[3:]}", "index": "yes"})
    assert f'value="create-{row[3:]}"' not in made.text
    account = stage.sandbox.account
    if kind == "list":
        assert name in account.lists
    else:
        assert account.attributes[name].index
    if kind == "list":
        form |= {f"{row}_field": "no spaces here"}
        refused = admin.post(f"{HERE}/mapping", data=form | {"do": f"create-{row[3:]}"})
        assert "letters, numbers, and dashes" in text_of(refused.text)


def test_a_field_that_somebody_makes_in_cordial_meanwhile_is_seen(sampled):
    """At once, though the account was asked a moment ago."""
    stage, admin = sampled
    form = mapping_form(admin)
    form |= {f"{row_of(form, 'weird')}_field": "by_hand"}
    looked = admin.post(f"{HERE}/mapping", data=form | {"do": "look"})
    assert "Cordial has no attribute by_hand" in text_of(looked.text)
    stage.sandbox.account.attributes["by_hand"] = Attribute(type="string")
    assert admin.post(f"{HERE}/mapping", data=form | {"do": "save"}).is_redirect


def test_a_rule_that_cannot_be_is_told_beside_its_row(sampled):
    """Reserved fields, and two rules for one."""
    _, admin = sampled
    form = mapping_form(admin)
    row = row_of(form, "weird")
    refused = admin.post(f"{HERE}/mapping", data=form | {f"{row}_field": "cID", "do": "save"})
    assert refused.status_code == 422
    assert f'id="{row}-wrong"' in refused.text.replace(f"{row}_", f"{row}-")
    assert "cID is reserved by Cordial" in text_of(refused.text)
    twice = admin.post(f"{HERE}/mapping", data=form | {f"{row}_field": "age", "do": "save"})
    assert "Two rules for one field: age. So it cannot be saved." in text_of(twice.text)
    for page in (refused.text, twice.text):  # it was not tried, so nobody knows what Cordial gets
        assert 'class="none">nothing' not in page
    assert "1 row needs mending before it can be saved." in text_of(refused.text)


def test_a_row_that_names_no_attribute_asks_for_it(sampled):
    """And has a place to write it; what goes there meanwhile stays."""
    _, admin = sampled
    form = mapping_form(admin)
    written = {f"{row_of(form, '')}_field": "quiz_date", "rows": str(len(form)), "do": "save"}
    refused = admin.post(f"{HERE}/mapping", data=form | written)
    assert refused.status_code == 422
    assert "Name the Jebbit attribute that goes here" in text_of(refused.text)
    assert 'value="" aria-label="Jebbit attribute for quiz_date"' in refused.text
    assert "quiz_date" in form_on(refused.text).values()


def test_without_a_sample_several_rules_are_written_at_once(begun):
    """Nothing is suggested then, so there is room for more than one."""
    stage, admin = begun
    form = mapping_form(admin)
    blank = [name for name, value in form.items() if name.endswith("_attribute") and not value]
    names = {"outcome": "quiz_outcome", "age": "age"}
    for name, (attribute, field) in zip(blank, names.items(), strict=False):
        form |= {name: attribute, name.replace("_attribute", "_field"): field}
        form |= {name.replace("_attribute", "_type"): "number" if field == "age" else "string"}
    rows = {"rows": str(len(form)), "do": "save"}
    assert admin.post(f"{HERE}/mapping", data=form | rows).is_redirect
    kept = stage.ops.get("/integrations/spring-quiz").json()["mapping"]
    assert {each["attribute"]: each["field"] for each in kept} == {
        "email": "channels.email.address",
        **names,
    }


@pytest.mark.parametrize("way", ["pasted", "uploaded"])
def test_a_sheet_gives_the_rows_and_says_what_does_not_fit(sampled, way):
    """Nothing is saved before the person says so; `Email` means the contact's address."""
    stage, admin = sampled
    sheet = "Cordial field;Jebbit attribute\nEmail;Email\nQuiz_Outcome;outcome\n;age\nage;Age\n"
    form = {"do": "sheet"} | ({"sheet": sheet} if way == "pasted" else {})
    files = {"file": ("map.csv", sheet.encode("utf-16") if way == "uploaded" else b"")}
    shown = admin.post(f"{HERE}/mapping", data=form, files=files)
    said = text_of(shown.text)
    assert "From your sheet: 3 rows." in said
    assert "Line 4 age It names no Cordial field" in said
    assert "Cordial has quiz_outcome" in said
    filled = form_on(shown.text)
    assert filled[f"{row_of(filled, 'email')}_field"] == "channels.email.address"
    assert filled[f"{row_of(filled, 'age')}_type"] == "number"
    assert len(stage.ops.get("/integrations/spring-quiz").json()["mapping"]) == 1
    for body in (b"", b"PK\x03\x04"):
        refused = admin.post(f"{HERE}/mapping", data={"do": "sheet"}, files={"file": ("x", body)})
        assert refused.status_code == 422


def test_a_sheet_is_pasted_as_it_was_copied(sampled):
    """Also with a blank first column, which begins the text with a tab."""
    _, admin = sampled
    sheet = "\tout\tquiz_outcome\n\temail\tEmail\n\tage\tage\n"
    shown = admin.post(f"{HERE}/mapping", data={"do": "sheet", "sheet": sheet})
    assert "From your sheet: 3 rows." in text_of(shown.text)
    assert "not fit" not in text_of(shown.text)


def test_lines_that_come_to_fill_one_field_are_told_one_by_one(sampled):
    """Who writes `Email` and `email` for it means the contact's address twice."""
    _, admin = sampled
    sheet = "email,Email\nwork_email,E-mail\nEmail,channels.email.address\noutcome,quiz_outcome\n"
    said = text_of(admin.post(f"{HERE}/mapping", data={"do": "sheet", "sheet": sheet}).text)
    assert "From your sheet: 2 rows." in said
    assert "Line 2 work_email | E-mail Email is filled by line 1 already, from email." in said
    assert "2 lines do not fit" in said
    assert "needs mending" not in said


def test_a_sheet_of_which_nothing_fits_leaves_the_rows(sampled):
    """And says why, line by line."""
    _, admin = sampled
    before = mapping_form(admin)
    refused = admin.post(f"{HERE}/mapping", data={"do": "sheet", "sheet": "email\noutcome\n"})
    assert refused.status_code == 422
    said = text_of(refused.text)
    assert "No line of it fits, so the rows stay as they were." in said
    assert "2 lines do not fit" in said
    assert form_on(refused.text) == before


# --- 5. Whom --------------------------------------------------------------------------------------


def test_nothing_is_preselected_and_nothing_goes_before_it_is_answered(sampled):
    """Not by force, nor by another way; each that refuses says where to answer."""
    stage, admin = sampled
    shown = admin.get(f"{HERE}/whom").text
    assert shown.count('type="radio"') == 16
    assert "checked" not in shown
    refused = stage.ops.post("/integrations/spring-quiz/resume?force=true")
    assert refused.status_code == 409
    assert f"{NEW}/spring-quiz/whom" in refused.json()["detail"]
    insisted = admin.post("/console/integrations/spring-quiz/resume", data={"force": "yes"})
    assert insisted.status_code == 409
    assert "Nobody has said" in text_of(admin.post(f"{HERE}/live").text)
    assert "Nobody has said" in page(admin, f"{HERE}/check")
    led = admin.get("/console/integrations/spring-quiz/rules").headers["location"]
    assert led == f"{HERE}/whom"


def test_every_answer_is_wanted_and_what_was_given_stays(sampled):
    """Only of those whom it collects."""
    stage, admin = sampled
    for name in WHOM:
        refused = admin.post(f"{HERE}/whom", data={k: v for k, v in WHOM.items() if k != name})
        assert refused.status_code == 422, name
        assert f'id="{name}-wrong"' in refused.text
        assert refused.text.count(" checked") == len(WHOM) - 1 - (name != "opt_in")
    everyone = admin.post(f"{HERE}/whom", data=WHOM | {"send": "everyone"})
    assert "Name the field that gets the answer." in text_of(everyone.text)
    assert stage.ops.get("/integrations/spring-quiz").json()["policy"]["collect"] == "both"
    alone = {name: WHOM[name] for name in ("opt_in", "region", "send", "subscribe")}
    assert answer(admin, **alone, collect="non_eu").is_redirect
    policy = stage.ops.get("/integrations/spring-quiz").json()["policy"]
    assert policy["collect"] == "non_eu"
    assert policy["eu"]["auto_subscribe"] is False
    assert admin.get(f"{HERE}/whom").text.count(" checked") > 3


@pytest.mark.parametrize(
    ("said", "outcomes"),
    [
        ("yes", ["sent.", "sent.", "sent.", "subscribed.", "left as they are."]),
        (None, ["not sent.", "sent.", "sent.", "subscribed.", "left as they are."]),
        ("no", ["not sent.", "not sent.", "sent.", "left as they are.", "left as they are."]),
    ],
)
def test_each_choice_is_answered_on_the_sample(begun, said, outcomes):
    """Outside the EU, then in it, where silence subscribes nobody."""
    _, admin = begun
    body = json.dumps({**ANN, "opt_in": said})
    assert admin.post(f"{HERE}/sample", data={"body": body}).is_redirect
    page = admin.get(f"{HERE}/whom").text
    shown = re.findall(r'<span class="sub">With the sample[^:]*: ([^<]*)</span>', page)
    assert page.count("The sample&#39;s person is one of them.") == 1
    assert shown[:5] == outcomes
    assert shown[5:8] == outcomes[:3]
    assert shown[8] == ("subscribed." if said == "yes" else "left as they are.")


def test_a_field_that_cannot_hold_the_answer_is_told_beside_it(sampled):
    """By its own name, and the other answers stay."""
    _, admin = sampled
    refused = answer(admin, **WHOM | {"send": "everyone", "answer_field": "cID"})
    assert refused.status_code == 422
    assert 'id="answer_field-wrong">It cannot be this one: cID is reserved' in refused.text
    assert "Nothing is saved" in text_of(refused.text)
    assert 'value="everyone" checked' in refused.text


def test_two_admins_at_once_do_not_undo_each_other(sampled):
    """The later one is told, keeps what they typed, and may insist."""
    stage, admin = sampled
    form = mapping_form(admin) | {"do": "save"}
    stage.ops.patch("/integrations/spring-quiz", json={"unmapped": "known"})
    late = admin.post(f"{HERE}/mapping", data=form)
    assert late.status_code == 412
    assert "Somebody else changed this integration meanwhile" in text_of(late.text)
    again = form_on(late.text)
    assert again | {"version": form["version"], "do": "save"} == form
    assert admin.post(f"{HERE}/mapping", data=again | {"do": "save"}).is_redirect
    version = form["version"]
    assert admin.post(f"{HERE}/whom", data=WHOM | {"version": version}).status_code == 412
    assert stage.ops.post("/integrations/spring-quiz/resume").status_code == 409


def test_an_answer_in_the_customers_own_words_is_asked_for(begun):
    """Once it is told what it means, the sample is answered by that."""
    stage, admin = begun
    body = json.dumps({**ANN, "opt_in": "Count me in"})
    assert admin.post(f"{HERE}/sample", data={"body": body}).is_redirect
    asked = admin.post(f"{HERE}/whom", data=WHOM)
    assert asked.status_code == 422
    assert "What does “Count me in” mean?" in text_of(asked.text)
    assert 'id="means-wrong"' in asked.text
    means = {"means": "yes", "label": "Count me in"}
    looked = admin.post(f"{HERE}/whom", data=WHOM | means | {"do": "look"})
    assert "if sent: subscribed." in text_of(looked.text)
    assert answer(admin, **WHOM, **means | {"means": "neither"}).is_redirect
    assert "What does “Count me in” mean?" in page(admin, f"{HERE}/whom")
    assert answer(admin, **WHOM, **means).is_redirect
    labels = stage.ops.get("/integrations/spring-quiz").json()["jebbit"]["opt_in_labels"]
    assert labels == {"true": ["Count me in"], "false": []}
    assert "Count me in” mean" not in text_of(admin.get(f"{HERE}/whom").text)


def test_words_that_nobody_was_asked_about_mean_nothing(begun):
    """A newer sample may come, or another attribute be chosen, while the page is open."""
    stage, admin = begun
    for said in ("Count me in", "No thanks, never"):
        sample = {**ANN, "opt_in": said, "other": "Leave me alone"}
        assert admin.post(f"{HERE}/sample", data={"body": json.dumps(sample)}).is_redirect
        page = admin.post(f"{HERE}/whom", data=WHOM | {"do": "look"}).text
        assert f'<input type="hidden" name="label" value="{said}">' in page
    shown, seen = (
        WHOM | {"means": "yes", "label": said} for said in ("Count me in", "No thanks, never")
    )
    other = admin.post(f"{HERE}/whom", data=seen | {"opt_in": "other", "do": "look"})
    for asked in (admin.post(f"{HERE}/whom", data=shown), other):
        assert 'id="means-yes" name="means" value="yes">' in asked.text  # not chosen
    labels = stage.ops.get("/integrations/spring-quiz").json()["jebbit"]["opt_in_labels"]
    assert labels == {"true": [], "false": []}
    assert answer(admin, **seen).is_redirect
    labels = stage.ops.get("/integrations/spring-quiz").json()["jebbit"]["opt_in_labels"]
    assert labels == {"true": ["No thanks, never"], "false": []}


def test_sms_is_asked_where_a_phone_number_is_mapped(begun):
    """With the attribute of its own box, and the program."""
    stage, admin = begun
    admin.post(f"{HERE}/sample", data={"shipped": "sms_opted_in"})
    form = mapping_form(admin)
    assert admin.post(f"{HERE}/mapping", data=form | {"do": "save"}).is_redirect
    asked = admin.post(f"{HERE}/whom", data=WHOM | {"sms": "yes"})
    assert 'id="sms_attribute-wrong"' in asked.text
    assert 'id="sms_program-wrong"' in asked.text
    sms = {"sms": "yes", "sms_attribute": "sms_opt_in", "sms_program": "main"}
    assert answer(admin, **WHOM, **sms).is_redirect
    kept = stage.ops.get("/integrations/spring-quiz").json()
    assert kept["cordial"]["sms"]["program"] == "main"
    assert kept["jebbit"]["attributes"]["sms_opt_in"] == "sms_opt_in"
    assert answer(admin, **WHOM, sms="no").is_redirect
    kept = stage.ops.get("/integrations/spring-quiz").json()
    assert kept["cordial"]["sms"] is None


def test_a_patch_that_names_the_choice_answers_it(begun):
    """Who sets it up by calls need not come here."""
    stage, _ = begun
    path = "/integrations/spring-quiz"
    stage.ops.patch(path, json={"policy": {"opt_in": "opted_in_or_null"}})
    assert stage.ops.post(f"{path}/resume").status_code == 409
    choice = {"collect": "both", "opt_in": "opted_in_only", "auto_subscribe": False}
    stage.ops.patch(path, json={"policy": choice})
    assert stage.ops.post(f"{path}/resume").status_code == 200


# --- 6 and 7 --------------------------------------------------------------------------------------


def test_each_finding_leads_to_the_step_that_mends_it(sampled):
    """And what is missing in Cordial is created from here."""
    stage, admin = sampled
    rules = [
        {"attribute": "email", "field": "channels.email.address"},
        {"attribute": "weird", "field": "brand_new"},
    ]
    stage.ops.patch("/integrations/spring-quiz", json={"mapping": rules})
    assert answer(admin, **WHOM).is_redirect
    shown = admin.get(f"{HERE}/check").text
    assert "Cordial has no attribute brand_new" in text_of(shown)
    assert f'<a href="{HERE}/mapping">Go to step 4: Mapping</a>' in shown
    assert f'<a href="{HERE}/jebbit">Go to step 2: Jebbit</a>' in shown
    refused = admin.post(f"{HERE}/live")
    assert refused.status_code == 409
    assert "Go to step 4: Mapping" in text_of(refused.text)
    for said in (shown, refused.text):  # what to do is done here, by no call
        assert "POST /integrations" not in said
        assert "create_missing" not in said
    assert admin.post(f"{HERE}/check", data={"do": "create"}).is_redirect
    assert "Nothing keeps it from going live" in page(admin, f"{HERE}/check")


def test_whoever_waits_without_a_secret_is_told_that_nothing_can_come(begun):
    """Every webhook is refused: no step waits for one, neither before nor after it is live."""
    _, admin = begun
    said = page(admin, f"{HERE}/sample")
    assert "No secret is stored yet, so every webhook is refused" in said
    assert "Waiting for a webhook" not in said
    assert "refused until there is a secret" in page(admin, "/console/integrations/spring-quiz")
    assert answer(admin, **WHOM).is_redirect
    lacks = "No webhook secret is stored, so every webhook is refused"
    assert f'href="{HERE}/jebbit">Store the secret' in admin.get(f"{HERE}/live").text
    assert admin.post(f"{HERE}/live").is_redirect
    said = page(admin, f"{HERE}/live")
    assert lacks in said
    assert "Waiting for the first submission" not in said
    assert 'href="/console/integrations/spring-quiz#secrets"' in admin.get(f"{HERE}/live").text
    admin.post("/console/integrations/spring-quiz/secrets", data={"secret": SECRET})
    assert lacks not in page(admin, f"{HERE}/live")


def test_it_is_resumed_from_the_list_by_another_admin(sampled):
    """The list, its own page and the overview lead to the step that comes next."""
    stage, admin = sampled
    listed = admin.get("/console/integrations").text
    assert f'href="{HERE}"' in listed
    assert "Being set up" in text_of(listed)
    assert f'href="{HERE}"' in admin.get("/console/integrations/spring-quiz").text
    with stage.visit() as another:
        assert another.get(HERE).headers["location"] == f"{HERE}/jebbit"


def test_only_an_admin_sets_up(viewer):
    """Nor is a viewer offered it."""
    assert viewer.get(NEW).status_code == 403
    assert viewer.post(NEW).status_code == 403
    assert viewer.get(f"{NEW}/paused/whom").status_code == 403
    assert "/integrations/new" not in viewer.get("/console/integrations").text


def test_what_is_not_there_is_told(admin):
    """An integration that nobody began, or that is set up already."""
    assert admin.get(f"{NEW}/nothing/whom").status_code == 404
    assert admin.get(f"{NEW}/paused/whom").headers["location"] == "/console/integrations/paused"


@pytest.mark.parametrize("step", ["account", "jebbit", "sample", "mapping", "whom", "check"])
def test_a_step_that_is_saved_after_it_went_live_is_told_to_be_lost(stage, admin, step):
    """Somebody else went on with it in another window; nobody takes theirs for saved."""
    before = stage.ops.get("/integrations/paused").json()
    saved = admin.post(f"{NEW}/paused/{step}", data={**WHOM, "version": before["version"]})
    assert saved.status_code == 303
    assert "so the step was not saved" in text_of(admin.get(saved.headers["location"]).text)
    assert stage.ops.get("/integrations/paused").json() == before
