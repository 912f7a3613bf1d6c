"""A service whose way to Cordial is a proxy: what the check and the gate say of it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.proxies import RecordingProxy, recording_proxy
from tests.waiting import wait_for

ANN = {"email": "ann@example.com", "opt_in": "true", "outcome": "Bold"}


@contextmanager
def running() -> Iterator[RecordingProxy]:
    """Run a recording proxy in a thread of its own."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    found: list[RecordingProxy] = []
    stop = asyncio.Event()

    async def run() -> None:
        async with recording_proxy(user="ann:word") as proxy:
            found.append(proxy)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    ready.wait(10)
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture
def proxy() -> Iterator[RecordingProxy]:
    with running() as made:
        yield made


def notes(answer: dict) -> str:
    return " ".join(each["problem"] for each in answer["findings"] if each["level"] == "note")


def test_deliveries_take_the_proxy_and_the_check_says_so(service, proxy, sandbox_server):
    """With the address that Cordial sees, as this proxy tells it."""
    proxy.tells = ("X-Exit-Address: 203.0.113.7",)
    running = service(cordial_proxy_url=proxy.url)
    running.create_integration()
    checked = running.client.post("/integrations/spring-quiz/check").json()
    name = proxy.url.rpartition("@")[2]
    assert f"through the proxy {name} (CORDIAL_PROXY_URL)" in notes(checked)
    assert "Cordial sees 203.0.113.7" in notes(checked)
    assert "word" not in notes(checked)
    [accepted] = running.post(ANN).json()["submissions"]
    assert running.wait(accepted)["status"] == "delivered"
    assert f"POST {sandbox_server.url}/v2/contacts" in proxy.asked


def test_a_proxy_that_refuses_blocks_and_loses_nothing(service, proxy):
    """A person must act; once the proxy lets it through, a check opens the gate again."""
    running = service(http_proxy=proxy.url)
    running.create_integration()
    proxy.user = "ann:another-word"
    [accepted] = running.post(ANN).json()["submissions"]
    path = "/integrations/spring-quiz"
    wait_for(lambda: running.client.get(path).json()["state"] == "blocked")
    reason = running.client.get(path).json()["state_reason"]
    assert "(HTTP_PROXY) answered 407" in reason
    assert running.submission(accepted)["status"] == "pending"
    found = running.client.post(f"{path}/check").json()["findings"][0]
    assert (found["level"], found["place"]) == ("error", "cordial.account_url")
    assert "Mend it at the proxy" in found["remedy"]
    proxy.user = "ann:word"
    assert running.client.post(f"{path}/check").json()["ok"]
    assert running.wait(accepted)["status"] == "delivered"


def test_a_check_without_the_proxy_says_so_too(service, proxy):
    """Where NO_PROXY has Cordial's host, whoever looks for its address need not look there."""
    running = service(http_proxy=proxy.url, no_proxy="127.0.0.0/8")
    running.create_integration()
    checked = running.client.post("/integrations/spring-quiz/check").json()
    assert "Cordial is reached without a proxy" in notes(checked)
    assert proxy.asked == []
