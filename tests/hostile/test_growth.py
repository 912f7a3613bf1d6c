"""Whatever strangers write, reading it takes time in proportion to its length.

Each entry point is fed texts of many shapes in two sizes. Four times the text may take four times
as long, and on a busy machine somewhat more; what is quadratic takes sixteen times as long.
"""

import gc
import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from app.api.requests import _given
from app.cordial.errors import CordialError, read_answer
from app.jebbit import signature
from app.jebbit.signature import InvalidSignature
from app.jebbit_api.client import _said

MIB = 2**20
_TIMES = 4  # how much larger the larger of two sizes is
_MOST = 10.0  # how much longer it may take; linear: 4, quadratic: 16
_BRIEF = 0.02  # s; what takes no longer than this blocks nobody, and cannot be measured well

Make = Callable[[int], Any]

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


def seconds(call: Callable[[Any], object], given: Any) -> float:
    """Return the least processor time of some calls, without collections of garbage."""

    def once() -> float:
        started = time.process_time()
        call(given)
        return time.process_time() - started

    gc.disable()
    try:
        first = once()
        return first if first < _BRIEF else min(first, once(), once())
    finally:
        gc.enable()


def grows_linearly(call: Callable[[Any], object], make: Make, size: int = MIB) -> None:
    """Assert that four times the input takes no more than about four times as long."""
    large = seconds(call, make(size))
    if large < _BRIEF:
        return
    small = seconds(call, make(size // _TIMES))
    assert large < _MOST * max(small, _BRIEF / _TIMES), (small, large)


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


@pytest.mark.parametrize("shape", TEXTS)
@pytest.mark.parametrize("entry", STRANGERS)
def test_text_is_read_in_time_with_its_length(entry: str, shape: str) -> None:
    """No shape of text makes any entry point take longer than its length is worth."""
    grows_linearly(STRANGERS[entry], TEXTS[shape])


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
