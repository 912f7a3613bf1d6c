"""Statuses and reasons in plain words: what happened, and what a person does about it."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from app.ledger.erasure import ERASED
from app.ledger.replays import DISCARDED
from app.ledger.schema import DeadReason, SubmissionStatus
from app.rules.policy import SkipReason


class Said(NamedTuple):
    """A few words for a list, a sentence that says what happened, and one that says what to do."""

    brief: str
    what: str
    remedy: str = "Nothing to do."


STATUSES: Final[Mapping[SubmissionStatus, Said]] = {
    SubmissionStatus.PENDING: Said(
        "Waiting", "It waits for its turn or its next try.", "Nothing to do, unless it gets old."
    ),
    SubmissionStatus.DELIVERED: Said("Delivered", "Cordial has it."),
    SubmissionStatus.SKIPPED: Said("Skipped", "A rule said no, so nothing was sent."),
    SubmissionStatus.DEAD: Said(
        "Dead", "We gave it up, so this contact is not in Cordial.", "Look at it, then replay it."
    ),
    SubmissionStatus.TEST: Said("Test", "It came as a test webhook; those are never sent."),
}

_MEND_RULES = "If that is wrong, change the integration's {}, then replay."

REASONS: Final[Mapping[str, Said]] = {
    SkipReason.NO_IDENTITY: Said(
        "no usable address",
        "It has no usable email address or phone number.",
        "Look at the mapping's address rules, and whether Jebbit sends hashes instead of "
        "addresses.",
    ),
    SkipReason.UNTRUSTED_IDENTITY: Said(
        "address from the page's URL",
        "Its only address may come from the page's URL, where anybody can write one.",
        "If only you make those links, list the parameter in jebbit.trusted_url_params, then "
        "replay.",
    ),
    SkipReason.NOT_COMPLETED: Said("not completed", "Jebbit says that the session is incomplete."),
    SkipReason.NOT_VALID: Said("not valid", "Jebbit says that the session is not valid."),
    SkipReason.CAMPAIGN_NOT_INCLUDED: Said(
        "campaign not included",
        "Its campaign is not among those to include.",
        _MEND_RULES.format("jebbit.campaigns"),
    ),
    SkipReason.CAMPAIGN_EXCLUDED: Said(
        "campaign excluded",
        "Its campaign is among those to exclude.",
        _MEND_RULES.format("jebbit.campaigns"),
    ),
    SkipReason.CAMPAIGN_UNKNOWN: Said(
        "campaign unknown",
        "It names no campaign, or one that cannot be believed.",
        _MEND_RULES.format("jebbit.campaigns"),
    ),
    SkipReason.REGION_NOT_COLLECTED: Said(
        "region not collected",
        "The policy does not collect people from there.",
        _MEND_RULES.format("policy.collect"),
    ),
    SkipReason.REGION_UNKNOWN: Said(
        "region unknown",
        "The policy collects one region, and nothing says where the person is.",
        "Set jebbit.region, then replay.",
    ),
    SkipReason.NOT_OPTED_IN: Said(
        "did not opt in", "The person did not answer the opt-in, and the policy wants a yes."
    ),
    SkipReason.OPTED_OUT: Said("opted out", "The person said no to the opt-in."),
    SkipReason.OPT_IN_UNCLEAR: Said(
        "opt-in unclear",
        "The answer to the opt-in is neither yes nor no here.",
        "Add the answer to jebbit.opt_in_labels, then replay.",
    ),
    SkipReason.STALE: Said(
        "newer answers delivered",
        "Newer answers of this person were delivered already.",
        "To put the older answers over the newer ones, replay it with force.",
    ),
    ERASED: Said("erased", "The person was erased before it was sent."),
    DISCARDED: Said(
        "discarded",
        "Somebody gave it up.",
        "Replay it to bring it back, while its payload is kept.",
    ),
    DeadReason.UNREADABLE: Said(
        "unreadable",
        "It was signed, but is no JSON object.",
        "Ask the sender. Discard it when you have dealt with it.",
    ),
    DeadReason.REJECTED: Said(
        "rejected by Cordial",
        "Cordial refused the contact; its last attempt has Cordial's words.",
        "Mend the mapping, or the field in Cordial, then replay.",
    ),
    DeadReason.UNAVAILABLE: Said(
        "Cordial unavailable",
        "Cordial did not take it in all the tries of the schedule.",
        "Replay when Cordial is back.",
    ),
    DeadReason.INTEGRATION_DELETED: Said(
        "integration deleted",
        "Its integration was deleted while it waited.",
        "To send it, create an integration of that name, then replay.",
    ),
}


_CALLS: Final = re.compile(
    r" \((?:GET|POST|PATCH|DELETE) /[^)]*\)|, check with create_missing=true"
)


def without_calls(text: str) -> str:
    """Return what to do without the calls that do it: a page has buttons for it."""
    return _CALLS.sub("", text)


def is_lacking(problem: str) -> bool:
    """Whether a finding of the check tells of what Cordial lacks, and may be told to create."""
    return "Cordial has no " in problem


def brief(status: SubmissionStatus, reason: str | None) -> str:
    """Return a few words for a list: `Skipped: opted out`."""
    if reason is None:
        return STATUSES[status].brief
    return f"{STATUSES[status].brief}: {reason_in_words(reason)}"


def reason_in_words(reason: str) -> str:
    """Return a few words for a reason; of one that this version does not know, itself."""
    said = REASONS.get(reason)
    return said.brief if said else reason.replace("_", " ")


def said_of(status: SubmissionStatus, reason: str | None) -> Said:
    """Return what happened to a submission, and what to do."""
    return REASONS.get(reason or "", STATUSES[status])
