"""Managing integrations."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from app.api.auth import DESCRIBED, REFUSED, Protected
from app.api.problems import Place, Problem, documented, invalid
from app.api.state import CurrentState, State, outside_url
from app.api.views import IntegrationView, PlanView, explain, masked
from app.cordial.account import BadAccountUrl, api_base
from app.cordial.preflight import Level, errors_in
from app.delivery.gate import succeeded
from app.delivery.resuming import CheckFailed, check_stored, resume, said
from app.jebbit.submission import TooManyItems, UnreadableBody, parse
from app.ledger.integrations import (
    NameTaken,
    StillPending,
    StoredIntegration,
    document_of,
)
from app.ledger.schema import GateState
from app.rules.integration import Integration, Secret, merge_patch

router = APIRouter(
    prefix="/integrations",
    tags=["integrations"],
    route_class=Protected,
    dependencies=[DESCRIBED],
    responses={**REFUSED, **documented(HTTPStatus.SERVICE_UNAVAILABLE)},
)

_NEW_REASON = "Created paused: look at a preview, then resume."
_CHECK_FAILED = "The check finds errors; mend them, or add ?force=true."
_LAST_ONE = "This is the last webhook secret; add the new one first."


def _still_pending(count: int) -> str:
    return (
        f"{count} submissions are pending. Wait until they are sent, or add ?force=true: they "
        "become dead, reason integration_deleted."
    )


EXAMPLE: dict[str, Any] = {
    "name": "Spring quiz",
    "cordial": {"account_url": "https://admin.cordial.io", "api_key": "the-key-from-cordial"},
    "jebbit": {"webhook_secrets": ["the-shared-secret-from-jebbit"], "region": "us"},
    "mapping": [
        {"attribute": "email", "field": "channels.email.address"},
        {"attribute": "first_name", "field": "first_name"},
        {"attribute": "outcome", "field": "quiz_outcome"},
    ],
    "policy": {"collect": "both", "opt_in": "opted_in_only", "auto_subscribe": True},
}
_PATCH_EXAMPLE: dict[str, Any] = {"policy": {"opt_in": "opted_in_or_null"}}
_JEBBIT_EXAMPLE: list[Any] = [
    {
        "data": {"email": "ann@example.com", "opt_in": "true", "outcome": "Bold"},
        "event": {"event_number": 0},
    }
]


class NewIntegration(Integration):
    """An integration to be created, and whether it sends from the start."""

    state: Literal["active", "paused"] = "paused"


class NewSecret(BaseModel):
    """A webhook secret to be added."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    secret: Secret = Field(
        description="The shared secret from Jebbit. Write-only.",
        examples=["the-shared-secret-from-jebbit"],
    )


class PreviewAnswer(BaseModel):
    """What would be done with each submission of a body."""

    submissions: list[PlanView | None] = Field(description="In order; null for what is unreadable.")


class FindingView(BaseModel):
    """One thing the check found."""

    level: Level = Field(description="error: contacts go wrong; warning: they may; note: know it.")
    place: str = Field(examples=["mapping.1"])
    problem: str = Field(examples=["Cordial has First_Name, the mapping says first_name."])
    remedy: str = Field(examples=["Write First_Name."])


class CheckAnswer(BaseModel):
    """The check of an integration; `ok` where nothing is an error."""

    ok: bool
    findings: list[FindingView]


@router.get("", summary="List the integrations")
async def list_integrations(request: Request, state: CurrentState) -> list[IntegrationView]:
    """Every integration with its state; `blocked` ones need somebody, `state_reason` says why."""
    return [_view(each, request, state) for each in await state.integrations.list()]


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    summary="Create an integration",
    responses=documented(
        HTTPStatus.CONFLICT,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        details={
            HTTPStatus.CONFLICT: "An integration has the id spring-quiz already. Choose another "
            "name, or change that one with PATCH /integrations/spring-quiz."
        },
    ),
)
async def create_integration(
    request: Request,
    state: CurrentState,
    new: Annotated[NewIntegration, Body(openapi_examples={"email": {"value": EXAMPLE}})],
) -> IntegrationView:
    """Create an integration. It is paused unless `state` is `active`.

    While paused, its webhooks are accepted and wait. The id is made from the name and stays.
    Paste the `webhook_url` of the answer into Jebbit.
    """
    integration = Integration.model_validate(new.model_dump(exclude={"state"}))
    _check_account(integration, state)
    paused = _NEW_REASON if new.state == "paused" else None
    try:
        stored = await state.integrations.create(
            integration, paused_reason=paused, now=state.clock()
        )
    except NameTaken as error:
        raise Problem(
            HTTPStatus.CONFLICT,
            f"An integration has the id {error} already. Choose another name, or change that one "
            f"with PATCH /integrations/{error}.",
        ) from None
    return _view(stored, request, state)


async def found(
    integration_id: Annotated[
        str,
        Path(
            description="As GET /integrations shows it.",
            openapi_examples={"spring-quiz": {"value": "spring-quiz"}},
        ),
    ],
    state: CurrentState,
) -> StoredIntegration:
    """Return the integration of the path.

    Raises:
        UnknownIntegration: answered with 404.
    """
    return await state.integrations.get(integration_id)


Found = Annotated[StoredIntegration, Depends(found)]
_NOT_FOUND = documented(HTTPStatus.NOT_FOUND)


@router.get("/{integration_id}", summary="Show an integration", responses=_NOT_FOUND)
async def get_integration(request: Request, state: CurrentState, stored: Found) -> IntegrationView:
    """Its configuration, state and gate. Secrets are shown as their last four characters."""
    return _view(stored, request, state)


@router.patch(
    "/{integration_id}",
    summary="Change an integration",
    responses=documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY),
)
async def change_integration(
    request: Request,
    state: CurrentState,
    stored: Found,
    patch: Annotated[
        dict[str, JsonValue], Body(openapi_examples={"policy": {"value": _PATCH_EXAMPLE}})
    ],
) -> IntegrationView:
    """Give only what changes (RFC 7396); it holds for everything that is sent from now on.

    Lists are replaced whole. A null puts the default back, except where null is a choice itself,
    as in `jebbit.region`. A changed Cordial account opens a blocked gate.
    """

    def change(before: Integration) -> Integration:
        document = _unmasked(merge_patch(document_of(before), patch), before)
        after = Integration.model_validate(document)
        _check_account(after, state)
        return after

    try:
        changed = await state.integrations.change(stored.id, change, now=state.clock())
    except ValidationError as error:
        raise invalid(error.errors(include_input=False)) from None
    state.wake()
    return _view(changed, request, state)


@router.delete(
    "/{integration_id}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Delete an integration",
    responses=documented(
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        details={HTTPStatus.CONFLICT: _still_pending(3)},
    ),
)
async def delete_integration(
    state: CurrentState,
    stored: Found,
    force: Annotated[bool, Query(description="Also with submissions pending.")] = False,
) -> None:
    """Refused while submissions are pending; with `force` they become dead and are kept."""
    try:
        await state.integrations.delete(stored.id, force=force, now=state.clock())
    except StillPending as error:
        raise Problem(HTTPStatus.CONFLICT, _still_pending(error.count)) from None


@router.post("/{integration_id}/pause", summary="Stop sending", responses=_NOT_FOUND)
async def pause_integration(
    request: Request, state: CurrentState, stored: Found
) -> IntegrationView:
    """Webhooks are accepted all the same; what they bring waits."""
    paused = await state.integrations.pause(
        stored.id, reason="Paused by a person.", now=state.clock()
    )
    return _view(paused, request, state)


@router.post(
    "/{integration_id}/check",
    summary="Check against the Cordial account",
    responses=_NOT_FOUND,
)
async def check_integration(
    state: CurrentState,
    stored: Found,
    create_missing: Annotated[
        bool, Query(description="Create attributes and lists that Cordial does not have.")
    ] = False,
) -> CheckAnswer:
    """Ask the account itself: key, host, permissions, every mapped field, lists, SMS, legal notes.

    Each finding says where in the configuration, what is wrong and what to do. Without errors, a
    gate that Cordial's refusal had blocked is opened.
    """
    findings = await check_stored(state.accounts, stored, create_missing=create_missing)
    ok = not errors_in(findings)
    if ok and stored.gate.state is GateState.BLOCKED:
        await state.integrations.turn_gate(stored.id, succeeded, now=state.clock())
        state.wake()
    views = [FindingView.model_validate(each, from_attributes=True) for each in findings]
    return CheckAnswer(ok=ok, findings=views)


@router.post(
    "/{integration_id}/resume",
    summary="Send again",
    responses=documented(
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        details={
            HTTPStatus.CONFLICT: f"{_CHECK_FAILED} mapping.1: Cordial has First_Name, the mapping "
            "says first_name; case counts. Write First_Name."
        },
    ),
)
async def resume_integration(
    request: Request,
    state: CurrentState,
    stored: Found,
    force: Annotated[bool, Query(description="Also with errors in the check.")] = False,
) -> IntegrationView:
    """Send what waits, and open a gate that is closed, held or blocked.

    The check is made first; with errors the answer is 409 with its findings, unless `force`.
    """
    try:
        resumed = await resume(
            state.integrations, state.accounts, stored, force=force, now=state.clock()
        )
    except CheckFailed as error:
        raise Problem(
            HTTPStatus.CONFLICT,
            f"{_CHECK_FAILED} {error}",
            errors=[Place(place=each.place, detail=said(each)) for each in error.errors],
        ) from None
    state.wake()
    return _view(resumed, request, state)


@router.post(
    "/{integration_id}/preview",
    summary="Show what would be sent",
    responses=documented(
        HTTPStatus.NOT_FOUND,
        HTTPStatus.BAD_REQUEST,
        details={
            HTTPStatus.BAD_REQUEST: "The body is JSON, but neither an object nor an array of "
            "objects."
        },
    ),
)
async def preview(
    state: CurrentState,
    stored: Found,
    body: Annotated[JsonValue, Body(openapi_examples={"jebbit": {"value": _JEBBIT_EXAMPLE}})],
    request: Request,
) -> PreviewAnswer:
    """Give any Jebbit body, no signature needed. Nothing is stored or sent.

    The same function decides here and in delivery; the request is the exact one, its key masked.
    """
    try:
        items = parse(await request.body())
    except (UnreadableBody, TooManyItems) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from None
    return PreviewAnswer(
        submissions=[
            await explain(state, item.submission, stored) if item.submission else None
            for item in items
        ]
    )


@router.post(
    "/{integration_id}/webhook-secrets",
    summary="Add a webhook secret",
    responses=documented(
        HTTPStatus.NOT_FOUND,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        details={
            HTTPStatus.UNPROCESSABLE_ENTITY: "secret: must be plain ASCII, not empty, without "
            "spaces around it"
        },
    ),
)
async def add_webhook_secret(
    request: Request, state: CurrentState, stored: Found, new: NewSecret
) -> IntegrationView:
    """To rotate: add the new one here, change it at Jebbit, then remove the old one."""
    added = await keep_secret(state, stored.id, new.secret.get_secret_value())
    return _view(added, request, state)


@router.delete(
    "/{integration_id}/webhook-secrets/{last4}",
    summary="Remove a webhook secret",
    responses=documented(
        HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, details={HTTPStatus.CONFLICT: _LAST_ONE}
    ),
)
async def remove_webhook_secret(
    request: Request,
    state: CurrentState,
    stored: Found,
    last4: Annotated[str, Path(openapi_examples={"cdef": {"value": "cdef"}})],
) -> IntegrationView:
    """Named by its last four characters. The last secret cannot be removed."""

    def remove(secrets: list[str]) -> list[str]:
        kept = [each for each in secrets if each[-4:] != last4]
        if len(kept) == len(secrets):
            raise Problem(HTTPStatus.NOT_FOUND, f"No webhook secret ends in {last4!r}.")
        if len(kept) < len(secrets) - 1:
            raise Problem(HTTPStatus.CONFLICT, f"Several webhook secrets end in {last4!r}.")
        if not kept:
            raise Problem(HTTPStatus.CONFLICT, _LAST_ONE)
        return kept

    return _view(await _change_secrets(state, stored.id, remove), request, state)


async def keep_secret(state: State, integration_id: str, added: str) -> StoredIntegration:
    """Add a webhook secret to those that are valid; one that is among them stays there once.

    Raises:
        UnknownIntegration: it is gone.
    """

    def add(secrets: list[str]) -> list[str]:
        return secrets if added in secrets else [*secrets, added]

    return await _change_secrets(state, integration_id, add)


async def _change_secrets(
    state: State, integration_id: str, change: Callable[[list[str]], list[str]]
) -> StoredIntegration:
    def changed(before: Integration) -> Integration:
        document = document_of(before)
        document["jebbit"]["webhook_secrets"] = change(document["jebbit"]["webhook_secrets"])
        return Integration.model_validate(document)

    return await state.integrations.change(integration_id, changed, now=state.clock())


def _unmasked(document: dict[str, Any], before: Integration) -> dict[str, Any]:
    """Take a secret that comes back as it was shown for the secret itself."""
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


def _check_account(integration: Integration, state: State) -> None:
    try:
        api_base(integration.cordial.account_url, state.settings.cordial_extra_hosts)
    except BadAccountUrl as error:
        place = Place(place="cordial.account_url", detail=str(error))
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"{place.place}: {error}", errors=[place]
        ) from None


def _view(stored: StoredIntegration, request: Request, state: State) -> IntegrationView:
    return IntegrationView.of(stored, outside_url(request, state))
