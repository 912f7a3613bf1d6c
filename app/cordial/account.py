"""The account URL a customer knows, and the API's address that follows from it."""

import re
from collections.abc import Set
from urllib.parse import urlsplit

# Cordial's help pages: https://[region.]admin.cordial.io is used through
# https://api.[region.]cordial.io/v2, and `cordial.com` leads to the same place.
_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"  # longer ones are no part of any host's name
_CORDIAL_HOST = re.compile(
    rf"(?:(?P<region>{_LABEL})\.)?admin\.cordial\.(?:io|com)"
    rf"|api\.(?:(?P<api_region>{_LABEL})\.)?cordial\.(?:io|com)"
)


class BadAccountUrl(Exception):
    """The address is not one of a Cordial account; the message says what to give instead."""


def api_base(account_url: str, extra_hosts: Set[str] = frozenset()) -> str:
    """Return the API's base address for an account URL, without a slash at its end.

    Args:
        account_url: as seen in the browser when logged in, or the API's own address.
        extra_hosts: `host:port` of other servers that may be given the key, also by plain http.

    Raises:
        BadAccountUrl: any other host, since the key must not go elsewhere.
    """
    text = account_url.strip()
    try:
        url = urlsplit(text if "://" in text else f"https://{text}")
        host, port = (url.hostname or "").lower(), url.port
    except ValueError:
        raise BadAccountUrl(f"This is no address; {_EXPECTED}") from None
    if url.username is not None or url.password is not None or url.query or url.fragment:
        raise BadAccountUrl(f"Leave out user, password, ? and #; {_EXPECTED}")
    default_port = {"http": 80, "https": 443}.get(url.scheme)
    bracketed = f"[{host}]" if ":" in host else host
    if default_port and f"{bracketed}:{port or default_port}" in extra_hosts:
        return f"{url.scheme}://{url.netloc.lower()}/v2"
    match = _CORDIAL_HOST.fullmatch(host)
    if match is None or url.scheme != "https" or port not in (None, 443):
        raise BadAccountUrl(
            f"This address is no Cordial account; {_EXPECTED}. Another server, such as the "
            "sandbox, must be listed in CORDIAL_EXTRA_HOSTS as host:port."
        )
    region = match["region"] or match["api_region"]
    return f"https://api.{region}.cordial.io/v2" if region else "https://api.cordial.io/v2"


_EXPECTED = "give the account URL as in the browser, such as https://admin.cordial.io"
