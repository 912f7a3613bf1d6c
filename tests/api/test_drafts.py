"""A change is seen before it is made: on a body, on what is stored, on all that came in."""

import time

import pytest

from tests.api.conftest import ANN, problem

ONLY_YES = {"policy": {"opt_in": "opted_in_only"}}
SILENT = {"email": "sue@example.com", "country_code": "US", "outcome": "Bold"}


def preview(shared, quiz, **draft):
    return shared.client.post(f"/integrations/{quiz}/drafts/preview", json=draft)


def compare(shared, quiz, patch, **more):
    answer = shared.client.post(
        f"/integrations/{quiz}/drafts/comparison", json={"patch": patch, **more}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_body_is_previewed_as_the_patch_would_have_it(shared, quiz):
    """Nothing is stored, sent or changed."""
    before = shared.client.get(f"/integrations/{quiz}").json()
    [shown] = preview(shared, quiz, patch=ONLY_YES, body=SILENT).json()["submissions"]
    assert (shown["decision"], shown["reason"]) == ("skip", "not_opted_in")
    patch = {"mapping": [{"attribute": "email", "field": "channels.email.address"}]}
    [shown] = preview(shared, quiz, patch=patch, body=SILENT).json()["submissions"]
    assert "quiz_outcome" not in shown["request"]["body"]
    assert shared.client.get(f"/integrations/{quiz}").json() == before
    assert shared.client.get(f"/submissions?integration={quiz}").json()["submissions"] == []


@pytest.mark.parametrize("value", [r'"\ud83d"', r'{"a\ud83d": ["\ud83d"]}'])
def test_a_body_is_read_as_a_webhook_is(shared, quiz, value):
    """Also half of an emoji, which some programs leave."""
    text = f'{{"email": "ann@example.com", "opt_in": "yes", "outcome": {value}}}'
    headers = {"content-type": "application/json"}
    answers = [
        shared.client.post(f"/integrations/{quiz}/{path}", content=content, headers=headers)
        for path, content in (
            ("preview", text),
            ("drafts/preview", f'{{"patch": {{}}, "body": {text}}}'),
        )
    ]
    assert [each.status_code for each in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()


def test_a_stored_submission_is_previewed(shared, quiz):
    """One of the integration's own, as long as it can be read."""
    [made] = shared.post(SILENT, quiz).json()["submissions"]
    [shown] = preview(shared, quiz, patch=ONLY_YES, submission=made).json()["submissions"]
    assert shown["reason"] == "not_opted_in"
    [unreadable] = shared.post([1], quiz).json()["submissions"]
    answer = preview(shared, quiz, patch=ONLY_YES, submission=unreadable)
    assert answer.json() == {"submissions": [None]}


def test_a_submission_of_another_integration_is_not_shown(shared, quiz, create):
    [made] = shared.post(SILENT, create()).json()["submissions"]
    for one in (made, "nobody"):
        problem(preview(shared, quiz, patch={}, submission=one), 404)


@pytest.mark.parametrize(
    "draft",
    [
        {"patch": {}},
        {"patch": {}, "body": {}, "submission": "a"},
        {"body": {}},
        {"patch": {}, "body": {}, "dry_run": True},
    ],
    ids=["neither", "both", "no patch", "unknown key"],
)
def test_what_a_draft_must_say_is_told(shared, quiz, draft):
    problem(preview(shared, quiz, **draft), 422)


@pytest.mark.parametrize("path", ["preview", "comparison"])
def test_a_patch_that_cannot_be_made_is_refused_as_patch_does(shared, quiz, path):
    """With the same places."""
    wrong = {"policy": {"opt_in": "everyone"}, "mapping": [{"field": "a"}]}
    told = problem(shared.client.patch(f"/integrations/{quiz}", json=wrong), 422)
    draft = {"patch": wrong, **({"body": {}} if path == "preview" else {})}
    answer = shared.client.post(f"/integrations/{quiz}/drafts/{path}", json=draft)
    assert problem(answer, 422)["errors"] == told["errors"]


def test_a_comparison_counts_what_would_change(shared, quiz):
    """By outcome and status, with examples; fields too."""
    people = [{**SILENT, "email": f"{n}@example.com"} for n in range(3)]
    silent = shared.post(people, quiz).json()["submissions"]
    shared.post(ANN, quiz)
    found = compare(shared, quiz, ONLY_YES)
    asked = {"outcome": "upsert", "reason": None, "email": "subscribed", "sms": None}
    (change,) = found["changes"]
    assert change["before"] == {**asked, "force": False}
    assert change["after"] == {
        "outcome": "skip",
        "reason": "not_opted_in",
        "email": None,
        "sms": None,
        "force": False,
    }
    assert (change["count"], sorted(change["examples"])) == (3, sorted(silent))
    assert found["fields"] == [{"field": "quiz_outcome", "added": 0, "changed": 0, "removed": 3}]
    assert (found["compared"], found["not_compared"], found["newly_subscribed"]) == (4, 0, 0)


def test_what_flows_without_a_rule_is_compared_too(shared, quiz):
    """By the fields that the account really has."""
    shared.post({**SILENT, "first_name": "Sue", "no_such_field": "x"}, quiz)
    found = compare(shared, quiz, {"unmapped": "known"})
    assert found["fields"] == [{"field": "first_name", "added": 1, "changed": 0, "removed": 0}]


def test_addresses_that_other_rules_find_are_looked_up_too(shared, quiz):
    """Who said no under another attribute is not subscribed by silence there either."""
    shared.post({"email": "no@example.com", "opt_in": "no", "country_code": "US"}, quiz)
    shared.post({**SILENT, "other": "no@example.com"}, quiz)
    email = {"field": "channels.email.address"}
    found = compare(shared, quiz, {"mapping": [{"attribute": "other", **email}]}, last=1)
    (change,) = found["changes"]
    assert (change["before"]["email"], change["after"]["email"]) == ("subscribed", None)


def test_newly_subscribed_are_those_who_were_not(shared, create):
    """Also who would be forced and is not: who unsubscribed once would be subscribed again."""
    quiz = create(policy=ONLY_YES["policy"])
    shared.post([SILENT, ANN], quiz)
    both = {"opt_in": "opted_in_or_null"}
    assert compare(shared, quiz, {"policy": both})["newly_subscribed"] == 1
    forcing = {**both, "resubscribe": "explicit_opt_in"}
    assert compare(shared, quiz, {"policy": forcing})["newly_subscribed"] == 2
    assert compare(shared, quiz, {"policy": {"auto_subscribe": False}})["newly_subscribed"] == 0


def test_only_the_newest_are_compared(shared, quiz):
    """As many as asked for, within bounds; what cannot be read is counted apart."""
    shared.post([{**SILENT, "email": f"{n}@example.com"} for n in range(5)], quiz)
    shared.post([1], quiz)
    found = compare(shared, quiz, {}, last=4)
    assert (found["compared"], found["not_compared"]) == (3, 1)
    assert found["changes"] == []
    for last in (0, 5001):
        answer = shared.client.post(
            f"/integrations/{quiz}/drafts/comparison", json={"patch": {}, "last": last}
        )
        problem(answer, 422)


def test_test_webhooks_are_not_compared(shared, quiz):
    """Nobody is sent by them."""
    shared.post(SILENT, quiz, headers={"x-jebbit-test": "true"})
    assert compare(shared, quiz, ONLY_YES)["compared"] == 0


def test_a_delivered_one_is_compared_as_its_replay_would_be(shared, quiz, clock):
    """By the time that it is: an old yes forces nothing any more."""
    patch = {"policy": {"resubscribe": "explicit_opt_in"}}
    shared.post(ANN, quiz)
    assert compare(shared, quiz, patch)["changes"][0]["after"]["force"]
    clock.fixed = time.time() + 25 * 3600
    assert compare(shared, quiz, patch)["changes"] == []
