"""Whatever strangers write, reading it takes time in proportion to its length.

Each entry point is fed texts of many shapes in two sizes. Four times the text may take four times
as long, and on a busy machine somewhat more; what is quadratic takes sixteen times as long.
"""

import functools
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from app.api.requests import _given
from app.cordial.errors import CordialError, read_answer
from app.jebbit import signature
from app.jebbit.signature import InvalidSignature
from app.jebbit.submission import TooManyItems, UnreadableBody, parse, read
from app.jebbit_api.client import _said
from app.rules.integration import Integration
from app.rules.plan import facts, plan
from tests.thorough import thorough

MIB = 2**20
PAYLOAD = 2**15  # large enough to tell a square; all shapes of a MiB would take the suite long
_TIMES = 4  # how much larger the larger of two sizes is
_MOST = 10.0  # how much longer it may take; linear: 4, quadratic: 16
_SURELY = 6.0  # up to this, one measurement is enough: it would have to be wrong by 2.7 times
_BRIEF = 0.02  # s; what takes no longer than this blocks nobody, and cannot be measured well

Make = Callable[[int], Any]


@pytest.fixture(scope="module", autouse=True)
def nothing_is_remembered() -> Iterator[None]:
    """Read everything anew: short texts are remembered and long ones are not.

    Else the smaller of two sizes is read once, the larger as often as it is asked for.
    """
    with pytest.MonkeyPatch.context() as patched:
        for name, module in list(sys.modules.items()):
            if name.startswith("app."):
                for function, value in list(vars(module).items()):
                    if isinstance(value, functools._lru_cache_wrapper):
                        patched.setattr(module, function, value.__wrapped__)
        yield


TEXTS: dict[str, Make] = {
    "one run": lambda size: "x" * size,
    "at signs": lambda size: "@" * size,
    "addresses": lambda size: "a@b " * (size // 4),
    "a run before an at sign": lambda size: "x" * size + "@",
    "digits": lambda size: "1" * size,
    "digits and spaces": lambda size: "1 " * (size // 2),
    "a digit before spaces": lambda size: "1" + " " * size,
    "spaces": lambda size: " " * size,
    "quotes": lambda size: '"' * size,
    "quoted": lambda size: '"x' * (size // 2),
    "commas": lambda size: "," * size,
    "equals": lambda size: "v1=," * (size // 4),
    "ampersands": lambda size: "a=b&" * (size // 4),
    "empty parameters": lambda size: "&" * size,
    "percent signs": lambda size: "%" * size,
    "percent encoded again and again": lambda size: "%25" * (size // 3),
    "percent encoded": lambda size: "%26email%3D" * (size // 11),
    "question marks": lambda size: "?" * size,
    "fragments": lambda size: "#" * size,
    "semicolons": lambda size: ";" * size,
    "slashes": lambda size: "/" * size,
    "entities": lambda size: "&amp;" * (size // 5),
    "entities within entities": lambda size: "&" + "amp;" * (size // 4),
    "brackets": lambda size: "[" * size,
    "braces": lambda size: "{" * size,
    "indexed names": lambda size: "a[b]=c&" * (size // 7),
    "dotted names": lambda size: "a." * (size // 2),
    "escapes": lambda size: "\\u0065" * (size // 6),
    "backslashes": lambda size: "\\" * size,
    "broken JSON": lambda size: '{"a":' * (size // 5),
    "JSON within": lambda size: json.dumps({"email": "x" * size}),
    "plus signs": lambda size: "+" * size,
    "dashes": lambda size: "-" * size,
    "nulls": lambda size: "\0" * size,
    "accents": lambda size: "e\u0301" * (size // 2),
    "marks on one letter": lambda size: "a" + "\u0301" * size,
    "marks in the wrong order": lambda size: "a" + "\u0301\u0327" * (size // 2),
    "ligatures": lambda size: "\ufdfa" * (size // 18),
    "a date's beginning": lambda size: "2024-01-02T" * (size // 11),
    "a number's beginning": lambda size: "1e1" * (size // 3),
    "labels": lambda size: "a." * (size // 2) + "example.com",
    "a long domain": lambda size: "a@" + "a." * (size // 2) + "com",
    "distinct names": lambda size: "&".join(f"n{n}=1" for n in range(size // 9)),
}


def seconds(call: Callable[[Any], object], given: Any, times: int) -> float:
    """Return the least processor time of so many calls, without collections of garbage."""

    def once() -> float:
        started = time.process_time()
        call(given)
        return time.process_time() - started

    gc.disable()
    try:
        return min(once() for _ in range(times))
    finally:
        gc.enable()


def grows_linearly(
    call: Callable[[Any], object], make: Make, size: int = MIB, of: str = "it"
) -> None:
    """Assert that four times the input takes no more than about four times as long.

    Another process on the same core may slow one of the two sizes. So where one measurement
    leaves doubt, the smaller one is measured three times, and the larger one again.
    """
    measured = []
    for times, most in ((1, _SURELY), *[(3, _MOST)] * 4):
        large = seconds(call, make(size), 1)
        if large < _BRIEF:
            return
        small = seconds(call, make(size // _TIMES), times)
        measured.append((small, large))
        if large < most * max(small, _BRIEF / _TIMES):
            return
    raise AssertionError(f"{of}: grows faster than its input: {measured}")


def read_signature(header: str) -> None:
    with suppress(InvalidSignature):
        signature.read(header, now=0, tolerance=300)


def read_refusal(content: bytes) -> None:
    with suppress(CordialError):
        read_answer(422, {}, content, now=0)


def read_wait(header: str) -> None:
    with suppress(CordialError):
        read_answer(429, {"Retry-After": header}, b"", now=0)


def read_success(content: str) -> None:
    with suppress(CordialError):
        read_answer(200, {}, content.encode(), now=0)


def written(body: Any) -> bytes:
    return json.dumps(body).encode()


STRANGERS: dict[str, Callable[[str], object]] = {
    "a signature": read_signature,
    "a request's id": lambda text: _given([(b"x-request-id", text.encode())]),
    "Cordial's message": lambda text: read_refusal(written({"message": text})),
    "Cordial's messages": lambda text: read_refusal(written({"errors": [text[:9], {"a": text}]})),
    "a field Cordial names": lambda text: read_refusal(written({"validationErrors": {text: 1}})),
    "Cordial's Retry-After": read_wait,
    "Cordial's success": read_success,
    "Jebbit's error": lambda text: _said(written({"errors": [{"detail": text}]})),
}


@pytest.mark.parametrize("entry", STRANGERS)
def test_text_is_read_in_time_with_its_length(entry: str) -> None:
    """No shape of text makes any entry point take longer than its length is worth."""
    for shape in TEXTS:
        grows_linearly(STRANGERS[entry], TEXTS[shape], of=shape)


REFUSALS: dict[str, Make] = {
    "many texts": lambda size: {"errors": ["a"] * (size // 4)},
    "many texts, deep down": lambda size: {"errors": nested(["a"] * (size // 4), 150)},
    "many fields": lambda size: {"validationErrors": {f"f{n}": ["x"] for n in range(size // 14)}},
    "nothing": lambda size: {"errors": [[]] * (size // 4)},
    "numbers": lambda size: {"errors": [1] * (size // 3)},
}


def nested(value: Any, depth: int) -> Any:
    return nested([value], depth - 1) if depth else value


@pytest.mark.parametrize("shape", REFUSALS)
def test_a_refusal_is_read_in_time_with_its_length(shape: str) -> None:
    """However Cordial's words are nested, and however many there are."""
    grows_linearly(read_refusal, lambda size: written(REFUSALS[shape](size)))


# --- Payloads -----------------------------------------------------------------------------------

INTEGRATION = Integration.model_validate(
    {
        "name": "Growth",
        "cordial": {"account_url": "https://admin.cordial.io", "api_key": "a-key-of-sixteen"},
        "jebbit": {
            "webhook_secrets": ["whsec-0123456789abcdef"],
            "attributes": {"sms_opt_in": "sms_opt_in"},
        },
        "mapping": [
            {"attribute": "email", "field": "channels.email.address"},
            {"attribute": "phone_number", "field": "channels.sms.address"},
            {"attribute": "text", "field": "text"},
            {"attribute": "text", "field": "parts", "type": "array", "separator": "|"},
            {"attribute": "text", "field": "number", "type": "number"},
            {"attribute": "text", "field": "date", "type": "date"},
            {"attribute": "text", "field": "home.city", "type": "geo"},
            {"attribute": "text", "field": "list", "type": "list"},
        ],
        "unmapped": "known",
        "policy": {
            "collect": "both",
            "opt_in": "everyone",
            "auto_subscribe": True,
            "opt_in_field": "opt_in_status",
        },
    }
)
ATTRIBUTES = (
    "email",
    "phone_number",
    "opt_in",
    "country_code",
    "experience_date",
    "is_completed",
    "url_params",
    "page_url",
    "text",
)
# Any text is looked through for what the page's URL names; these hold it, or are made fields of.
READ_FOR_MORE = ("url_params", "page_url", "text")


def take(body: bytes) -> None:
    """Take a webhook's body through all that is done with it before and after it is stored."""
    try:
        items = parse(body)
    except (UnreadableBody, TooManyItems):
        return
    for item in items:
        read(item.payload)
        if item.submission is not None:
            facts(item.submission, INTEGRATION, 1.7e9)
            plan(item.submission, INTEGRATION, received_at=1.7e9, now=1.7e9)


def holding(attribute: str, text: Make) -> Make:
    """Return what makes the body of a person who says this under an attribute."""
    person = {"email": "ann@example.com", "opt_in": "yes"}
    return lambda size: written({**person, attribute: text(size)})


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_an_attribute_is_read_in_time_with_its_length(attribute: str) -> None:
    """Whatever is asked of it, and whatever it holds; in `make test` each shape for a half of those
    that are read for more, and for a third of the others.
    """
    share = 1 if thorough() else 2 if attribute in READ_FOR_MORE else 3
    first = ATTRIBUTES.index(attribute)
    for shape in list(TEXTS)[first % share :: share]:
        grows_linearly(take, holding(attribute, TEXTS[shape]), PAYLOAD, of=shape)


def twice(size: int) -> str:
    return "{" + ", ".join(f'"a": {n}' for n in range(size // 11)) + "}"


BODIES: dict[str, Make] = {
    "a text with one key written many times": lambda size: {"text": twice(size)},
    "many keys": lambda size: {f"key{n}": n for n in range(size // 16)},
    "keys that are alike": lambda size: {
        "a" + " " * (n % 500) + f"{n}": n for n in range(size // 260)
    },
    "one key": lambda size: {"x" * size: 1},
    "many items": lambda size: [{"email": f"a{n}@example.com"} for n in range(size // 30)],
    "lists": lambda size: {"email": ["ann@example.com"] * (size // 20)},
    "deep": lambda size: nested({"a": "x" * size}, 100),
    "deep parameters": lambda size: {"url_params": nested(["a=b"] * (size // 8), 100)},
    "an object of parameters": lambda size: {
        "url_params": {f"k{n}": "v" for n in range(size // 14)}
    },
    "many texts": lambda size: {f"t{n}": "https://x/?a=b" for n in range(size // 28)},
    "many texts in a list": lambda size: {"t": ["a=b&c=d"] * (size // 12)},
    "a number": lambda size: {"text": 10 ** (size // 300)},
}


@pytest.mark.parametrize("shape", BODIES)
def test_a_body_is_read_in_time_with_its_length(shape: str) -> None:
    """However it is built."""
    grows_linearly(take, lambda size: written(BODIES[shape](size)), PAYLOAD)


@pytest.mark.parametrize("shape", ["brackets", "braces", "broken JSON", "quotes", "backslashes"])
def test_what_is_no_json_is_refused_in_time_with_its_length(shape: str) -> None:
    """Signed, but not to be read."""
    grows_linearly(take, lambda size: TEXTS[shape](size).encode(), PAYLOAD)
