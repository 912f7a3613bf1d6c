"""Signing in, and what a session is good for."""

import sqlite3
from contextlib import closing

import httpx
import pytest

from app.operations.sessions import LASTS_SECONDS
from tests.conftest import OPS_TOKEN
from tests.console.stage import SCRAPER, VIEWER, staged

PAGES = ("/console", "/console/submissions", "/console/integrations", "/console/submissions.csv")


@pytest.fixture
def stranger(stage):
    """Somebody at the console who has not signed in."""
    with httpx.Client(base_url=stage.url, headers={"origin": stage.url}) as client:
        yield client


@pytest.mark.parametrize("path", PAGES)
def test_a_stranger_is_led_to_the_sign_in_and_then_to_the_page(stranger, path):
    """The address that was wanted is kept, with its filters."""
    answer = stranger.get(f"{path}?status=dead")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/console/sign-in?next=%2Fconsole")
    asked = stranger.get(answer.headers["location"])
    assert 'type="password"' in asked.text
    wanted = f"{path}?status=dead"
    let_in = stranger.post("/console/sign-in", data={"token": OPS_TOKEN, "next": wanted})
    assert (let_in.status_code, let_in.headers["location"]) == (303, wanted)
    assert stranger.get(wanted).status_code == 200


@pytest.mark.parametrize(
    ("referer", "leads_to"),
    [
        (
            "{}/console/integrations/spring-quiz/rules?x=1",
            "/console/integrations/spring-quiz/rules",
        ),
        ("https://evil.example/console/erasures", "/console/erasures"),
        ("{}/docs", "/console"),
        ("http://[", "/console"),
        (None, "/console"),
    ],
)
def test_who_was_signed_out_is_told_that_a_form_was_lost(stage, stranger, referer, leads_to):
    """After twelve hours, say; and is led back to its page, of ours alone."""
    headers = {} if referer is None else {"referer": referer.format(stage.url)}
    before = stage.ops.get("/integrations/spring-quiz").json()
    path = "/console/integrations/spring-quiz/pause"
    answer = stranger.post(path, headers=headers, follow_redirects=True)
    assert "so nothing was changed" in answer.text
    assert f'name="next" value="{leads_to}' in answer.text
    assert stage.ops.get("/integrations/spring-quiz").json() == before


def test_the_root_leads_to_the_console(stranger):
    """So that nobody must know the address."""
    assert stranger.get("/").headers["location"] == "/console"


def test_the_cookie_is_out_of_reach_and_holds_no_token(stage, stranger):
    """No script, no other site, no other path gets it; nobody reads the token out of it."""
    answer = stranger.post("/console/sign-in", data={"token": OPS_TOKEN})
    cookie = answer.headers["set-cookie"]
    kept = {each.strip().lower() for each in cookie.split(";")}
    assert {"httponly", "samesite=lax", "path=/console", f"max-age={LASTS_SECONDS:.0f}"} <= kept
    assert "secure" not in kept  # the stage is reached by plain http
    assert OPS_TOKEN not in cookie


def test_the_cookie_is_secure_where_the_outside_uses_https(tmp_path):
    """PUBLIC_URL says so."""
    with staged(tmp_path, run_worker=False, public_url="https://sync.example.com") as made:
        answer = httpx.post(
            f"{made.url}/console/sign-in",
            data={"token": OPS_TOKEN},
            headers={"origin": "https://sync.example.com"},
        )
    assert "; Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize("token", ["", "wrong", OPS_TOKEN[:-1], "é", "x" * 5000])
def test_a_wrong_token_is_told_and_not_shown(stage, stranger, token):
    """The page says what to do, keeps nobody, and repeats nothing of what was typed."""
    stage.app.state.console.context.slowdown.free = 10_000
    answer = stranger.post("/console/sign-in", data={"token": token})
    assert answer.status_code == 401
    assert 'role="alert"' in answer.text
    assert "set-cookie" not in answer.headers
    assert not token or token not in answer.text


def test_a_token_for_metrics_opens_no_page(stage, stranger):
    """It is good for /metrics alone."""
    answer = stranger.post("/console/sign-in", data={"token": SCRAPER})
    assert answer.status_code == 403
    assert "role metrics" in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "kept",
    ["", "x", "é", "gAAAAA", "a" * 10_000, "é" * 10, "null", '["ops",1,2]'],
)
def test_a_made_up_session_is_none(stage, kept):
    """Whatever the cookie holds."""
    headers = {"cookie": f"console_session={kept}".encode()}
    assert httpx.get(f"{stage.url}/console", headers=headers).status_code == 303


def test_a_session_ends(stage, monkeypatch):
    """After twelve hours, or as soon as its token is another one."""
    sessions = stage.app.state.console.context.sessions
    begun = sessions.begin("vera")
    assert sessions.resume(begun, "local").name == "vera"
    later = sessions._clock() + LASTS_SECONDS
    with monkeypatch.context() as patched:
        patched.setattr(sessions, "_clock", lambda: later)
        assert sessions.resume(begun, "local") is None
    token = sessions._tokens.named("vera")
    changed = type(token)(token.name, token.role, "another-token-of-vera")
    with monkeypatch.context() as patched:
        patched.setattr(sessions._tokens, "_tokens", [(b"", changed)])
        assert sessions.resume(begun, "local") is None
        patched.setattr(sessions._tokens, "_tokens", [])
        assert sessions.resume(begun, "local") is None


def test_signing_out_ends_it_in_the_browser(stage):
    """The cookie is gone, and the next page asks for a token."""
    with stage.visit() as client:
        assert client.post("/console/sign-out").status_code == 303
        assert client.get("/console").status_code == 303


def test_two_consoles_on_one_host_do_not_sign_each_other_out(stage, tmp_path):
    """A browser sends one host's cookies to all its ports; neither can use the other's session."""
    key = "another-secret-key-of-the-tests-0123456789"
    with (
        staged(tmp_path, run_worker=False, secret_key=key) as other,
        httpx.Client() as browser,
    ):

        def to(one, path, **data):
            return browser.post(f"{one.url}{path}", data=data, headers={"origin": one.url})

        assert to(stage, "/console/sign-in", token=OPS_TOKEN).status_code == 303
        assert browser.get(f"{other.url}/console").status_code == 303
        assert to(other, "/console/sign-in", token=OPS_TOKEN).status_code == 303
        for one in (stage, other):
            assert browser.get(f"{one.url}/console").status_code == 200
        to(stage, "/console/sign-out")
        assert browser.get(f"{stage.url}/console").status_code == 303
        assert browser.get(f"{other.url}/console").status_code == 200
        to(other, "/console/sign-out")
        assert not browser.cookies


def test_an_invitation_is_good_once(stage, stranger):
    """As the demo prints one; without a token, and not for a second person."""
    code = stage.app.state.console.context.sessions.invite("ops")
    answer = stranger.get(f"/console/sign-in/{code}")
    assert answer.headers["location"] == "/console"
    assert stranger.get("/console").status_code == 200
    again = httpx.get(f"{stage.url}/console/sign-in/{code}")
    assert again.status_code == 410
    assert "set-cookie" not in again.headers


def test_who_signs_in_is_written_down(stage, stranger):
    """With the name and the outcome, as every change; and so is a wrong token."""
    stranger.post("/console/sign-in", data={"token": "wrong"})
    with stage.visit(VIEWER):
        pass
    with closing(sqlite3.connect(stage.ledger)) as opened:
        query = "SELECT name, outcome FROM audit WHERE operation = 'console.sign_in'"
        written = set(opened.execute(query))
    assert {("vera", "done"), (None, "wrong_token")} <= written


@pytest.mark.parametrize(
    ("wanted", "leads_to"),
    [
        ("/console/consent?x=1", "/console/consent?x=1"),
        ("/console", "/console"),
        ("//evil.example", "/console"),
        ("/\\evil.example", "/console"),
        ("https://evil.example/console", "/console"),
        ("/consoles", "/console"),
        ("/docs", "/console"),
        ("/console/\r\nset-cookie: a=b", "/console"),
        ("", "/console"),
    ],
)
def test_the_sign_in_leads_to_pages_of_ours_alone(stranger, wanted, leads_to):
    """Nobody can send a link by which the sign-in leads elsewhere."""
    answer = stranger.post("/console/sign-in", data={"token": OPS_TOKEN, "next": wanted})
    assert answer.headers["location"] == leads_to


SAME, OTHER = "same-origin", "cross-site"


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ({"sec-fetch-site": SAME}, True),
        ({"sec-fetch-site": SAME, "origin": "null"}, True),
        ({"sec-fetch-site": OTHER}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": OTHER, "origin": "{url}"}, False),
        ({"origin": "{url}"}, True),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "{url}.evil.example"}, False),
        ({"origin": "null"}, False),
        ({}, False),
    ],
)
def test_changes_are_asked_for_by_our_own_pages_alone(stage, headers, taken):
    """By what the browser says of where a request comes from; one that says nothing is refused."""
    with stage.visit() as client:
        del client.headers["origin"]
        said = {name: value.format(url=stage.url) for name, value in headers.items()}
        answer = client.post("/console/sign-out", headers=said)
    assert answer.status_code == (303 if taken else 403)


def test_a_program_signs_in_without_saying_where_it_comes_from(stage):
    """Its token speaks for it; with the cookie alone it may look, and change nothing."""
    with httpx.Client(base_url=stage.url) as program:
        signed_in = program.post("/console/sign-in", data={"token": OPS_TOKEN})
        assert signed_in.status_code == 303
        assert program.get("/console").status_code == 200
        assert program.post("/console/integrations/strict/pause").status_code == 403


@pytest.mark.parametrize(
    "path", [*PAGES, "/", "/console/sign-in", "/console/static/console.css", "/console/nothing"]
)
def test_every_answer_carries_the_policy(stage, admin, path):
    """Nothing is loaded from elsewhere, nothing inline runs, nobody frames a page."""
    for client in (admin, httpx):
        answer = client.get(path if client is admin else stage.url + path)
        policy = dict(
            each.strip().split(" ", 1)
            for each in answer.headers["content-security-policy"].split(";")
        )
        assert policy["default-src"] == "'none'"
        assert policy["frame-ancestors"] == "'none'"
        assert {policy[f"{each}-src"] for each in ("script", "style", "img", "connect")} == {
            "'self'"
        }
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        if "static" not in path:
            assert answer.headers["cache-control"] == "no-store"


def test_a_page_that_is_not_there_is_told_in_the_same_form(admin):
    """Whatever the method."""
    for method in ("GET", "POST", "PUT", "DELETE"):
        answer = admin.request(method, "/console/nothing/here")
        assert answer.status_code == 404
        assert "There is nothing here" in answer.text
    assert admin.get("/console/static/nothing.js").status_code == 404


def test_the_console_can_be_turned_off(tmp_path):
    """CONSOLE=false: neither pages nor /docs."""
    with staged(tmp_path, run_worker=False, console=False) as made:
        for path in ("/", "/console", "/console/sign-in", "/docs"):
            assert httpx.get(made.url + path).status_code == 404
