"""Under a prefix and on connections that stay open, as a proxy in front needs it."""

import asyncio
import re
import socket
import threading
import time
from contextlib import suppress

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from app.serving import serving
from app.settings import Settings
from tests.conftest import signed
from tests.waiting import wait_for

ANN = {"email": "ann@example.com", "opt_in": "true", "outcome": "Bold"}


@pytest.fixture
def running(service):
    made = service(public_url="https://example.com/a/sync/", run_worker=False)
    made.create_integration()
    return made


def test_everything_is_under_the_prefix_whether_or_not_a_proxy_takes_it_off(running):
    """Pages, API, probes and webhooks; where they are is told with the prefix."""
    hook = running.client.get("/integrations/spring-quiz").json()["webhook_url"]
    assert hook == "https://example.com/a/sync/webhooks/jebbit/spring-quiz"
    for prefix in ("", "/a/sync"):
        for path in ("/docs", "/docs/start.js", "/openapi.json", "/readyz", "/integrations"):
            assert running.client.get(prefix + path).status_code == 200, prefix + path
        path = f"{prefix}/webhooks/jebbit/spring-quiz"
        assert running.client.post(path, **signed({**ANN, "outcome": prefix})).status_code == 202
        assert running.client.get(f"{prefix}/nothing").status_code == 404
    assert running.client.get("/a/syncs/docs").status_code == 404
    assert running.client.get("/a/sync/a/sync/docs").status_code == 404
    described = running.client.get("/openapi.json").json()
    assert described["servers"] == [{"url": "/a/sync", "description": "This service"}]


def test_the_pages_of_the_docs_find_their_parts_under_the_prefix(running):
    """As a browser resolves what they name."""
    page = httpx.URL(f"{running.url}/a/sync/docs")
    for part in re.findall(r'(?:src|href)="([^"]+)"', running.client.get(page).text):
        assert running.client.get(page.join(part)).status_code == 200, part


@pytest.mark.parametrize("inside", ["", "/a/sync"], ids=["taken off", "passed on"])
def test_the_console_stays_under_the_prefix(service, inside):
    """Every address that it sends a browser to, or shows, begins with it."""
    running = service(public_url="http://example.com/a/sync", run_worker=False)
    running.create_integration()
    prefix = "/a/sync"

    def go(method: str, path: str, **form: str) -> httpx.Response:
        """Follow a person's way, through a proxy that takes the prefix off or passes it on."""
        assert path.startswith(f"{prefix}/"), path
        given = inside + path.removeprefix(prefix)
        answer = browser.request(method, given, data=form or None)
        if answer.is_redirect:
            return go("GET", answer.headers["location"])
        assert answer.status_code == 200, path
        return answer

    here = {"sec-fetch-site": "same-origin"}
    with httpx.Client(base_url=running.url, headers=here) as browser:
        assert "token" in go("GET", f"{prefix}/").text
        page = go("POST", f"{prefix}/console/sign-in", token=running.token)
        shown = re.findall(r'(?:src|href|action)="([^"#?]+)', page.text)
        assert len(shown) > 5
        for each in {each for each in shown if not each.endswith("sign-out")}:
            go("GET", httpx.URL(f"http://x{prefix}/console").join(each).path)


@pytest.mark.parametrize("ending", ["", "/"])
def test_a_webhooks_address_may_end_with_a_slash(running, ending):
    """People paste it so; a redirect would lose the body."""
    path = f"/webhooks/jebbit/spring-quiz{ending}"
    assert running.client.post(path, **signed(ANN)).status_code == 202


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_may_ask_for_the_head_alone(running, path):
    """As some load balancers do."""
    answer = running.client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")


def test_idle_connections_are_closed_after_the_time_that_is_set():
    """Not before: a proxy in front gives them up earlier, and meets no closing connection."""
    app = Starlette(routes=[Route("/", lambda _: Response())])
    with serving(app, keep_alive=1) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        address = (host, int(port))
        with (
            socket.create_connection(address, timeout=10) as used,
            socket.create_connection(address, timeout=10) as opened_ahead,
        ):
            used.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert used.recv(65_536).endswith(b"\r\n\r\n")
            began = time.monotonic()
            assert used.recv(65_536) == b""
            assert time.monotonic() - began > 0.9
            with suppress(ConnectionResetError):
                assert opened_ahead.recv(65_536) == b""


def test_what_is_answered_during_the_drain_closes_its_connection():
    """Else a proxy would send another webhook on a connection that is about to close."""
    let_go = threading.Event()

    async def drain() -> None:
        await asyncio.to_thread(let_go.wait, 10)

    app = Starlette(routes=[Route("/", lambda _: Response())])
    app.state.drain = drain
    running = serving(app)
    url = running.__enter__()
    with httpx.Client(base_url=url) as client:
        assert "connection" not in client.get("/").headers
        ending = threading.Thread(target=running.__exit__, args=(None, None, None))
        ending.start()
        try:
            wait_for(lambda: client.get("/").headers.get("connection") == "close")
        finally:
            let_go.set()
            ending.join()


def test_no_prefix_begins_like_a_path_of_the_service(shared):
    """It could not be told whether a proxy has taken it off."""
    paths = shared.anyone.get("/openapi.json").json()["paths"]
    for name in {each.split("/")[1] for each in paths} | {"console", "docs", "openapi.json"}:
        with pytest.raises(ValueError, match=f"its path may not begin with /{name}"):
            Settings(_env_file=None, public_url=f"https://example.com/{name}")
