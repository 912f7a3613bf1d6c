"""Jebbit's webhook signature.

Source: Jebbit's "Integrations API" guide. Every webhook, tests too, carries
``x-jebbit-signature: t=<unix seconds>,v1=<signature>``; the signature is padded standard base64 of
HMAC-SHA256, keyed with the bytes of the shared secret, over ``<t>.<raw body>``.
"""

import base64
import hmac
import re
from collections.abc import Iterable
from functools import lru_cache

HEADER = "x-jebbit-signature"
TEST_HEADER = "x-jebbit-test"

_SECONDS = re.compile(r"[0-9]{1,12}")
_USUAL = re.compile(r"t=([0-9]{1,12}),v1=([A-Za-z0-9+/=]+)")  # what Jebbit's sample shows


class InvalidSignature(Exception):
    """The webhook is not proven to be Jebbit's. `reason` is for our own counts, not the sender."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def sign(*, body: bytes, secret: str, at: int) -> str:
    """Return the header value Jebbit would send for `body` at `at` (unix seconds)."""
    return f"t={at},v1={_expected(str(at), body, secret).decode()}"


def verify(
    *, header: str | None, body: bytes, secrets: Iterable[str], now: float, tolerance: float
) -> int:
    """Check a webhook's signature and return when it was signed, in unix seconds.

    Args:
        header: the header's value as received, or None where it is missing.
        body: the exact bytes received.
        secrets: the integration's active shared secrets; any may match, so that they can rotate.
        now: unix seconds.
        tolerance: how far, in seconds, the signing time may be from `now` in either direction.
            Jebbit's sample refuses only old ones; a future time is refused too, else a signature
            could be made to outlive the window in which repeats of it are remembered.

    Raises:
        InvalidSignature: missing, malformed, stale, future, or made with no active secret.
    """
    signed_at, given = _parse(header)
    age = now - int(signed_at)
    if age > tolerance:
        raise InvalidSignature("stale")
    if age < -tolerance:
        raise InvalidSignature("future")
    # Every pair is compared, so that the time taken does not tell which secret came close.
    matches = [
        hmac.compare_digest(_expected(signed_at, body, secret), signature)
        for secret in secrets
        for signature in given
    ]
    if not any(matches):
        raise InvalidSignature("mismatch")
    return int(signed_at)


def _parse(header: str | None) -> tuple[str, list[bytes]]:
    """Return the text of `t`, as signed, and the `v1` signatures, in any order and spacing."""
    if header is None:
        raise InvalidSignature("missing")
    if usual := _USUAL.fullmatch(header):
        return usual[1], [usual[2].encode()]
    if not header.isascii():
        raise InvalidSignature("malformed")
    pairs = [part.strip().partition("=") for part in header.split(",")]
    times = [value.strip() for name, _, value in pairs if name.strip() == "t"]
    signatures = [value.strip().encode() for name, _, value in pairs if name.strip() == "v1"]
    if len(times) != 1 or not _SECONDS.fullmatch(times[0]) or not signatures:
        raise InvalidSignature("malformed")
    return times[0], signatures


def _expected(signed_at: str, body: bytes, secret: str) -> bytes:
    made = _keyed(secret).copy()
    made.update(signed_at.encode() + b"." + body)
    return base64.b64encode(made.digest())


@lru_cache(maxsize=1_000)
def _keyed(secret: str) -> hmac.HMAC:
    return hmac.new(secret.encode(), digestmod="sha256")  # twice as long as all that follows
