"""The way out: which requests go through a proxy, and connections that take it.

`HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` mean what they mean to other programs; a proxy for
Cordial alone comes before them.
"""

import asyncio
import socket
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

import httpx

from app.addresses import split_url

_FORM = "http://host:port or http://user:password@host:port, with signs in either as %40 and so on"
_PORTS = {"http": 80, "https": 443}
_ASK_SECONDS = 5.0
_LONGEST_HEAD = 16 * 1024


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy, and the setting that names it; `name` is what may be shown of it."""

    setting: str
    url: str
    name: str
    user: tuple[str, str] | None = field(default=None, repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What tells the proxy who asks."""
        if self.user is None:
            return {}
        credentials = b64encode(":".join(self.user).encode()).decode()
        return {"Proxy-Authorization": f"Basic {credentials}"}

    @classmethod
    def read(cls, setting: str, text: str) -> "Proxy":
        """Read a proxy's address; without a scheme it is http://, as other programs take it.

        Raises:
            ValueError: it is none; the message repeats nothing of it.
        """
        url = split_url(text if "://" in text else f"http://{text}", _FORM)
        user = unquote(url.username) if url.username is not None else None
        if url.path.strip("/") or url.query or url.fragment or url.netloc.count("@") > 1:
            raise ValueError(f"write {_FORM}")
        if user is not None and (not user or ":" in user):
            raise ValueError("its user may be neither empty nor hold a colon")
        name = url.netloc.rpartition("@")[2]
        credentials = None if user is None else (user, unquote(url.password or ""))
        return cls(setting, f"{url.scheme}://{name}", name, credentials)


class ProxyRefused(httpx.ProxyError):
    """The proxy itself answered, instead of opening a way to the server."""

    def __init__(self, proxy: Proxy, status: int) -> None:
        super().__init__(f"the proxy {proxy.name} answered {status}")
        self.proxy = proxy
        self.status = status


class NoProxy:
    """The hosts that are reached without a proxy, as `NO_PROXY` lists them.

    Each is a name, with all names below it; an address; a network; any with a port; or `*`.
    """

    def __init__(self, text: str = "") -> None:
        self._entries = [each.strip().lower() for each in text.split(",") if each.strip()]

    def names(self, url: httpx.URL) -> bool:
        """Say whether an address is among them."""
        host, port = url.host.lower().rstrip("."), url.port or _PORTS[url.scheme]
        return any(_covers(each, host, port) for each in self._entries)


def _covers(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    with suppress(ValueError):  # one of them is a name, or has a port
        return ip_address(host) in ip_network(entry.strip("[]"), strict=False)
    name, colon, wanted = entry.rpartition(":")
    if colon and wanted.isdecimal():
        return int(wanted) == port and _covers(name, host, port)
    name = entry.removeprefix("*").removeprefix(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


@dataclass(frozen=True, slots=True)
class Routes:
    """Which proxy takes a request to where; None: straight on."""

    cordial: Proxy | None = None
    https: Proxy | None = None
    http: Proxy | None = None
    without: NoProxy = field(default_factory=NoProxy)

    @property
    def straight(self) -> bool:
        """Whether there is no proxy at all."""
        return not (self.cordial or self.https or self.http)

    def to_cordial(self, url: httpx.URL) -> Proxy | None:
        """Return the proxy for a call of Cordial: its own comes before everybody's."""
        return self.cordial or self.to(url)

    def to(self, url: httpx.URL) -> Proxy | None:
        """Return the proxy for any other call."""
        proxy = self.https if url.scheme == "https" else self.http
        return None if proxy is None or self.without.names(url) else proxy


STRAIGHT = Routes()


async def exit_address(proxy: Proxy, host: str, port: int) -> str | None:
    """Ask a proxy for a way to a server; return the address it leaves by, if its answer tells.

    There is no standard for it: proxies with fixed addresses name theirs in a header of their own.
    """
    url = urlsplit(proxy.url)
    headers = {"Host": f"{host}:{port}", **proxy.headers}
    lines = [f"CONNECT {host}:{port} HTTP/1.1", *map(": ".join, headers.items())]
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            reader, writer = await asyncio.open_connection(
                url.hostname,
                url.port or _PORTS[url.scheme],
                ssl=httpx.create_ssl_context() if url.scheme == "https" else None,
                limit=_LONGEST_HEAD,
            )
            try:
                writer.write("\r\n".join([*lines, "", ""]).encode())
                head = await reader.readuntil(b"\r\n\r\n")
            finally:
                writer.close()
    except (OSError, EOFError, asyncio.LimitOverrunError, TimeoutError):
        return None
    return next(_addresses(head.decode("latin-1")), None)


async def own_address(host: str, port: int) -> tuple[str, bool] | None:
    """Return the address that this machine calls a server from, and whether the server sees it.

    It does not if the address is a private one and the server's is not: then a gateway stands
    between, and the server sees that one's. None if the server's name is not known. It sends
    nothing.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, there = found[0]
        with socket.socket(family, kind, protocol) as asked:
            asked.connect(there)  # of UDP: it only chooses the way
            here = asked.getsockname()[0]
    except (OSError, TimeoutError):
        return None
    return here, ip_address(here).is_global or not ip_address(there[0]).is_global


def _addresses(head: str) -> Iterator[str]:
    """Yield what may be the proxy's own address in the head of its answer."""
    for line in head.splitlines()[1:]:
        name, _, value = line.partition(":")
        if not any(each in name.lower() for each in ("client", "forwarded", "real")):
            with suppress(ValueError):
                yield str(ip_address(value.strip()))
