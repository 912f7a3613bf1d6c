"""The attributes that an integration's source really sends, over the API and in the check."""

import pytest

ANN = {"email": "ann@example.com", "first_name": "Ann", "country_code": "US"}


@pytest.fixture
def quiz_with_answers(shared, quiz):
    """An integration that has received a few submissions, without the attribute `opt_in`."""
    for number, said in enumerate(("count me in", "Count me in", "yes")):
        body = {**ANN, "consent": said, "user_session_id": str(number)}
        assert shared.post(body, quiz).status_code == 202
    return quiz


def test_the_api_tells_keys_and_unclear_answers(shared, quiz_with_answers):
    """So that one PATCH adds the labels; the values of other attributes are not told."""
    path = f"/integrations/{quiz_with_answers}"
    seen = shared.client.get(f"{path}/attributes").json()
    assert seen["submissions"] == 3
    assert seen["missing"]["jebbit.attributes.opt_in"] == "opt_in"
    keys = {each["key"]: each for each in seen["attributes"]}
    assert keys["consent"]["times"] == 3
    assert keys["email"]["used_by"] == ["mapping.0.attribute"]
    assert "ann@example.com" not in str(seen)
    shared.client.patch(path, json={"jebbit": {"attributes": {"opt_in": "consent"}}})
    [unclear] = shared.client.get(f"{path}/attributes").json()["unclear"]
    assert unclear == {"attribute": "consent", "text": "count me in", "times": 2}
    labels = {"jebbit": {"opt_in_labels": {"true": [unclear["text"]]}}}
    assert shared.client.patch(path, json=labels).status_code == 200
    assert shared.client.get(f"{path}/attributes").json()["unclear"] == []


def test_the_check_warns_of_a_renamed_opt_in(shared, quiz_with_answers):
    """Everybody would count as not asked."""
    path = f"/integrations/{quiz_with_answers}"
    findings = shared.client.post(f"{path}/check").json()["findings"]
    [renamed] = [each for each in findings if each["place"] == "jebbit.attributes.opt_in"]
    assert renamed["level"] == "warning"
    assert "None of the last 3 submissions has an attribute opt_in" in renamed["problem"]
    shared.client.patch(path, json={"jebbit": {"attributes": {"opt_in": "consent"}}})
    findings = shared.client.post(f"{path}/check").json()["findings"]
    assert not [each for each in findings if each["place"] == "jebbit.attributes.opt_in"]
    [unclear] = [each for each in findings if each["place"] == "jebbit.opt_in_labels"]
    assert '"count me in" 2 times' in unclear["problem"]


def test_a_preview_tells_an_opt_in_that_is_not_there_from_a_null(shared, quiz):
    """An absent attribute may have been renamed; a null one was there to be answered."""
    path = f"/integrations/{quiz}/preview"
    [absent] = shared.client.post(path, json=ANN).json()["submissions"]
    [null] = shared.client.post(path, json={**ANN, "opt_in": None}).json()["submissions"]
    assert absent["note"] == "The submission has no attribute opt_in (jebbit.attributes.opt_in)."
    assert null["note"] is None


@pytest.mark.parametrize("written", ["ann+quiz@example.com", "ann%2Bquiz%40example.com"])
def test_an_address_with_a_plus_is_found_as_people_type_it(shared, quiz, written):
    """In a query a bare plus is a space; an address has none."""
    [made] = shared.post({"email": "ann+quiz@example.com"}, quiz).json()["submissions"]
    found = shared.client.get(f"/submissions?integration={quiz}&contact={written}").json()
    assert [each["id"] for each in found["submissions"]] == [made]
