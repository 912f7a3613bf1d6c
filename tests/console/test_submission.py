"""One submission's page: what became of it, why, and what can be done."""

import json
import re

import pytest

from tests.console.test_changing import mend, person, quiz  # noqa: F401 -- a fixture
from tests.console.test_pages import rows, text_of


def one(stage, query):
    """Return the id of a submission of the stage's own integrations."""
    if "integration=" not in query:
        strict = "rejected" in query or "rita@" in query
        query += f"&integration={'strict' if strict else 'spring-quiz'}"
    return stage.ops.get(f"/submissions?limit=1&{query}").json()["submissions"][0]["id"]


STATES = {
    "delivered": "status=delivered&contact=ann@example.com",
    "skipped": "reason=opted_out",
    "unclear": "reason=opt_in_unclear",
    "from a URL": "reason=untrusted_identity",
    "no address": "reason=no_identity",
    "unreadable": "reason=unreadable",
    "rejected": "reason=rejected",
    "waiting for a person": "status=pending&integration=paused",
    "test": "status=test",
}


@pytest.mark.parametrize("query", STATES.values(), ids=STATES)
def test_each_state_has_a_page(stage, admin, viewer, query):
    """For an admin and a viewer; it says what happened and what to do."""
    made = one(stage, query)
    page = admin.get(f"/console/submissions/{made}")
    assert page.status_code == 200
    said = text_of(page.text)
    assert made in said
    for part in ("As it would be decided now", "What would be sent now"):
        if part in said:
            break
    else:
        raise AssertionError(said)
    assert viewer.get(f"/console/submissions/{made}").status_code == 200


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Kiritimati", "UTC"])
def test_a_date_that_stands_for_none_is_shown_in_every_zone(stage, admin, quiz, zone):  # noqa: F811
    """The first day that there is has not begun in America; then it is told in UTC."""
    (made,) = stage.post({**person("zero"), "experience_date": "0001-01-01T00:00:00Z"}, quiz)
    cookie = f"console_zone={zone}; console_session={admin.cookies['console_session']}"
    page = admin.get(f"/console/submissions/{made}", headers={"cookie": cookie})
    assert page.status_code == 200
    assert "1 Jan 1, 00:00:00 UTC" in text_of(page.text)


def test_a_decision_is_told_step_by_step(stage, admin):
    """What was read, where it stands in the configuration, and what follows from it."""
    said = text_of(admin.get(f"/console/submissions/{one(stage, 'reason=opted_out')}").text)
    assert "Outside the EU, because country_code is US." in said
    assert "No, because opt_in is " in said
    assert "Nothing is sent: policy.opt_in is opted_in_or_null, and the answer is no." in said
    said = text_of(admin.get(f"/console/submissions/{one(stage, STATES['delivered'])}").text)
    assert "Email is asked to be subscribed: the answer is yes." in said
    assert "The contact is sent to Cordial." in said


def test_what_was_decided_then_stays_beside_what_would_be_now(stage, admin, quiz):  # noqa: F811
    """Also after the rules were changed; a replay adds another decision."""
    made = stage.dead(person("ira"), quiz)
    mend(stage, quiz)
    stage.ops.post(f"/submissions/{made}/replay")
    stage.settled(made)
    page = admin.get(f"/console/submissions/{made}").text
    said = text_of(page)
    then, now = said.index("As it was decided then"), said.index("As it would be decided now")
    assert then < said.index("Dead: rejected by Cordial", then) < now
    assert then < said.index("Email asked to be subscribed", then) < now
    versions = re.findall(r'href="(/console/integrations/[^"]+/changes)#(version-[0-9]+)"', page)
    assert len(set(versions)) == 2
    assert all(f'id="{anchor}"' in admin.get(changes).text for changes, anchor in versions)


def test_a_viewer_sees_no_answer_and_no_address(stage, viewer):
    """Neither in the payload, nor in the decision, the request, or Cordial's words."""
    for query in ("contact=ann@example.com", "reason=rejected", "reason=opt_in_unclear"):
        page = viewer.get(f"/console/submissions/{one(stage, query)}").text
        for answer in ("ann@", "rita@", "eve@", "@example.com", "maybe later", "Bold"):
            assert answer not in page, (query, answer)
        assert "Only an admin may see" in page
        assert "Replay" not in page


def test_what_it_waits_for_is_told(stage, admin):
    """Of the first the paused integration, of the second the first."""
    page = admin.get("/console/submissions?contact=wanda@example.com").text
    second, first = rows(page)
    assert "after an earlier one of this person" in text_of(page)
    said = text_of(admin.get(f"/console/submissions/{first}").text)
    assert "Paused is paused." in said
    page = admin.get(f"/console/submissions/{second}").text
    assert "An earlier submission of the same person goes first." in text_of(page)
    assert f'href="/console/submissions/{first}">Show it' in page


def test_the_persons_other_submissions_are_listed(stage, admin):
    """Those of the same contact, and no others."""
    second, first = rows(admin.get("/console/submissions?contact=wanda@example.com").text)
    assert rows(admin.get(f"/console/submissions/{first}").text) == [second]
    assert (
        "None in this integration."
        in admin.get(f"/console/submissions/{one(stage, 'reason=opted_out')}").text
    )


def test_used_keys_are_marked_in_what_jebbit_sent(stage, admin):
    """With what they are used for; the others are not."""
    page = admin.get(f"/console/submissions/{one(stage, 'contact=rita@example.com')}").text
    assert "<mark>outcome</mark>" in page
    assert "Quiz_Outcome" in page
    assert "<mark>first_name</mark>" not in page


def test_a_dead_one_is_replayed_from_its_page(stage, admin, quiz):  # noqa: F811
    """Back to its page, which says so; then it is delivered."""
    made = stage.dead(person("zoe"), quiz)
    mend(stage, quiz)
    done = admin.post(f"/console/submissions/{made}/replay")
    assert done.status_code == 303
    assert "It is back in line." in admin.get(done.headers["location"]).text
    assert stage.settled(made)["status"] == "delivered"


def test_a_second_click_is_no_mistake(stage, admin):
    """What is back in line already is told as done."""
    waiting = one(stage, "status=pending&integration=paused")
    for _ in range(2):
        again = admin.post(f"/console/submissions/{waiting}/replay")
        assert again.headers["location"].endswith("?done=replayed")


def test_older_answers_go_over_newer_ones_only_if_a_person_insists(stage, admin, quiz):  # noqa: F811
    """The page says why not, and offers to do it all the same."""
    older = stage.dead(person("abe"), quiz)
    mend(stage, quiz)
    (newer,) = stage.post({**person("abe"), "outcome": "Calm"}, quiz)
    assert stage.settled(newer)["status"] == "delivered"
    refused = admin.post(f"/console/submissions/{older}/replay")
    assert refused.status_code == 409
    assert "A newer submission of this contact was delivered" in text_of(refused.text)
    assert "force=true" not in refused.text
    assert "Put these older answers over the newer ones" in refused.text
    forced = admin.post(f"/console/submissions/{older}/replay", data={"force": "yes"})
    assert forced.status_code == 303
    assert stage.settled(older)["status"] == "delivered"


def test_a_waiting_one_is_discarded_from_its_page(stage, admin):
    """It ends as skipped; once more, the page says that there is nothing to end."""
    quiz = stage.create("Discarding", state="paused")  # noqa: F811
    (made,) = stage.post(person("bea"), quiz)
    assert admin.post(f"/console/submissions/{made}/discard").status_code == 303
    assert stage.settled(made)["reason"] == "discarded"
    again = admin.post(f"/console/submissions/{made}/discard")
    assert again.status_code == 409
    assert 'role="alert"' in again.text
    stage.ops.delete(f"/integrations/{quiz}?force=true")


def test_an_erased_one_and_one_whose_integration_is_gone_have_a_page(stage, admin):
    """Nothing of the person is left to see, and nothing can be decided."""
    quiz = stage.create("Going", state="paused")  # noqa: F811
    gone, erased = (stage.post(person(name), quiz)[0] for name in ("cid", "dot"))
    stage.ops.post("/erasures", json={"email": "dot@example.com"})
    page = admin.get(f"/console/submissions/{erased}").text
    assert "It was wiped" in page
    assert "Its payload was wiped, so nothing can be decided now." in page
    assert "dot@" not in page
    stage.ops.delete(f"/integrations/{quiz}?force=true")
    said = text_of(admin.get(f"/console/submissions/{gone}").text)
    assert "integration deleted" in said
    assert "Its integration is gone, so nothing can be decided now." in said


def test_an_unreadable_one_is_not_told_to_be_wiped(stage, admin, viewer):
    """It is shown further down, nobody knows whose it is, and no replay makes it readable."""
    made = one(stage, "reason=unreadable")
    page = admin.get(f"/console/submissions/{made}").text
    for said in (page, viewer.get(f"/console/submissions/{made}").text):
        assert "It cannot be read, so there is nothing to decide on." in text_of(said)
        assert "Not known: it cannot be read, so it names nobody." in text_of(said)
        assert "wiped" not in said
    assert "As received" in page
    assert '<button class="primary">Replay' not in page


@pytest.mark.parametrize("name", ["nobody", "0" * 32, "%00", "é", "x" * 300])
def test_an_unknown_submission_is_told(admin, viewer, name):
    """As a page, to whoever asks; changing it is no defect either."""
    for client in (admin, viewer):
        assert "There is no such submission" in client.get(f"/console/submissions/{name}").text
    assert admin.post(f"/console/submissions/{name}/replay").status_code == 404
    assert viewer.post(f"/console/submissions/{name}/replay").status_code == 403


def test_answers_that_are_code_are_text(stage, admin):
    """Whatever a person typed: it is shown, and never run."""
    quiz = stage.create("Code")  # noqa: F811
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}'
    (made,) = stage.post({"email": "fay@example.com", "opt_in": evil, evil: evil}, quiz)
    stage.settled(made)
    page = admin.get(f"/console/submissions/{made}").text
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    assert "{{ 7*7 }}" in page
    assert json.dumps(evil)[1:10] not in page
    stage.ops.delete(f"/integrations/{quiz}?force=true")
