"""The signature: closed by default, and every combination spelled out."""

import re
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jebbit.signature import HEADER, TEST_HEADER, InvalidSignature, read, sign, verify
from tests.table import table

SECRET = "$super_secure_shared_secret!"
AT = 1_700_000_000
BODY = b"{}"
GOOD = "U0eHcQjggqv6WJKmzZItnxEbnu/2pYMGbq+c1hqGLJE="
WRONG = "A" * 43 + "="


def check(
    header: str | None,
    body: bytes = BODY,
    secrets: tuple[str, ...] = (SECRET,),
    now: float = AT,
) -> int:
    return verify(header=header, body=body, secrets=secrets, now=now, tolerance=300)


def refusal(header: str | None, **given: object) -> str:
    with pytest.raises(InvalidSignature) as refused:
        check(header, **given)  # type: ignore[arg-type]
    return refused.value.reason


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (b"{}", f"t=1700000000,v1={GOOD}"),
        (
            b'{"data":{"testData":"hello_world"}}',
            "t=1700000000,v1=9hcS9KslXdZBwsKsREPcVl9u5b8JbRmZrbld1kDfe+s=",
        ),
    ],
)
def test_known_signatures(body: bytes, header: str) -> None:
    """Signatures computed from the published rule, elsewhere, are made and accepted alike."""
    assert check(header, body) == AT
    assert sign(body=body, secret=SECRET, at=AT) == header


@pytest.mark.parametrize(
    "header",
    [
        f"v1={GOOD},t={AT}",
        f" t = {AT} , v1 = {GOOD} ",
        f"t={AT},\tv1={GOOD}",
        f"t={AT},v1={WRONG},v1={GOOD}",
        f"v1={GOOD},v0=old,t={AT},v1={WRONG}",
        f"t={AT},v1=,v1={GOOD}",
        f"t={AT},v1={GOOD},",
        f"t={AT},nonsense,v1={GOOD}",
        f"t={AT},v1={WRONG},v1={WRONG},v1={WRONG},v1={GOOD}",
        f"t={AT},v1={GOOD}".ljust(1024),
    ],
)
def test_parts_are_read_by_name(header: str) -> None:
    """Order, spaces, several signatures and unknown parts do not matter, if one v1 is right."""
    assert check(header) == AT


def test_no_header_is_missing() -> None:
    """A webhook without the header is refused."""
    assert refusal(None) == "missing"


@table(
    "header",
    [
        *("", " ", ",", "=", "t=,v1=", "nonsense"),
        f"v1={GOOD}",
        f"t={AT}",
        f"t={AT},v0={GOOD}",
        f"T={AT},V1={GOOD}",
        f"t=,v1={GOOD}",
        f"t={AT};v1={GOOD}",
        f"t={AT},t={AT},v1={GOOD}",
        f"t={AT},t={AT - 1},v1={GOOD}",
        f"t=-{AT},v1={GOOD}",
        f"t=+{AT},v1={GOOD}",
        f"t={AT}.0,v1={GOOD}",
        f"t=1_700_000_000,v1={GOOD}",
        f"t=17e8,v1={GOOD}",
        f"t=0x6553f100,v1={GOOD}",
        f"t={'9' * 5_000},v1={GOOD}",
        f"t=\u0661\u0667\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660,v1={GOOD}",
        f"t=1\uff17\u00b200000000,v1={GOOD}",
        f"t={AT},v1=ü{GOOD}",
        f"t={AT},v1={GOOD},v1=\udcff",
        f"t={AT},v1={GOOD}" + ",v1=" * 4,
        f"t={AT},v1={GOOD}" + " " * 1_000,
        f"t={AT},v1={GOOD},v0={'A' * 1_000}",
    ],
)
def test_malformed_header(header: str) -> None:
    """Without exactly one plain time and at least one signature, in ASCII, nothing is believed."""
    assert refusal(header) == "malformed"


@pytest.mark.parametrize(
    "header",
    [
        f"t={AT},v1={WRONG}",
        f"t={AT},v1=",
        f"t={AT},v1={GOOD[:-1]}",
        f"t={AT},v1={GOOD}=",
        f"t={AT},v1={GOOD.lower()}",
        f"t={AT},v1={GOOD.replace('/', '_').replace('+', '-')}",
        f"t={AT},v1=53478771...",
        f"t={AT},v1={WRONG},v1={WRONG}",
        f"t={AT - 1},v1={GOOD}",
        f"t=0{AT},v1={GOOD}",  # the time counts as written, not as a number
    ],
)
def test_wrong_signature(header: str) -> None:
    """What is not the exact signature of the exact bytes is a mismatch."""
    assert refusal(header) == "mismatch"


@pytest.mark.parametrize("body", [b"", b"{} ", b"{ }", b"[]", b"\xff"])
def test_signature_is_of_the_exact_bytes(body: bytes) -> None:
    """Another body is refused, even where it reads as the same JSON."""
    assert refusal(f"t={AT},v1={GOOD}", body=body) == "mismatch"


@pytest.mark.parametrize(
    ("now", "outcome"),
    [
        *((AT - 300.001, "future"), (AT - 301, "future"), (0, "future")),
        *((AT - 300, None), (AT, None), (AT + 300, None), (AT + 299.999, None)),
        *((AT + 300.001, "stale"), (AT + 301, "stale"), (2 * AT, "stale")),
    ],
)
def test_tolerance_holds_both_ways(now: float, outcome: str | None) -> None:
    """A signature counts from 300 s before to 300 s after its time, both ends included."""
    header = f"t={AT},v1={GOOD}"
    if outcome is None:
        assert check(header, now=now) == AT
    else:
        assert refusal(header, now=now) == outcome


@pytest.mark.parametrize(
    ("secrets", "accepted"),
    [
        ((SECRET,), True),
        (("old", SECRET), True),
        ((SECRET, "new"), True),
        (("gänzlich-neu", SECRET), True),
        (("old", "new"), False),
        ((SECRET + " ",), False),
        ((SECRET.upper(),), False),
        ((), False),
    ],
)
def test_any_active_secret_counts(secrets: tuple[str, ...], accepted: bool) -> None:
    """Each of several secrets is accepted while they rotate; without any, nothing is."""
    header = f"t={AT},v1={GOOD}"
    if accepted:
        assert check(header, secrets=secrets) == AT
    else:
        assert refusal(header, secrets=secrets) == "mismatch"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "missing"),
        ("nonsense", "malformed"),
        (f"t={AT - 301},v1={GOOD}", "stale"),
        (f"t={AT + 301},v1={GOOD}", "future"),
    ],
)
def test_the_header_alone_is_judged_first(header: str | None, reason: str) -> None:
    """What no body could make right is refused without one."""
    with pytest.raises(InvalidSignature) as refused:
        read(header, now=AT, tolerance=300)
    assert refused.value.reason == reason


def test_no_header_costs_more_than_a_good_one() -> None:
    """The body is digested once for each secret, however many signatures are given."""
    body, secrets = b"x" * 2**20, ("one", "two")
    good = sign(body=body, secret="two", at=AT)
    headers = [
        f"t={AT}" + f",v1={WRONG}" * 4,
        f"t={AT}" + ",v1=" * 250,
        f"t={AT}" + ",v1=" * 8_000,
        f"t={AT}," + " " * 60_000 + f"v1={WRONG}",
    ]

    def seconds(header: str) -> float:
        def once() -> float:
            started = time.process_time()
            with suppress(InvalidSignature):
                check(header, body, secrets)
            return time.process_time() - started

        return min(once() for _ in range(5))

    taken = seconds(good)
    for header in headers:
        assert seconds(header) < 2 * taken


@given(st.binary(), st.text(st.characters(codec="utf-8"), min_size=1), st.integers(0, 10**11))
def test_what_is_signed_is_accepted_by_its_secret_alone(body: bytes, secret: str, at: int) -> None:
    """`sign` and `verify` agree for any body, secret and time, and another secret never does."""
    header = sign(body=body, secret=secret, at=at)
    assert re.fullmatch(r"t=[0-9]+,v1=[A-Za-z0-9+/]{43}=", header)
    assert check(header, body, (secret,), now=at) == at
    assert refusal(header, body=body, secrets=(secret + "x",), now=at) == "mismatch"


@given(st.text())
def test_any_text_is_refused_with_a_reason(header: str) -> None:
    """No header raises anything but the refusal."""
    assert refusal(header) in {"malformed", "stale", "future", "mismatch"}


def test_headers_have_the_names_that_jebbit_gives_them() -> None:
    """They are compared without case."""
    assert (HEADER, TEST_HEADER) == ("x-jebbit-signature", "x-jebbit-test")


@pytest.mark.parametrize(
    ("written", "read_as"),
    [("1", 1), ("9" * 12, 999_999_999_999), ("9" * 13, None), ("", None), ("1x", None)],
)
def test_times_have_one_to_twelve_digits(written: str, read_as: int | None) -> None:
    """As a text, which is signed just so."""
    given = f"t={written},v1={GOOD}"
    if read_as is None:
        assert refusal(given) == "malformed"
    else:
        found = read(given, now=read_as, tolerance=0)
        assert found == (written, (GOOD.encode(),))


def test_the_longest_header_that_is_read() -> None:
    """A longer one is just wrong."""
    start = f"t={AT},v1={GOOD}"
    assert check(start + " " * (1024 - len(start))) == AT
    assert refusal(start + " " * (1025 - len(start))) == "malformed"


def test_spaces_around_names_and_values_are_none_of_them() -> None:
    """Also before the first and after the last."""
    assert check(f" t = {AT} , v1 = {GOOD} ") == AT


def test_a_refusal_says_why_in_a_word() -> None:
    """To us, in a log's line."""
    with pytest.raises(InvalidSignature, match="missing"):
        check(None)
