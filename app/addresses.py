"""Addresses as a person writes them: checked, or refused with what to write."""

import re
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

_HOST_PORT = re.compile(r"([a-z0-9._-]+|\[[0-9a-f:.]+\]):([0-9]{1,5})")
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?\.?")
_LONGEST_NAME, _LONGEST_LABEL = 253, 63  # characters that DNS knows
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def split_url(value: str, form: str) -> SplitResult:
    """Return the parts of an http:// or https:// address.

    Raises:
        ValueError: it is none; the message says to write one in this form, and repeats nothing.
    """
    wrong = ValueError(f"write {form}")
    try:
        url = urlsplit(value)
        port = url.port
    except ValueError:  # a port that is none, or a bracket that is not closed
        raise wrong from None
    host = url.hostname or ""
    plain = value.isascii() and value.isprintable() and " " not in value and "\\" not in value
    if url.scheme not in ("http", "https") or not plain or port == 0 or not _is_host(host):
        raise wrong
    return url


def web_address(value: str, *, only_https: bool) -> str:
    """Return an address to post to; http:// may be kept to this machine.

    Raises:
        ValueError: as `split_url`.
    """
    form = "an https:// address; http:// only for a stand-in on localhost"
    url = split_url(value, form if only_https else "an address such as https://hooks.example.com/x")
    if only_https and url.scheme != "https" and url.hostname not in _LOOPBACK:
        raise ValueError(f"write {form}")
    return value


def base_address(value: str, taken: Iterable[str]) -> str:
    """Return an address that paths are added to, without a slash at its end.

    Args:
        value: the address, whose path may be a prefix, as in https://example.com/sync.
        taken: names that the prefix may not begin with.

    Raises:
        ValueError: as `split_url`; or it holds more than host, port and prefix.
    """
    form = "the address alone, such as https://sync.example.com or https://example.com/sync"
    url = split_url(value, form)
    prefix = url.path.strip("/")
    if url.query or url.fragment or "@" in url.netloc or "//" in url.path or "%" in url.path:
        raise ValueError(f"write {form}")
    if (first := prefix.partition("/")[0]) in taken:
        raise ValueError(f"its path may not begin with /{first}, which is the service's own")
    return value.rstrip("/")


def host_and_port(value: str) -> str:
    """Return host:port in small letters.

    Raises:
        ValueError: it is something else.
    """
    match = _HOST_PORT.fullmatch(value.lower())
    if match is None or not _can_be_looked_up(match[1]) or not 0 < int(match[2]) < 65536:
        raise ValueError(f"write host:port, not {value}")
    return match[0]


def listening_host(value: str) -> str:
    """Return an address to listen on.

    Raises:
        ValueError: it is neither an IP address nor a name.
    """
    if not _is_host(value) or value.isdecimal():
        raise ValueError("write an IP address, such as 0.0.0.0 for all, without scheme or port")
    return value


def trusted_proxies(value: str) -> str:
    """Return which proxies may say who calls: addresses and networks, or * for all.

    Raises:
        ValueError: one is neither.
    """
    given = [each.strip() for each in value.split(",") if each.strip()]
    for each in given:
        try:
            if each != "*":
                ip_network(each)
        except ValueError:
            raise ValueError(
                f"write IP addresses or networks such as 10.0.0.0/8, or *; not {each}"
            ) from None
    return ",".join(given)


def _is_host(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        numeric = re.fullmatch(r"[0-9.]+", value)  # 10.0.0.300 is no name either
        return bool(_NAME.fullmatch(value)) and not numeric and _can_be_looked_up(value)
    return True


def _can_be_looked_up(name: str) -> bool:
    labels = name.removesuffix(".").split(".")
    return len(name) <= _LONGEST_NAME and all(0 < len(each) <= _LONGEST_LABEL for each in labels)
