"""No head of a request, however odd, meets a defect: it is taken or refused."""

import socket
import time
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.jebbit.signature import HEADER, TEST_HEADER, sign
from tests.conftest import WEBHOOK_SECRET

_BODY = b'{"n": 1}'
_odd = st.binary(max_size=40) | st.sampled_from(
    [
        b"0" * 5_000,
        b"9" * 5_000,
        b"-1",
        b"+8",
        b"0x8",
        b"8, 8",
        b"\xc2\xb2",
        b"chunked",
        b"gzip, chunked",
        b"100-continue",
        b"t=1,v1=" + b",v1=" * 250,
        b"t=" + b"9" * 5_000,
        b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01",
        b"close",
        b"upgrade",
        b"websocket",
        b"h2c",
    ]
)
_names = st.sampled_from(
    [
        *(name.encode() for name in (HEADER, TEST_HEADER)),
        b"content-length",
        b"transfer-encoding",
        b"content-encoding",
        b"content-type",
        b"expect",
        b"host",
        b"connection",
        b"upgrade",
        b"traceparent",
        b"tracestate",
        b"x-request-id",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"cookie",
        b"authorization",
    ]
)
_addresses = st.sampled_from(
    [
        b"/webhooks/jebbit/%b",
        b"/webhooks/jebbit/%b?%%ff=%%00",
        b"/webhooks/jebbit/%%00",
        b"/webhooks/jebbit/%%ff%%fe",
        b"http://[::1/webhooks/jebbit/%b",
        b"//webhooks/jebbit/%b",
        b"*",
        b"/webhooks/jebbit/..%%2f%b",
        b"/submissions?limit=%b",
        b"/docs#%b",
    ]
)
_methods = st.sampled_from([b"POST", b"GET", b"HEAD", b"PUT", b"CONNECT", b"OPTIONS", b"PRI"])


@settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(_methods, _addresses, st.lists(st.tuples(_names, _odd), max_size=4), st.booleans())
def test_no_head_meets_a_defect(
    shared: Any, quiz: str, method: bytes, address: bytes, lines: list[Any], signed: bool
) -> None:
    """Over a real connection, to the service as it runs."""
    given_lines = [b"%b: %b" % line for line in lines]
    if signed:
        good = sign(body=_BODY, secret=WEBHOOK_SECRET, at=int(time.time()))
        given_lines += [f"{HEADER}: {good}".encode(), b"Content-Length: %d" % len(_BODY)]
    filled = address % quiz.encode() if b"%b" in address else address % ()
    first = b"%b %b HTTP/1.1" % (method, filled)
    request = b"\r\n".join([first, b"Host: x", *given_lines, b"", _BODY])
    assert status_of(shared.url, request) < 500


def status_of(url: str, request: bytes) -> int:
    """Return the status that is answered; 0 if the connection is closed, or waits for more."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(0.5)
        try:
            answer = connection.recv(65536)
        except (TimeoutError, ConnectionError):
            return 0
    return int(answer.split(b" ")[1]) if answer.startswith(b"HTTP/1.1 ") else 0
