"""The README explains every state and reason that somebody on call may be shown."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from app.ledger.integrations import State
from app.ledger.retention import ERASED
from app.ledger.schema import DeadReason, GateState, SubmissionStatus
from app.rules.policy import SkipReason

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
OPERATE = README.partition("\n## Operate\n")[2].partition("\n## ")[0]


def rows(first: str) -> Iterator[list[str]]:
    """Yield the rows of the table below Operate whose first column is headed so."""
    [table] = re.findall(rf"^\| {first} \|.*\n\|[-|]+\n((?:\|.*\n)+)", OPERATE, re.MULTILINE)
    for line in table.splitlines():
        yield [cell.strip() for cell in line.strip("|").split("|")]


def explained(first: str) -> dict[str, str]:
    """Return what a table says of each of the words in its first column."""
    return {word: " ".join(rest) for cell, *rest in rows(first) for word in words(cell)}


def words(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def reasons(of: str) -> dict[str, str]:
    """Return what is said of each reason of a status, which may be named in a row above."""
    found, status = {}, ""
    for named, given, meaning in rows("status"):
        status = next(iter(words(named)), status)
        found |= {reason: meaning for reason in words(given) if status == of}
    return found


@pytest.mark.parametrize(
    ("first", "known"),
    [("status", SubmissionStatus), ("gate", GateState), ("state", get_args(State))],
)
def test_every_status_state_and_gate_is_explained(first, known):
    """Those and no others, each with what it means."""
    said = explained(first)
    assert set(said) == {str(each) for each in known}
    assert all(len(text) > 10 for text in said.values()), said


@pytest.mark.parametrize(
    ("status", "known"), [("skipped", [*SkipReason, ERASED]), ("dead", [*DeadReason])]
)
def test_every_reason_is_explained(status, known):
    """Those and no others, each with what it means."""
    said = reasons(status)
    assert set(said) == {str(each) for each in known}
    assert all(len(text) > 10 for text in said.values()), said
