"""An integration's secrets never come back, and can be rotated one by one."""

import pytest

from tests.api.conftest import ANN, body, problem, without
from tests.conftest import WEBHOOK_SECRET


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
    quiz = create(cordial={"api_key": secret})
    integration = shared.client.get(f"/integrations/{quiz}").json()
    assert integration["cordial"]["api_key"] == shown


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
    assert "Several webhook secrets end in 'abcd'. Name one by its fingerprint: " in several
    unknown = problem(shared.client.delete(f"{path}/zzzz"), 404)["detail"]
    assert unknown == "No webhook secret ends in 'zzzz' or has that fingerprint."
    left = shared.client.delete(f"{path}/cdef")
    assert left.json()["jebbit"]["webhook_secrets"] == ["****abcd", "****abcd"]
    named = shared.client.get(path).json()
    assert [each["last4"] for each in named] == ["abcd", "abcd"]
    assert all(each["fingerprint"] in several for each in named)
    shared.client.delete(f"{path}/{named[0]['fingerprint']}").raise_for_status()
    held = [shared.post({}, quiz, secret=f"{each}-secret-abcd") for each in ("second", "third")]
    assert [each.status_code for each in held] == [401, 202]


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


# --- None, or none that protects ----------------------------------------------------------------


@pytest.mark.parametrize("jebbit", [None, {}, {"webhook_secrets": []}], ids=str)
def test_an_integration_can_do_without_a_secret_until_jebbit_gives_one(shared, create, jebbit):
    """It answers 401 to all until then, and the check says so; afterwards it takes webhooks."""
    given = without(body(name="Yet to be", state="paused"), "jebbit")
    created = shared.client.post(
        "/integrations", json=given if jebbit is None else {**given, "jebbit": jebbit}
    )
    assert created.status_code == 201, created.text
    path = f"/integrations/{created.json()['id']}"
    try:
        assert created.json()["jebbit"]["webhook_secrets"] == []
        for secret in ("", WEBHOOK_SECRET):
            assert shared.post(ANN, "yet-to-be", secret=secret).status_code == 401
        added = shared.client.post(f"{path}/webhook-secrets", json={"secret": WEBHOOK_SECRET})
        assert added.status_code == 200
        assert shared.post(ANN, "yet-to-be").status_code == 202
    finally:
        shared.client.delete(f"{path}?force=true")


def test_the_check_says_that_there_is_no_secret(shared, create, sandbox_server):
    """As a warning: it does not keep what is stored from being sent."""
    quiz = create(jebbit={"webhook_secrets": []})
    checked = shared.client.post(f"/integrations/{quiz}/check").json()
    [found] = [each for each in checked["findings"] if each["place"] == "jebbit.webhook_secrets"]
    assert (found["level"], checked["ok"]) == ("warning", True)
    assert "every webhook is answered 401" in found["problem"]
    assert "webhook-secrets" in found["remedy"]


@pytest.mark.parametrize("secrets", [[], None])
def test_the_last_secret_is_not_patched_away(shared, quiz, secrets):
    """All that Jebbit sends from then on would be refused."""
    told = problem(
        shared.client.patch(f"/integrations/{quiz}", json={"jebbit": {"webhook_secrets": secrets}}),
        422,
    )
    assert [each["place"] for each in told["errors"]] == ["jebbit.webhook_secrets"]
    assert shared.post(ANN, quiz).status_code == 202


WEAK = ["the-shared-secret-from-jebbit", "too-short", "k" * 32]


@pytest.mark.parametrize("weak", WEAK)
def test_a_secret_that_protects_nothing_is_refused(shared, quiz, weak):
    """Wherever it is given, with its place; the answer does not repeat it."""
    path, given = f"/integrations/{quiz}", {"webhook_secrets": [WEBHOOK_SECRET, weak]}
    place = "jebbit.webhook_secrets.1"
    for answer, at in (
        (shared.client.post("/integrations", json=body(name="Weak", jebbit=given)), place),
        (shared.client.patch(path, json={"jebbit": given}), place),
        (shared.client.post(f"{path}/webhook-secrets", json={"secret": weak}), "secret"),
    ):
        assert [each["place"] for each in problem(answer, 422)["errors"]] == [at]
        assert weak not in answer.text
    assert shared.client.get("/integrations/weak").status_code == 404
    assert shared.post(ANN, quiz, secret=weak).status_code == 401
