"""Jebbit's webhook signature.

Source: Jebbit's "Integrations API" guide. Every webhook, tests too, carries
``x-jebbit-signature: t=<unix seconds>,v1=<signature>``; the signature is padded standard base64 of
HMAC-SHA256, keyed with the bytes of the shared secret, over ``<t>.<raw body>``.

Anybody can send anything, so checking is in two steps: `read` judges the header alone, before the
body is read; `Signature.verify` then makes one HMAC for each secret, whatever the header holds.
"""

import base64
import hmac
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

HEADER = "x-jebbit-signature"
TEST_HEADER = "x-jebbit-test"

LONGEST_HEADER = 1024  # characters; Jebbit's own has 59
MOST_SIGNATURES = 4

_SECONDS = re.compile(r"[0-9]{1,12}")


class InvalidSignature(Exception):
    """The webhook is not proven to be Jebbit's. `reason` is for our own counts, not the sender."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Signature(NamedTuple):
    """What a signature header says: the text of `t`, as signed, and its `v1` signatures."""

    signed_at: str
    given: tuple[bytes, ...]

    def check_age(self, now: float, tolerance: float) -> None:
        """Check that it was signed at most `tolerance` seconds before or after `now`.

        Jebbit's sample refuses only old ones. We refuse a future time too: such a signature would
        outlive the window in which repeats of it are remembered.

        Raises:
            InvalidSignature: stale or future.
        """
        age = now - int(self.signed_at)
        if age > tolerance:
            raise InvalidSignature("stale")
        if age < -tolerance:
            raise InvalidSignature("future")

    def verify(self, body: bytes, secrets: Iterable[str]) -> int:
        """Check it against the exact bytes received; return when it was signed, in unix seconds.

        Any of the secrets may match, so that they can rotate. All of them are tried and all
        comparisons made, so that the time taken does not tell which one came close.

        Raises:
            InvalidSignature: made with none of the secrets.
        """
        prefix = self.signed_at.encode() + b"."
        matches = [
            hmac.compare_digest(expected, given)
            for expected in [_expected(prefix, body, secret) for secret in secrets]
            for given in self.given
        ]
        if not any(matches):
            raise InvalidSignature("mismatch")
        return int(self.signed_at)


def sign(*, body: bytes, secret: str, at: int) -> str:
    """Return the header value Jebbit would send for `body` at `at` (unix seconds)."""
    return f"t={at},v1={_expected(b'%d.' % at, body, secret).decode()}"


def read(header: str | None, now: float, tolerance: float) -> Signature:
    """Read a signature header and judge what needs no body.

    Args:
        header: the header's value as received, or None where it is missing.
        now: unix seconds.
        tolerance: how far, in seconds, the signing time may be from `now` in either direction.

    Raises:
        InvalidSignature: missing, malformed, stale or future.
    """
    signature = _parse(header)
    signature.check_age(now, tolerance)
    return signature


def verify(
    *, header: str | None, body: bytes, secrets: Iterable[str], now: float, tolerance: float
) -> int:
    """Check a webhook's signature whole and return when it was signed, in unix seconds.

    Args:
        header: as `read` takes it.
        body: the exact bytes received.
        secrets: the integration's active shared secrets.
        now: unix seconds.
        tolerance: as `read` takes it.

    Raises:
        InvalidSignature: missing, malformed, stale, future, or made with no active secret.
    """
    return read(header, now, tolerance).verify(body, secrets)


def _parse(header: str | None) -> Signature:
    """Read the parts by their names, in any order and spacing."""
    if header is None:
        raise InvalidSignature("missing")
    if len(header) > LONGEST_HEADER or not header.isascii():
        raise InvalidSignature("malformed")
    pairs = [part.partition("=") for part in header.split(",")]
    times = [value.strip() for name, _, value in pairs if name.strip() == "t"]
    given = tuple(value.strip().encode() for name, _, value in pairs if name.strip() == "v1")
    if len(times) != 1 or not 1 <= len(given) <= MOST_SIGNATURES:
        raise InvalidSignature("malformed")
    [signed_at] = times
    if not _SECONDS.fullmatch(signed_at):
        raise InvalidSignature("malformed")
    return Signature(signed_at, given)


def _expected(prefix: bytes, body: bytes, secret: str) -> bytes:
    made = _keyed(secret).copy()
    made.update(prefix)
    made.update(body)  # apart: joining them would copy the body once for each secret
    return base64.b64encode(made.digest())


@lru_cache(maxsize=1_000)
def _keyed(secret: str) -> hmac.HMAC:
    return hmac.new(secret.encode(), digestmod="sha256")  # twice as long as all that follows
