"""The judge of the fault scenarios: Cordial's journal."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from tests.faults.load import Number

TIMEOUT_SECONDS = 1.5  # for Cordial's answer


# A request that these hit was not taken; `slow` and `reset_after_write` were, whatever was said.
_NOT_TAKEN = {
    "rate_limited",
    "rate_limited_reset",
    "server_error",
    "html_502",
    "success_false",
    "cut_body",
    "unauthorized",
    "forbidden",
    "not_found",
}


def is_upsert(entry: Mapping[str, Any]) -> bool:
    """Whether it is the upsert of a numbered submission; one that broke off has no body."""
    body = entry["body"] if entry["path"] == "/v2/contacts" else None
    return bool(body) and str(body.get("quiz_outcome")).isdigit()


def number_of(entry: Mapping[str, Any]) -> Number:
    contact = entry["email"].partition("@")[0]
    return contact, int(entry["body"]["quiz_outcome"])


def was_taken(entry: Mapping[str, Any]) -> bool:
    """Whether Cordial has written it, whatever the sender was told."""
    answered = entry["status"] is None or entry["status"] < 300
    return answered and entry["ended"] is not None and entry["fault"] not in _NOT_TAKEN


# Cordial may hear of the next request before it hears that the sender hung up on the last.
_HUNG_UP_SECONDS = 0.05


def judged(journal: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Say, contact by contact, what began after a later one, and what began during another."""
    by_contact: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for each in journal:
        by_contact[number_of(each)[0]].append(each)
    out_of_order, overlapping = [], []
    for contact, entries in by_contact.items():
        newest, busy_until = -1, 0.0
        for each in sorted(entries, key=lambda one: float(one["started"])):
            number, started = number_of(each)[1], float(each["started"])
            if number < newest:
                out_of_order.append(f"{contact}: {number} after {newest}")
            if started < busy_until:
                overlapping.append(f"{contact}: {number} {busy_until - started:.4f} s too early")
            newest = max(newest, number)
            busy_until = max(busy_until, _left_at(each))
    return out_of_order, overlapping


def _left_at(entry: Mapping[str, Any]) -> float:
    """Return when the sender had its answer, or had given up on it."""
    times = [entry["ended"]] if entry["ended"] is not None else []
    times += [entry["left"] - _HUNG_UP_SECONDS] if entry["left"] is not None else []
    return float(min(times, default=entry["started"] + TIMEOUT_SECONDS))
