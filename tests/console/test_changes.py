"""The versions of an integration as pages: who changed what, and bringing one back."""

import re
from itertools import count

import pytest

from tests.console.test_pages import text_of

_numbers = count(1)


@pytest.fixture
def quiz(stage):
    """An integration whose rules were narrowed after two people had come in without an answer."""
    made = stage.create(f"Versioned {next(_numbers)}")
    people = [{"email": f"{name}@example.com", "country_code": "US"} for name in "ab"]
    patch = {"policy": {"opt_in": "opted_in_only"}, "unmapped": "known"}
    stage.ops.patch(f"/integrations/{made}?force=true", json=patch).raise_for_status()
    for each in stage.post(people, made):
        stage.settled(each)
    yield made
    stage.ops.delete(f"/integrations/{made}?force=true")


def first_of(stage, quiz):
    return stage.ops.get(f"/integrations/{quiz}/changes").json()["changes"][-1]["version"]


def test_the_list_says_who_changed_what(admin, viewer, stage, quiz):
    """The newest first, place by place; a viewer may look."""
    for visitor in (admin, viewer):
        said = text_of(visitor.get(f"/console/integrations/{quiz}/changes").text)
        assert "ops: changed" in said
        assert "policy.opt_in opted_in_or_null opted_in_only" in said
        assert said.index("which holds now") < said.index("ops: created")
    link = f"/console/integrations/{quiz}/changes/{first_of(stage, quiz)}"
    assert link in admin.get(f"/console/integrations/{quiz}/changes").text
    assert link not in viewer.get(f"/console/integrations/{quiz}/changes").text
    assert viewer.get(link).status_code == 403


def test_any_two_versions_are_beside_each_other(admin, viewer, stage, quiz):
    """By two choices in the address, whoever looks; of secrets only masks."""
    key = {"cordial": {"api_key": "another-key-of-the-account"}}
    stage.ops.patch(f"/integrations/{quiz}?force=true", json=key).raise_for_status()
    versions = [
        each["version"] for each in stage.ops.get(f"/integrations/{quiz}/changes").json()["changes"]
    ]
    assert len(versions) == 3
    page = f"/console/integrations/{quiz}/changes"
    assert f'<option value="{versions[1]}" selected>' in admin.get(page).text
    for visitor in (admin, viewer):
        answer = visitor.get(f"{page}?from={versions[2]}&to={versions[0]}")
        said = text_of(answer.text)
        assert "policy.opt_in opted_in_or_null opted_in_only" in said
        assert "cordial.api_key ****-key ****ount" in said
        assert "another-key" not in answer.text
        assert f'<option value="{versions[2]}" selected>' in answer.text
        back = f"?from={versions[0]}&amp;to={versions[2]}"
        assert back in answer.text
    said = text_of(admin.get(f"{page}?from={versions[0]}&to={versions[2]}").text)
    assert "policy.opt_in opted_in_only opted_in_or_null" in said
    same = admin.get(f"{page}?from={versions[0]}&to={versions[0]}").text
    assert "Nothing differs: both read alike." in same
    for unknown in ("from=1&to=2", "from=x&to=y", f"from={versions[0]}&to="):
        assert admin.get(f"{page}?{unknown}").status_code == 404


def test_bringing_one_back_is_seen_on_what_came_in_and_confirmed(admin, stage, quiz):
    """As many would be newly subscribed as the person has to confirm."""
    path = f"/console/integrations/{quiz}/changes/{first_of(stage, quiz)}"
    page = admin.get(path).text
    assert "2 people would be newly subscribed." in text_of(page)
    (now,) = re.findall(r'name="now" value="([0-9]+)"', page)
    for wrong in ({}, {"confirmed": "1"}):
        assert admin.post(path, data={"now": now, **wrong}).status_code == 409
    assert stage.ops.get(f"/integrations/{quiz}").json()["policy"]["opt_in"] == "opted_in_only"
    done = admin.post(path, data={"now": now, "confirmed": "2"})
    assert done.status_code == 303
    assert stage.ops.get(f"/integrations/{quiz}").json()["policy"]["opt_in"] == "opted_in_or_null"
    assert "The version was brought back." in admin.get(done.headers["location"]).text
    assert "brought back (version" in admin.get(f"/console/integrations/{quiz}/changes").text
    again = admin.post(path, data={"now": now, "confirmed": "2"})  # a second click
    assert again.headers["location"] == done.headers["location"]
    theirs = {"policy": {"opt_in": "opted_in_only"}}
    stage.ops.patch(f"/integrations/{quiz}", json=theirs).raise_for_status()
    late = admin.post(path, data={"now": now, "confirmed": "2"})
    assert late.status_code == 412
    assert "Somebody else changed it meanwhile." in late.text


def test_one_that_cannot_be_brought_back_says_why(admin, stage):
    """Its key would go to another host."""
    made = stage.create(f"Moved {next(_numbers)}", state="paused")
    account = {"account_url": "https://admin.cordial.io", "api_key": "key-of-another-account"}
    stage.ops.patch(f"/integrations/{made}", json={"cordial": account}).raise_for_status()
    path = f"/console/integrations/{made}/changes/{first_of(stage, made)}"
    page = admin.get(path)
    assert "It cannot be brought back as it is." in page.text
    assert "cordial.api_key" in page.text
    assert admin.post(path, data={"now": "1"}).status_code == 422


@pytest.mark.parametrize("version", ["1", "x", "-1", "9" * 12, "²"])
def test_an_unknown_version_is_a_page(admin, quiz, version):
    answer = admin.get(f"/console/integrations/{quiz}/changes/{version}")
    assert answer.status_code == 404
    assert "There was no such version." in answer.text


def test_older_versions_are_a_page_away(admin, stage):
    """Each version on one page."""
    made = stage.create(f"Often {next(_numbers)}", state="paused")
    for n in range(22):
        stage.ops.patch(f"/integrations/{made}", json={"name": f"Name {n}"}).raise_for_status()
    first = admin.get(f"/console/integrations/{made}/changes").text
    (older,) = re.findall(r'href="([^"]+\?before=[0-9]+)"', first)
    second = admin.get(older).text
    assert (first.count("<article"), second.count("<article")) == (20, 3)
    assert "created" in second
    assert "before=" not in second
