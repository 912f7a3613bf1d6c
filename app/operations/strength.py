"""Secrets that protect nothing: published, short, or easy to guess."""

import re
from collections.abc import Iterator
from itertools import pairwise

from app.cordial.findings import Finding
from app.operations.invalid import Invalid, WrongPlace
from app.rules.integration import Integration

SHORTEST = 16
_FEWEST_CHARACTERS = 5  # different ones
_SAME_STEPS = 0.8  # of all steps from one character to the next, as in abcdef...
_REPEATED = 6  # characters that are told from a repetition by chance

PUBLISHED = frozenset(
    {
        # in the README, docs/ and /docs
        "a-secret-shared-with-jebbit",
        "the-client-secret-from-jebbit",
        "the-key-from-cordial",
        "the-key-from-step-1",
        "the-shared-secret-from-jebbit",
        "the-shared-secret-from-step-4",
        "the-value-of-OPS_TOKEN",
        # in versions before
        "ops-token-of-the-demo",
        "secret-key-of-the-demo-0123456789",
        "shared-secret-of-the-demo",
    }
)
_PLACEHOLDER = re.compile(
    r"(change|replace)[-_ ]?(me|this)|placeholder|your[-_ ]?(secret|token|key|password)", re.I
)


def weakness(secret: str) -> str | None:
    """Return what is wrong with a secret, as the end of a sentence; None if nothing is known."""
    if secret in PUBLISHED or _PLACEHOLDER.search(secret):
        return "is an example that anybody can read; give one of your own"
    if len(secret) < SHORTEST:
        return f"needs at least {SHORTEST} characters"
    if _is_guessable(secret):
        return "is too easy to guess; give a random one"
    return None


def _is_guessable(secret: str) -> bool:
    """Say whether it is made of few characters, of a repetition, or of a row such as abcdef."""
    if len(set(secret)) < _FEWEST_CHARACTERS:
        return True
    if any(secret[n:] == secret[:-n] for n in range(1, len(secret) - _REPEATED + 1)):
        return True
    steps = [ord(after) - ord(before) for before, after in pairwise(secret)]
    return max(map(steps.count, set(steps))) > _SAME_STEPS * len(steps)


def refuse_weak(integration: Integration, before: Integration | None = None) -> None:
    """Refuse new webhook secrets that protect nothing; an integration may keep the ones it has.

    Raises:
        Invalid: with the place of each weak one.
    """
    known = set(before.jebbit.webhook_secrets) if before else set()
    weak = [
        WrongPlace(place, detail)
        for secret, place, detail in _weak(integration)
        if secret not in known
    ]
    if weak:
        raise Invalid(weak)


def weak_secrets(integration: Integration) -> list[Finding]:
    """Return what a check says of an integration's webhook secrets."""
    if not integration.jebbit.webhook_secrets:
        return [
            Finding(
                "warning",
                "jebbit.webhook_secrets",
                "There is no webhook secret, so every webhook is answered 401.",
                "Register at Jebbit (POST /integrations/{id}/jebbit/register), or add the shared "
                "secret that Jebbit shows (POST /integrations/{id}/webhook-secrets).",
            )
        ]
    return [
        Finding("warning", place, f"This webhook secret {detail}.", "Rotate it.")
        for _, place, detail in _weak(integration)
    ]


def _weak(integration: Integration) -> Iterator[tuple[object, str, str]]:
    for n, secret in enumerate(integration.jebbit.webhook_secrets):
        detail = weakness(secret.get_secret_value())
        if detail is not None:
            yield secret, f"jebbit.webhook_secrets.{n}", detail
