"""Setting up Jebbit's side: register, test and backfill by calls, and no secret left behind."""

import asyncio
import logging
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from tests.conftest import WEBHOOK_SECRET, Service
from tests.jebbit_api.stand_in import (
    BUSINESS,
    CLIENT_ID,
    CLIENT_SECRET,
    StandIn,
)
from tests.test_newcomer import Shell
from tests.waiting import wait_for

CREDENTIALS = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
WRONG = {**CREDENTIALS, "client_secret": "a-wrong-client-secret"}
PATH = "/integrations/spring-quiz/jebbit"
INTEGRATIONS = "/api/v1/integrations"


@pytest.fixture
def quiz(service: Callable[..., Service], jebbit: StandIn) -> Service:
    """A service beside that Jebbit, with the integration `spring-quiz`."""
    running = service(jebbit_api_url=jebbit.url)
    running.create_integration()
    return running


def call(quiz: Service, name: str, body: Any = None, status: int = 202) -> Any:
    answer = quiz.client.post(f"{PATH}/{name}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def register(quiz: Service, status: int = 201, **more: Any) -> Any:
    return call(quiz, "register", {**CREDENTIALS, **more}, status)


def secrets_shown(quiz: Service) -> list[str]:
    return list(quiz.client.get("/integrations/spring-quiz").json()["jebbit"]["webhook_secrets"])


def test_registered_at_jebbit_a_test_webhook_comes_through(quiz, jebbit):
    """Its shared secret is stored beside the one that was there, and the test is never sent."""
    made = register(quiz, additional_options={"include_outcome_names": True})
    theirs = jebbit.integrations[made["jebbit_id"]]
    assert theirs["endpoint"] == made["webhook_url"] == f"{quiz.url}/webhooks/jebbit/spring-quiz"
    assert theirs["region"] == made["region"] == "us"
    assert theirs["additional_options"] == {"include_outcome_names": True}
    assert made["webhook_secret"] == "****" + theirs["shared_secret"][-4:]
    assert secrets_shown(quiz) == ["****" + WEBHOOK_SECRET[-4:], made["webhook_secret"]]

    asked = call(quiz, "test", CREDENTIALS)
    (found,) = wait_for(lambda: quiz.client.get(asked["look_at"]).json()["submissions"])
    assert found["status"] == "test"
    assert quiz.submission(found["id"])["plan"]["decision"] == "upsert"


@pytest.mark.skipif(not shutil.which("curl"), reason="the docs' calls need curl")
def test_the_calls_of_the_docs_register_and_test(quiz, jebbit):
    """As they stand there, in a shell."""
    shell = Shell(
        SERVICE=quiz.url,
        TOKEN=quiz.token,
        JEBBIT_CLIENT_ID=CLIENT_ID,
        JEBBIT_CLIENT_SECRET=CLIENT_SECRET,
    )
    made = shell.run("jebbit/register")
    assert made["credentials_remembered"]
    assert shell.run("jebbit/test")["jebbit_id"] == made["jebbit_id"]
    assert shell.run("status=test")["submissions"]


def test_credentials_are_not_stored_unless_asked(quiz, jebbit, tmp_path):
    """So each call needs them; nothing of them is on disk."""
    register(quiz)
    assert not quiz.client.get(PATH).json()["credentials_remembered"]
    refused = call(quiz, "test", status=422)
    assert refused["errors"] == [
        {
            "place": "client_id",
            "detail": "no credentials are remembered; give them in the body",
        }
    ]
    call(quiz, "test", CREDENTIALS)
    quiz.stop()
    assert_not_on_disk(tmp_path, CLIENT_ID, CLIENT_SECRET)


def test_credentials_that_are_to_be_remembered_are_encrypted_and_can_be_forgotten(
    quiz, jebbit, tmp_path
):
    """With the business that is meant; a restart does not lose them."""
    jebbit.businesses.add("biz2")
    made = register(quiz, business_id=BUSINESS, remember=True)
    shown = quiz.client.get(PATH).json()
    assert shown == {
        "integration": "spring-quiz",
        "jebbit_id": made["jebbit_id"],
        "credentials_remembered": True,
        "registered_at": made["registered_at"],
    }
    call(quiz, "test")
    assert jebbit.journal[-1][1]["x-jebbit-business"] == BUSINESS

    assert quiz.client.delete(f"{PATH}/credentials").status_code == 204
    call(quiz, "test", status=422)
    assert quiz.client.get(PATH).json() == {**shown, "credentials_remembered": False}
    quiz.stop()
    assert_not_on_disk(tmp_path, CLIENT_ID, CLIENT_SECRET)


def assert_not_on_disk(place: Path, *texts: str) -> None:
    for file in place.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        assert not [each for each in texts if each.encode() in content], file


def test_a_backfill_is_started(quiz, jebbit):
    """And what Jebbit says of it is shown."""
    made = register(quiz, remember=True)
    assert call(quiz, "backfill") == {
        "jebbit_id": made["jebbit_id"],
        "backfill_id": "backfill1",
        "status": "processing",
    }
    assert jebbit.backfills == [made["jebbit_id"]]


@pytest.mark.parametrize(
    ("configured", "given", "registered"),
    [
        ("us", None, "us"),
        ("eu", "eu", "eu"),
        (None, "eu", "eu"),
        (None, None, None),
        ("us", "eu", None),
    ],
)
def test_the_region_is_the_integration_s_or_is_asked_for(
    service, jebbit, configured, given, registered
):
    """Never guessed, and never another than the one that people are counted to."""
    quiz = service(jebbit_api_url=jebbit.url)
    quiz.create_integration(jebbit={"region": configured})
    answer = register(quiz, 201 if registered else 422, region=given)
    if registered:
        assert [each["region"] for each in jebbit.integrations.values()] == [registered]
    else:
        assert [each["place"] for each in answer["errors"]] == ["region"]
        assert jebbit.journal == []


def test_an_address_that_is_not_https_is_not_registered(service):
    """Before anything is asked of Jebbit itself; the answer says which setting is missing."""
    quiz = service()
    quiz.create_integration()
    assert "set PUBLIC_URL to the https:// address" in register(quiz, 409)["detail"]


def test_the_public_address_is_registered(service, jebbit):
    """Not the one by which the person on call reaches the service."""
    quiz = service(jebbit_api_url=jebbit.url, public_url="https://hooks.example.com/")
    quiz.create_integration()
    assert register(quiz)["webhook_url"] == "https://hooks.example.com/webhooks/jebbit/spring-quiz"


def test_it_is_not_registered_twice_by_mistake(quiz, jebbit):
    """Jebbit would send everything twice; by force it can be, and both secrets are valid then."""
    first = register(quiz)
    assert first["jebbit_id"] in register(quiz, 409)["detail"]
    assert len(jebbit.integrations) == 1
    again = quiz.client.post(f"{PATH}/register?force=true", json=CREDENTIALS).json()
    assert quiz.client.get(PATH).json()["jebbit_id"] == again["jebbit_id"] != first["jebbit_id"]
    assert len(secrets_shown(quiz)) == 3


@pytest.mark.parametrize("force", ["", "?force=true"])
def test_two_who_register_at_once_leave_one_at_jebbit(quiz, jebbit, force):
    """As by a second click: two would let Jebbit send everything twice."""
    jebbit.listing = asyncio.Barrier(2)
    with ThreadPoolExecutor(2) as people:
        answers = list(
            people.map(
                lambda _: quiz.client.post(f"{PATH}/register{force}", json=CREDENTIALS), range(2)
            )
        )
    jebbit.listing = None
    assert sorted(each.status_code for each in answers) == [201, 409]
    (theirs,) = jebbit.integrations
    assert quiz.client.get(PATH).json()["jebbit_id"] == theirs
    assert len(secrets_shown(quiz)) == 2
    call(quiz, "test", CREDENTIALS)


def test_nothing_stays_at_jebbit_of_what_is_deleted_meanwhile(quiz, jebbit):
    """Its webhooks would be answered 404, and nothing here would know of it."""
    jebbit.listing = asyncio.Barrier(2)
    with ThreadPoolExecutor(1) as colleague:
        made = colleague.submit(quiz.client.post, f"{PATH}/register", json=CREDENTIALS)
        wait_for(lambda: jebbit.listing.n_waiting, 10, "it looks what is at Jebbit")
        assert quiz.client.delete("/integrations/spring-quiz").status_code == 204
        quiz.create_integration(name="Another")
        asked = quiz.client.post("/integrations/another/jebbit/register", json=CREDENTIALS)
        assert asked.status_code == 201
        assert made.result().status_code == 404
    assert [*jebbit.integrations] == [asked.json()["jebbit_id"]]


def test_what_jebbit_made_without_a_secret_is_kept(quiz, jebbit):
    """As in Jebbit's own example: its id is known, the secret is asked for, nothing made twice."""
    jebbit.shows_secret = jebbit.tells_secret = False
    made = register(quiz)
    assert made["webhook_secret"] is None
    assert made["jebbit_id"] in made["then"]
    assert "add it by POST .../webhook-secrets" in made["then"]
    assert quiz.client.get(PATH).json()["jebbit_id"] == made["jebbit_id"]
    assert len(secrets_shown(quiz)) == 1
    register(quiz, 409)
    register(quiz, 409)
    assert len(jebbit.integrations) == 1


def test_a_secret_that_jebbit_shows_later_is_fetched(quiz, jebbit):
    """The answer to making one may leave it out, the one to showing it may not."""
    jebbit.shows_secret = False
    made = register(quiz)
    [theirs] = jebbit.integrations.values()
    assert made["webhook_secret"] == "****" + theirs["shared_secret"][-4:]
    assert made["webhook_secret"] in secrets_shown(quiz)


@pytest.mark.parametrize(
    "answer", [Response(status_code=502), JSONResponse({}, 201), JSONResponse({"data": {}}, 201)]
)
def test_what_was_made_though_the_answer_was_lost_is_found(quiz, jebbit, answer):
    """One that is new there and posts here is the one that was made."""
    create = f"POST {INTEGRATIONS}"

    class Made(Response):
        async def __call__(self, scope, receive, send):
            jebbit.integrations["made"] = {
                "endpoint": f"{quiz.url}/webhooks/jebbit/spring-quiz",
                "region": "us",
                "shared_secret": "a-secret-of-jebbit-0123456789abcdef",
            }
            await answer(scope, receive, send)

    jebbit.answers[create] = Made()
    made = register(quiz)
    assert (made["jebbit_id"], made["webhook_secret"]) == ("made", "****cdef")


def test_what_is_there_already_is_not_made_again(quiz, jebbit):
    """It is named; it can be taken as it is, or removed."""
    first = register(quiz)["jebbit_id"]
    quiz.client.delete("/integrations/spring-quiz").raise_for_status()
    quiz.create_integration()
    told = register(quiz, 409)["detail"]
    assert f"in its integration {first}" in told
    assert len(jebbit.integrations) == 1
    taken = register(quiz, jebbit_id=first)
    assert taken["jebbit_id"] == first
    assert taken["webhook_secret"] in secrets_shown(quiz)
    assert len(jebbit.integrations) == 1


@pytest.mark.parametrize(("theirs", "status"), [("other", 422), ("none", 409)])
def test_only_what_posts_here_is_taken(quiz, jebbit, theirs, status):
    """Its answers would be sought here in vain."""
    jebbit.integrations["other"] = {"endpoint": "https://example.com", "shared_secret": "s" * 34}
    register(quiz, status, jebbit_id=theirs)
    assert quiz.client.get(PATH).status_code == 404


def test_orphans_are_listed_and_removed(quiz, jebbit):
    """What posts here and is not the registered one; nothing else can be removed."""
    first = register(quiz, remember=True)["jebbit_id"]
    second = call_forced(quiz)["jebbit_id"]
    jebbit.integrations["other"] = {"endpoint": "https://example.com", "shared_secret": "s" * 34}
    listed = call(quiz, "orphans", CREDENTIALS, 200)
    assert listed["registered"] == second
    assert [each["jebbit_id"] for each in listed["orphans"]] == [first]
    call(quiz, f"orphans/{second}/remove", CREDENTIALS, 409)
    call(quiz, "orphans/other/remove", CREDENTIALS, 422)
    call(quiz, "orphans/nothing/remove", CREDENTIALS, 409)
    gone = quiz.client.post(f"{PATH}/orphans/{first}/remove", json=CREDENTIALS)
    assert gone.status_code == 204
    assert jebbit.integrations.keys() == {second, "other"}
    assert call(quiz, "orphans", CREDENTIALS, 200)["orphans"] == []


def call_forced(quiz):
    answer = quiz.client.post(f"{PATH}/register?force=true", json=CREDENTIALS)
    assert answer.status_code == 201
    return answer.json()


def test_nothing_is_made_where_its_secret_finds_no_room(quiz, jebbit):
    """Eight are the most; the ninth would be lost, and its integration an orphan."""
    for number in range(7):
        secret = {"secret": f"a-webhook-secret-number-{number}"}
        quiz.client.post("/integrations/spring-quiz/webhook-secrets", json=secret)
    assert len(secrets_shown(quiz)) == 8
    told = register(quiz, 422)
    assert [each["place"] for each in told["errors"]] == ["jebbit.webhook_secrets"]
    assert jebbit.journal == []


@pytest.mark.parametrize("status", [404, 405])
def test_a_jebbit_that_lists_nothing_can_be_registered_at(quiz, jebbit, status):
    """Then only what is registered here is known."""
    jebbit.answers[f"GET {INTEGRATIONS}"] = Response(status_code=status)
    assert register(quiz)["webhook_secret"]


def test_a_token_that_is_refused_may_lack_its_business(quiz, jebbit):
    """401 after a good token is not about the client secret."""
    jebbit.answers[INTEGRATIONS] = Response(status_code=401)
    told = register(quiz, 422)
    assert [each["place"] for each in told["errors"]] == ["business_id"]


def test_the_address_of_no_jebbit_is_told(quiz, jebbit):
    """404 to the call for a token is not about the integration."""
    jebbit.answers["/api/v1/auth"] = Response(status_code=404)
    assert "look at JEBBIT_API_URL" in register(quiz, 502)["detail"]


def test_a_registration_is_gone_with_its_integration(quiz, jebbit):
    """A later one of the same name starts anew."""
    register(quiz, remember=True)
    assert quiz.client.delete("/integrations/spring-quiz").status_code == 204
    assert quiz.client.get(PATH).status_code == 404
    quiz.create_integration()
    assert quiz.client.get(PATH).json()["detail"].startswith("spring-quiz was not registered here")
    call(quiz, "test", CREDENTIALS, status=409)


def test_wrong_credentials_are_named(quiz, jebbit):
    """Those given, and those remembered that Jebbit no longer knows; no secret is repeated."""
    refused = call(quiz, "register", WRONG, 422)
    assert [each["place"] for each in refused["errors"]] == ["client_secret"]
    assert WRONG["client_secret"] not in str(refused)
    register(quiz, remember=True)
    jebbit.answers["/api/v1/auth"] = Response(status_code=401)
    assert "remembered" in call(quiz, "test", status=422)["detail"]


@pytest.mark.parametrize(
    ("theirs", "ours", "told"),
    [
        (400, 422, "Check region and additional_options"),
        (403, 422, "Give the business_id that is meant"),
        (404, 409, "Jebbit does not know it"),
        (429, 502, "Try again"),
        (500, 502, "look at Jebbit first"),
    ],
)
def test_an_error_of_jebbit_says_what_to_do(quiz, jebbit, theirs, ours, told):
    """And nothing is stored."""
    jebbit.answers[INTEGRATIONS] = Response(status_code=theirs)
    assert told in register(quiz, ours)["detail"]
    assert quiz.client.get(PATH).status_code == 404
    assert len(secrets_shown(quiz)) == 1


def test_what_changed_at_jebbit_is_told(quiz, jebbit):
    """An integration that is not active there, or was deleted there."""
    made = register(quiz, remember=True)
    jebbit.integrations[made["jebbit_id"]]["is_active"] = False
    assert "must be active there" in call(quiz, "backfill", status=422)["detail"]
    del jebbit.integrations[made["jebbit_id"]]
    assert "register?force=true" in call(quiz, "test", status=409)["detail"]


def test_a_jebbit_that_cannot_be_reached_is_told(service):
    """As a gateway's trouble, not as a defect of ours."""
    quiz = service(jebbit_api_url="http://127.0.0.1:1")
    quiz.create_integration()
    assert "no usable answer" in register(quiz, 502)["detail"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_secret": ""},
        {"client_id": "a\nb"},
        {"business_id": "a b"},
        {"region": "asia"},
        {"additional_options": {"hash": True}},
        {"is_active": True},
    ],
)
def test_a_wrong_body_is_refused(quiz, jebbit, wrong):
    """With its place, and before Jebbit is asked."""
    refused = register(quiz, 422, **wrong)
    assert refused["errors"][0]["place"].startswith(next(iter(wrong)))
    assert jebbit.journal == []


def test_no_secret_is_in_an_answer_or_a_log_line(quiz, jebbit, caplog, capsys):
    """Neither the client's, nor the token, nor Jebbit's shared secret."""
    with caplog.at_level(logging.DEBUG):
        texts = [str(register(quiz, remember=True)), str(call(quiz, "test"))]
        texts += [str(call(quiz, "backfill")), str(call(quiz, "test", WRONG, 422))]
        texts += [quiz.client.get(each).text for each in (PATH, "/integrations")]
    texts += [caplog.text, *capsys.readouterr()]
    (theirs,) = jebbit.integrations.values()
    for secret in (CLIENT_SECRET, WRONG["client_secret"], jebbit.token, theirs["shared_secret"]):
        assert secret not in "".join(texts)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/register"),
        ("POST", "/test"),
        ("POST", "/backfill"),
        ("GET", ""),
        ("DELETE", "/credentials"),
    ],
)
def test_only_who_has_the_token_may(shared, create, method, path):
    """As everywhere in the ops API; an unknown integration is a 404."""
    body = None if method != "POST" else CREDENTIALS
    its = f"/integrations/{create()}/jebbit{path}"
    assert shared.anyone.request(method, its, json=body).status_code == 401
    gone = f"/integrations/nothing/jebbit{path}"
    assert shared.client.request(method, gone, json=body).status_code == 404
