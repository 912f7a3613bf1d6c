"""Webhooks that are garbage."""

import json
import random
import select
import socket
import time
from collections import Counter
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from app.jebbit.signature import HEADER, TEST_HEADER, sign
from tests.faults.load import SECRET, submission
from tests.faults.processes import Process
from tests.faults.scenarios.registry import BOTH, scenario, told
from tests.faults.stage import Stage


@scenario("garbage", BOTH, 60)
def garbage(stage: Stage, scale: int) -> None:
    """Bodies and headers of every kind, signed or not, beside good webhooks.

    Never a 5xx, never a defect in the log, and the memory stays bounded.
    """
    stage.begin()
    (service,) = stage.replicas
    url = f"{service.url}/webhooks/jebbit/spring-quiz"
    before = service.memory
    answers: Counter[int] = Counter()

    def send(content: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        answer = stage.http.post(url, content=content, headers=headers)
        answers[answer.status_code] += 1
        assert answer.status_code < 500, (content, headers)

    @seed(stage.seed)
    @settings(
        max_examples=15 * scale,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(_BODIES, _HEADERS, st.sampled_from([SECRET, SECRET, "another"]))
    def send_generated(content: bytes, headers: dict[bytes, bytes], secret: str) -> None:
        signature = sign(body=content, secret=secret, at=int(time.time()))
        send(content, [*{HEADER.encode(): signature.encode(), **headers}.items()])

    with stage.load(pause=0.05):
        send_generated()
        for _ in range(15 * scale):
            send(*_mutated(stage.chance))
        for _ in range(15 * scale):
            status = _send_raw(service, _mutated_request(stage.chance))
            answers[status] += 1
            assert status < 500
    stage.settle()
    grown = service.memory - before
    assert grown < 150, f"{grown} MB more"
    named = Counter({status or "cut off": number for status, number in answers.items()})
    stage.notes.append(f"{told(named)}; {grown:.0f} MB more memory")


_NAMES = ("email", "phone_number", "opt_in", "outcome", "user_session_id", "experience_date")
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*_NAMES, "data", "event", "url_params"]), inner)
    ),
    max_leaves=20,
)
_BODIES = st.binary(max_size=200) | _VALUES.map(lambda value: json.dumps(value).encode())
_HEADER_NAMES = st.sampled_from(
    [HEADER, TEST_HEADER, "content-type", "content-encoding", "traceparent", "x-request-id", "host"]
)
# Any byte that HTTP lets stand in a header; what it does not comes by `_mutated_request`.
_HEADER_VALUES = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"])).map(
    lambda value: value.strip().encode("latin-1")
)
_HEADERS = st.dictionaries(_HEADER_NAMES.map(str.encode), _HEADER_VALUES, max_size=3)

_ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    1e308,
    10**400,
    "",
    "\x00",
    "\ud800",
    "x" * 10_000,
    "😀" * 300,
    [],
    {},
    [[[]]],
    {"a": {"b": [None]}},
    "9999-12-31T23:59:59Z",
    "0001-01-01",
    "+" * 50,
    "@",
    "a@b" * 99,
)


def _mutated(chance: random.Random) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Return a webhook with something wrong in its body, its signature, or neither."""
    person: Any = submission("garbage", chance.randint(0, 9))
    for _ in range(chance.randint(0, 3)):
        person[chance.choice([*person, "country_code", "experience_date", "odd", "\x00"])] = (
            chance.choice(_ODD)
        )
    del person[chance.choice([*person])]
    body = chance.choice(
        [person, [person], {"data": person}, [{"data": person, "event": 7}], chance.choice(_ODD)]
    )
    content = bytearray(json.dumps(body).encode())
    _change_bytes(content, chance)
    if chance.random() < 0.05:
        content = bytearray(b"[" * 50_000)
    signature = sign(body=bytes(content), secret=SECRET, at=int(time.time()))
    if chance.random() < 0.3:
        at = chance.randrange(len(signature))
        signature = signature[:at] + chance.choice("=,~\tv1t0 ") + signature[at + 1 :]
    return bytes(content), [(HEADER.encode(), signature.strip().encode())]


def _mutated_request(chance: random.Random) -> bytes:
    """Return a request with something wrong anywhere, its first line and headers included."""
    content, ((name, signature),) = _mutated(chance)
    request = bytearray(
        b"POST /webhooks/jebbit/spring-quiz HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n"
        b"%b: %b\r\n\r\n%b" % (len(content), name, signature, content)
    )
    _change_bytes(request, chance)
    return bytes(request)


def _change_bytes(content: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice([0, 0, 1, 5])):
        content[chance.randrange(len(content))] = chance.randrange(256)


def _send_raw(process: Process, request: bytes) -> int:
    """Send a request as it stands; return the status that is answered, 0 for none."""
    with suppress(ConnectionError), socket.create_connection(process.address, 60) as connection:
        connection.sendall(request)
        if not select.select([connection], [], [], 1)[0]:  # it may have announced a longer body
            connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").readline().split()
        return int(answer[1]) if answer else 0
    return 0
