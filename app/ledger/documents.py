"""An integration as a JSON document: with its secrets, or with what is shown of them."""

from typing import Any

from pydantic import BaseModel

from app.rules.integration import MASK, Integration, Policy
from app.rules.mapping import Rule

_SHOWN = 4  # characters of a secret


def document_of(integration: Integration) -> dict[str, Any]:
    """Return an integration as a JSON document with its secrets: never show it."""
    document = integration.model_dump(mode="json")
    document["cordial"]["api_key"] = integration.cordial.api_key.get_secret_value()
    document["jebbit"]["webhook_secrets"] = [
        secret.get_secret_value() for secret in integration.jebbit.webhook_secrets
    ]
    return document


def readable_by_0_1_0(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is newer than version 0.1.0, wherever it is as by default.

    A replica of that version refuses words that it does not know, and each webhook with them. So
    these defaults stay as they are.
    """
    parts: list[tuple[dict[str, Any], type[BaseModel], str]]
    parts = [(document["policy"], Policy, "opt_in_guard")]
    parts += [(each, Rule, name) for each in document["mapping"] for name in _NEWER_OF_RULES]
    for part, model, name in parts:
        if part[name] == model.model_fields[name].default:
            del part[name]
    return document


_NEWER_OF_RULES = ("lists_need", "too_long")


def masked(secret: str) -> str:
    """Return what is shown of a secret: its last four characters, of a short one none."""
    return MASK + (secret[-_SHOWN:] if len(secret) >= 2 * _SHOWN else "")


def masked_document(integration: Integration) -> dict[str, Any]:
    """Return an integration as a JSON document, its secrets masked."""
    document = document_of(integration)
    document["cordial"]["api_key"] = masked(document["cordial"]["api_key"])
    secrets = document["jebbit"]["webhook_secrets"]
    document["jebbit"]["webhook_secrets"] = [masked(each) for each in secrets]
    return document


def unmasked(document: dict[str, Any], before: Integration) -> dict[str, Any]:
    """Return a document in which a secret that came back as it was shown is the secret itself."""
    cordial, jebbit = document.get("cordial"), document.get("jebbit")
    if isinstance(cordial, dict) and "api_key" in cordial:
        key = before.cordial.api_key.get_secret_value()
        cordial["api_key"] = _unmask(cordial["api_key"], {masked(key): [key]})
    if isinstance(jebbit, dict) and isinstance(jebbit.get("webhook_secrets"), list):
        known: dict[str, list[str]] = {}
        for secret in before.jebbit.webhook_secrets:  # several may be shown alike
            plain = secret.get_secret_value()
            known.setdefault(masked(plain), []).append(plain)
        jebbit["webhook_secrets"] = [_unmask(each, known) for each in jebbit["webhook_secrets"]]
    return document


def _unmask(value: object, known: dict[str, list[str]]) -> object:
    matching = known.get(value) if isinstance(value, str) else None
    return matching.pop(0) if matching else value
