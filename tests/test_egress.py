"""Requests take the way out that settings name, and a proxy on it sees nothing of them."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.cordial.client import CordialClient
from app.cordial.errors import AccessRefused, CordialError, NoAnswer, ProxyRefuses, Unavailable
from app.egress import NoProxy, Proxy, Routes, exit_address, own_address
from app.pool import client_on, open_pool
from tests.proxies import certificate, listening, recording_proxy
from tests.table import table

CONTACT: dict[str, Any] = {"channels": {"email": {"address": "ann@example.com"}}}
BODY = b'{"success": true, "cID": "1"}'


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    return certificate(tmp_path_factory.mktemp("tls"))


@asynccontextmanager
async def cordial(tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Run a server that takes every contact; yield its address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)
            await reader.read(65_536)

    async with listening(answer, tls) as port:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"


async def upserted(routes: Routes, url: str) -> str | None:
    """Send a contact by these routes; return the id that Cordial gives it."""
    async with open_pool(1, routes) as pool:
        client = CordialClient(pool, f"{url}/v2", "key-of-cordial", timeout=5)
        return (await client.upsert(CONTACT, tries=1)).contact_id


@pytest.mark.parametrize("of_proxy", ["http", "https"])
async def test_a_proxy_sees_a_tunnel_and_nothing_in_it(of_proxy, trusted, monkeypatch):
    """TLS is spoken with Cordial itself; the proxy may be reached by TLS too."""
    file, tls = trusted
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    async with (
        cordial(tls) as url,
        recording_proxy(tls if of_proxy == "https" else None, user="ann:wörd@1") as proxy,
    ):
        text = proxy.url.replace("wörd@1", "w%C3%B6rd%401")
        routes = Routes(cordial=Proxy.read("CORDIAL_PROXY_URL", text))
        assert await upserted(routes, url) == "1"
    assert proxy.asked == [f"CONNECT {url.removeprefix('https://')}"]
    assert len(proxy.seen) > 500
    assert b"key-of-cordial" not in proxy.seen
    assert b"ann@example" not in proxy.seen


async def test_plain_http_goes_through_too():
    """As to a stand-in of Cordial's; the credentials stay with the proxy."""
    async with cordial() as url, recording_proxy(user="ann:word") as proxy:
        routes = Routes(http=Proxy.read("HTTP_PROXY", proxy.url))
        assert await upserted(routes, url) == "1"
        assert proxy.asked == [f"POST {url}/v2/contacts"]
        wrong = Routes(http=Proxy.read("HTTP_PROXY", proxy.url.replace("word", "other")))
        with pytest.raises(AccessRefused, match="answered 407"):
            await upserted(wrong, url)


@pytest.mark.parametrize(
    ("refusal", "kind", "words"),
    [
        (407, ProxyRefuses, "it does not know the user and password given there"),
        (403, ProxyRefuses, "it does not let this service reach 127.0.0.1"),
        (502, Unavailable, "answered 502"),
        (503, Unavailable, "answered 503"),
        (429, Unavailable, "answered 429"),
    ],
)
async def test_what_a_proxy_refuses_is_not_cordials_word(refusal, kind, words):
    """It says which proxy and setting, never the password; what may pass is tried again."""
    async with recording_proxy(user="ann:word") as proxy:
        proxy.refusal = refusal
        routes = Routes(cordial=Proxy.read("CORDIAL_PROXY_URL", proxy.url))
        with pytest.raises(CordialError) as refused:
            await upserted(routes, "https://127.0.0.1:1")
    assert type(refused.value) is kind
    assert words in refused.value.message
    assert "(CORDIAL_PROXY_URL)" in refused.value.message
    assert "word@" not in refused.value.message


async def test_a_proxy_that_is_away_is_tried_again():
    """As Cordial itself would be."""
    routes = Routes(cordial=Proxy.read("CORDIAL_PROXY_URL", "127.0.0.1:1"))
    with pytest.raises(NoAnswer):
        await upserted(routes, "https://127.0.0.1:2")


async def test_others_do_not_go_by_cordials_proxy():
    """Jebbit's API and notices take the way of HTTP_PROXY and HTTPS_PROXY."""
    async with cordial() as url, recording_proxy() as own, recording_proxy() as common:
        routes = Routes(
            cordial=Proxy.read("CORDIAL_PROXY_URL", own.url),
            http=Proxy.read("HTTP_PROXY", common.url),
        )
        async with open_pool(2, routes) as pool, client_on(pool) as http:
            assert (await http.post(f"{url}/x", content=b"x")).status_code == 200
            await CordialClient(pool, f"{url}/v2", "key", timeout=5).upsert(CONTACT)
    assert (own.asked, common.asked) == ([f"POST {url}/v2/contacts"], [f"POST {url}/x"])


@table(
    ("listed", "url", "without"),
    [
        ("", "https://api.cordial.io", False),
        ("*", "https://api.cordial.io", True),
        ("cordial.io", "https://api.cordial.io", True),
        (".cordial.io", "https://api.cordial.io", True),
        ("*.cordial.io", "https://API.cordial.io", True),
        ("other.example, cordial.io ", "https://cordial.io", True),
        ("cordial.io", "https://notcordial.io", False),
        ("api.cordial.io:443", "https://api.cordial.io", True),
        ("api.cordial.io:8443", "https://api.cordial.io", False),
        (".", "https://api.cordial.io", False),
        ("127.0.0.1", "http://127.0.0.1:9100", True),
        ("127.0.0.1:9100", "http://127.0.0.1:9100", True),
        ("10.0.0.0/8", "http://10.1.2.3", True),
        ("10.0.0.0/8", "http://11.1.2.3", False),
        ("10.0.0.0/8", "http://ten.example", False),
        ("::1", "http://[::1]:9100", True),
        ("[::1]:9100", "http://[::1]:9100", True),
        ("[::1]:9101", "http://[::1]:9100", False),
        ("fd00::/8", "http://[fd00::7]", True),
    ],
)
def test_no_proxy_means_what_it_means_to_others(listed, url, without):
    """Names with all below them, addresses, networks, ports, and * for all."""
    routes = Routes(
        https=Proxy.read("HTTPS_PROXY", "proxy.example:3128"),
        http=Proxy.read("HTTP_PROXY", "proxy.example:3128"),
        without=NoProxy(listed),
    )
    assert (routes.to_cordial(httpx.URL(url)) is None) is without


def test_cordials_own_proxy_comes_first():
    """Whoever names one for Cordial alone means it, whatever NO_PROXY says to others."""
    own, common = (Proxy.read(each, f"{each}.example:1") for each in ("one", "two"))
    routes = Routes(cordial=own, https=common, without=NoProxy("*"))
    assert routes.to_cordial(httpx.URL("https://api.cordial.io")) is own
    assert Routes(https=common).to_cordial(httpx.URL("https://api.cordial.io")) is common
    assert Routes(http=common).to_cordial(httpx.URL("https://api.cordial.io")) is None


@pytest.mark.parametrize(
    ("tells", "address"),
    [
        (("X-Exit-IP: 203.0.113.7",), "203.0.113.7"),
        (("Via: 1.1 proxy", "x-proxy-address: 2001:db8::7"), "2001:db8::7"),
        (("X-Forwarded-For: 10.0.0.1", "X-Client-IP: 10.0.0.2"), None),
        ((), None),
    ],
)
async def test_the_address_it_leaves_by_is_taken_from_the_proxys_word(tells, address):
    """Proxies with fixed addresses tell theirs; the caller's own is not it."""
    async with cordial() as url, recording_proxy(user="ann:word") as proxy:
        proxy.tells = tells
        asked = Proxy.read("CORDIAL_PROXY_URL", proxy.url)
        assert await exit_address(asked, "127.0.0.1", int(url.rpartition(":")[2])) == address


async def test_a_proxy_that_tells_nothing_keeps_no_check_waiting():
    """It is away, or says no."""
    async with recording_proxy() as proxy:
        proxy.refusal = 403
        assert await exit_address(Proxy.read("x", proxy.url), "127.0.0.1", 1) is None
    assert await exit_address(Proxy.read("x", "127.0.0.1:1"), "127.0.0.1", 1) is None


def test_a_proxys_password_is_not_shown():
    """Not where a proxy is printed, nor in the name that messages give it."""
    proxy = Proxy.read("CORDIAL_PROXY_URL", "http://ann:word@proxy.example:3128")
    assert "word" not in repr(proxy)
    assert (proxy.name, proxy.user) == ("proxy.example:3128", ("ann", "word"))


async def test_the_address_that_a_server_sees_is_told():
    """Of a server beside us it is ours; of a name that nobody knows there is none."""
    assert await own_address("127.0.0.1", 9) == ("127.0.0.1", True)
    assert await own_address("nowhere.invalid", 443) is None
