"""Managing integrations."""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from app.api.auth import DESCRIBED, REFUSED, CurrentCaller, Protected
from app.api.problems import documented
from app.api.refusals import told
from app.api.state import CurrentContext, OutsideUrl
from app.api.views import At, IntegrationView, PlanView, moment
from app.ledger.integrations import NameTaken, StillPending, StoredIntegration, VersionChanged
from app.operations import (
    attributes,
    checking,
    describing,
    integrations,
    previewing,
    resuming,
    rotating,
)
from app.operations.describing import Described
from app.operations.rotating import LastSecret
from app.rules.integration import Integration, Secret

router = APIRouter(
    prefix="/integrations",
    tags=["integrations"],
    route_class=Protected,
    dependencies=[DESCRIBED],
    responses={**REFUSED, **documented(HTTPStatus.SERVICE_UNAVAILABLE)},
)


IntegrationId = Annotated[
    str,
    Path(
        description="As GET /integrations shows it.",
        openapi_examples={"spring-quiz": {"value": "spring-quiz"}},
    ),
]
IfMatch = Annotated[
    str | None,
    Header(description="The ETag of what you looked at: 412 if it was changed since."),
]
Force = Annotated[bool, Query(description="Also with errors in the check.")]
_NOT_FOUND = documented(HTTPStatus.NOT_FOUND)

CHECK_FAILED = (
    "The check finds errors; mend them, or add ?force=true. mapping.1: Cordial has First_Name, the "
    "mapping says first_name; case counts. Write First_Name."
)

EXAMPLE: dict[str, Any] = {
    "name": "Spring quiz",
    "cordial": {"account_url": "https://admin.cordial.io", "api_key": "the-key-from-cordial"},
    "jebbit": {"region": "us"},
    "mapping": [
        {"attribute": "email", "field": "channels.email.address"},
        {"attribute": "first_name", "field": "first_name"},
        {"attribute": "outcome", "field": "quiz_outcome"},
    ],
    "policy": {"collect": "both", "opt_in": "opted_in_only", "auto_subscribe": True},
}
_VERSION = re.compile(r"[0-9]{1,18}", re.ASCII)
_PATCH_EXAMPLE: dict[str, Any] = {"policy": {"opt_in": "opted_in_or_null"}}
_JEBBIT_EXAMPLE: list[Any] = [
    {
        "data": {"email": "ann@example.com", "opt_in": "true", "outcome": "Bold"},
        "event": {"event_number": 0},
    }
]


def _showing(
    response: Response, context: CurrentContext, outside_url: OutsideUrl
) -> Callable[[StoredIntegration], IntegrationView]:
    """Return what makes the answer that shows an integration, with its version as the ETag."""

    def show(stored: StoredIntegration) -> IntegrationView:
        response.headers["ETag"] = f'"{stored.version}"'
        return IntegrationView.of(stored, outside_url, guessed=context.public_url is None)

    return show


Show = Annotated[Callable[[StoredIntegration], IntegrationView], Depends(_showing)]


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


class SecretView(BaseModel):
    """How a webhook secret is named; the secret itself is never shown."""

    last4: str = Field(examples=["cdef"])
    fingerprint: str = Field(
        description="A keyed digest: tells secrets apart that end alike.", examples=["5f1d0c27a9be"]
    )


class PreviewAnswer(BaseModel):
    """What would be done with each submission of a body."""

    submissions: list[PlanView | None] = Field(description="In order; null for what is unreadable.")


class FindingView(BaseModel):
    """One thing the check found."""

    level: Literal["error", "warning", "note"] = Field(
        description="error: contacts go wrong; warning: they may; note: know it."
    )
    place: str = Field(examples=["mapping.1"])
    problem: str = Field(examples=["Cordial has First_Name, the mapping says first_name."])
    remedy: str = Field(examples=["Write First_Name."])


class CheckAnswer(BaseModel):
    """The check of an integration; `ok` where nothing is an error."""

    ok: bool
    findings: list[FindingView]


class SeenView(BaseModel):
    """A key that came in."""

    key: str = Field(examples=["opt_in"])
    times: int = Field(examples=[412])
    last_seen: At = Field(examples=["2026-11-26T01:30:26+00:00"])
    kinds: list[str] = Field(
        description="What its values are: blank, text, number, yes/no, list, object.",
        examples=[["blank", "text"]],
    )
    used_by: list[str] = Field(
        description="Places of the configuration that name it; none: nothing uses it.",
        examples=[["jebbit.attributes.opt_in"]],
    )


class UnclearView(BaseModel):
    """An answer to an opt-in that is neither yes nor no here."""

    attribute: str = Field(examples=["opt_in"])
    text: str | None = Field(
        description="To be added to jebbit.opt_in_labels; null where you may not see answers.",
        examples=["count me in"],
    )
    times: int = Field(examples=[37])


class AttributesAnswer(BaseModel):
    """What the source really sends; no values but the labels of unclear opt-ins."""

    submissions: int = Field(description="How many were looked through: the newest ones kept.")
    attributes: list[SeenView]
    missing: dict[str, str] = Field(
        description="Attributes that the configuration names, by place, and none of them had.",
        examples=[{"mapping.2.attribute": "first_name"}],
    )
    unclear: list[UnclearView]


class AccountAttributeView(BaseModel):
    """A contact attribute of the Cordial account."""

    key: str = Field(examples=["first_name"])
    type: str = Field(
        description="As a rule's type; one that is not known here is as Cordial writes it.",
        examples=["string"],
    )
    longest: float | None = Field(
        description="The most that it takes: characters of a text or of each item, or the number.",
        examples=[128],
    )
    items: int | None = Field(description="The most items of an array.", examples=[None])
    required: bool = Field(description="Cordial refuses a contact without it.", examples=[False])


class AccountAnswer(BaseModel):
    """What a mapping can fill in the Cordial account; null for what Cordial does not tell."""

    attributes: list[AccountAttributeView] | None
    lists: list[str] | None = Field(examples=[["vip", "weekly_deals"]])
    problems: list[str] = Field(description="Why something is null.", examples=[[]])
    read_at: At = Field(description="When Cordial told it.", examples=["2026-11-26T01:30:26+00:00"])

    @classmethod
    def of(cls, described: Described, now: float) -> Self:
        """Return the view of what an account told; `now` is in unix seconds."""
        attributes = described.attributes
        return cls(
            attributes=None
            if attributes is None
            else [
                AccountAttributeView(
                    key=each.key,
                    type=each.type or each.written,
                    longest=each.longest,
                    items=each.items,
                    required=each.required,
                )
                for each in attributes
            ],
            lists=None if described.lists is None else list(described.lists),
            problems=list(described.problems),
            read_at=moment(now - described.age),
        )


@router.get("", summary="List the integrations")
async def list_integrations(
    context: CurrentContext, outside_url: OutsideUrl
) -> list[IntegrationView]:
    """Every integration with its state; `blocked` ones need somebody, `state_reason` says why."""
    found = await integrations.list_integrations(context)
    return [
        IntegrationView.of(each, outside_url, guessed=context.public_url is None) for each in found
    ]


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    summary="Create an integration",
    responses=documented(
        HTTPStatus.CONFLICT,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        details={
            HTTPStatus.CONFLICT: told(NameTaken("spring-quiz")),
        },
    ),
)
async def create_integration(
    context: CurrentContext,
    who: CurrentCaller,
    show: Show,
    new: Annotated[NewIntegration, Body(openapi_examples={"email": {"value": EXAMPLE}})],
    force: Annotated[bool, Query(description="Active also with errors in the check.")] = False,
) -> IntegrationView:
    """Create an integration. It is paused unless `state` is `active`.

    One that is to be active is checked first, as by `resume`: 409 with the findings and nothing
    created, unless `force`.

    While paused, its webhooks are accepted and wait. The id is made from the name and stays.
    Paste the `webhook_url` of the answer into Jebbit, then add the shared secret that Jebbit shows:
    `POST .../webhook-secrets`. Or let `POST .../jebbit/register` do both.
    """
    integration = Integration.model_validate(new.model_dump(exclude={"state"}))
    paused = new.state == "paused"
    stored = await integrations.create(context, who, integration, paused=paused, force=force)
    return show(stored)


@router.get("/{integration_id}", summary="Show an integration", responses=_NOT_FOUND)
async def get_integration(
    context: CurrentContext, show: Show, integration_id: IntegrationId
) -> IntegrationView:
    """Its configuration, state and gate. Secrets are shown as their last four characters."""
    return show(await integrations.get(context, integration_id))


@router.get(
    "/{integration_id}/attributes", summary="Show what the source sends", responses=_NOT_FOUND
)
async def list_attributes_seen(
    context: CurrentContext, who: CurrentCaller, integration_id: IntegrationId
) -> AttributesAnswer:
    """The keys in the newest submissions: how often, as what, and which rule uses them.

    `unclear` lists the opt-in answers that are neither yes nor no. PATCH the integration with
    `jebbit.opt_in_labels` to say what they mean, then replay.
    """
    seen = await attributes.attributes_seen(context, integration_id)
    return AttributesAnswer(
        submissions=seen.submissions,
        attributes=[
            SeenView(
                key=each.key,
                times=each.times,
                last_seen=moment(each.last_seen),
                kinds=list(each.kinds),
                used_by=list(each.used_by),
            )
            for each in seen.attributes
        ],
        missing=dict(seen.missing),
        unclear=[
            UnclearView(
                attribute=each.attribute,
                text=each.text if who.sees_people else None,
                times=each.times,
            )
            for each in seen.unclear
        ],
    )


@router.get(
    "/{integration_id}/account", summary="Show what the Cordial account has", responses=_NOT_FOUND
)
async def get_account(
    context: CurrentContext,
    integration_id: IntegrationId,
    refresh: Annotated[
        bool, Query(description="Ask Cordial now, not what it told within the last 5 minutes.")
    ] = False,
) -> AccountAnswer:
    """The attributes and lists that a mapping can fill, with what they take at most.

    What Cordial does not tell is null, and `problems` says why.
    """
    return AccountAnswer.of(
        await describing.account_of(context, integration_id, refresh=refresh), context.clock()
    )


@router.patch(
    "/{integration_id}",
    summary="Change an integration",
    responses=documented(
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        HTTPStatus.PRECONDITION_FAILED,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        details={
            HTTPStatus.CONFLICT: CHECK_FAILED,
            HTTPStatus.PRECONDITION_FAILED: told(VersionChanged(8)),
        },
    ),
)
async def change_integration(
    context: CurrentContext,
    who: CurrentCaller,
    show: Show,
    integration_id: IntegrationId,
    patch: Annotated[
        dict[str, JsonValue], Body(openapi_examples={"policy": {"value": _PATCH_EXAMPLE}})
    ],
    if_match: IfMatch = None,
    force: Force = False,
) -> IntegrationView:
    """Give only what changes (RFC 7396); it holds for everything that is sent from now on.

    Lists are replaced whole. A null puts the default back, except where null is a choice itself,
    as in `jebbit.region`. An active integration is checked first, as by `resume`: 409 with the
    findings, unless `force`. A changed account host wants its key given anew. A changed Cordial
    account opens a blocked gate.
    """
    wanted = integrations.Change(patch, versions_in(if_match), force)
    changed = await integrations.change(context, who, integration_id, wanted)
    return show(changed)


@router.delete(
    "/{integration_id}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Delete an integration",
    responses=documented(
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        details={HTTPStatus.CONFLICT: told(StillPending(3))},
    ),
)
async def delete_integration(
    context: CurrentContext,
    who: CurrentCaller,
    integration_id: IntegrationId,
    force: Annotated[bool, Query(description="Also with submissions pending.")] = False,
) -> None:
    """Refused while submissions are pending; with `force` they become dead and are kept."""
    await integrations.delete(context, who, integration_id, force=force)


@router.post("/{integration_id}/pause", summary="Stop sending", responses=_NOT_FOUND)
async def pause_integration(
    context: CurrentContext,
    who: CurrentCaller,
    show: Show,
    integration_id: IntegrationId,
) -> IntegrationView:
    """Webhooks are accepted all the same; what they bring waits."""
    return show(await integrations.pause(context, who, integration_id))


@router.post(
    "/{integration_id}/check",
    summary="Check against the Cordial account",
    responses=_NOT_FOUND,
)
async def check_integration(
    context: CurrentContext,
    who: CurrentCaller,
    integration_id: IntegrationId,
    create_missing: Annotated[
        bool, Query(description="Create attributes and lists that Cordial does not have.")
    ] = False,
    index: Annotated[
        bool | None,
        Query(
            description="Whether the attributes it creates are indexed: to choose an audience by "
            "one, it must be. Left out, they are not, and the finding asks."
        ),
    ] = None,
) -> CheckAnswer:
    """Ask the account itself: key, host, permissions, every mapped field, lists, SMS, legal notes.

    Each finding says where in the configuration, what is wrong and what to do. Without errors, a
    gate that Cordial's refusal had blocked is opened.
    """
    checked = await checking.check_integration(
        context, who, integration_id, create_missing=create_missing, index=index
    )
    return CheckAnswer.model_validate(checked, from_attributes=True)


@router.post(
    "/{integration_id}/resume",
    summary="Send again",
    responses=documented(
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        details={HTTPStatus.CONFLICT: CHECK_FAILED},
    ),
)
async def resume_integration(
    context: CurrentContext,
    who: CurrentCaller,
    show: Show,
    integration_id: IntegrationId,
    force: Force = False,
) -> IntegrationView:
    """Send what waits, and open a gate that is closed, held or blocked.

    The check is made first; with errors the answer is 409 with its findings, unless `force`. It is
    409 too, whatever `force` says, while an integration is set up in the console and nobody has
    said whom it sends and subscribes.
    """
    resumed = await resuming.resume(context, who, integration_id, force=force)
    return show(resumed)


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
async def preview_integration(
    context: CurrentContext,
    integration_id: IntegrationId,
    body: Annotated[JsonValue, Body(openapi_examples={"jebbit": {"value": _JEBBIT_EXAMPLE}})],
    request: Request,
) -> PreviewAnswer:
    """Give any Jebbit body, no signature needed. Nothing is stored or sent.

    The same function decides here and in delivery; the request is the exact one, its key masked.
    """
    explained = await previewing.preview(context, integration_id, await request.body())
    return PreviewAnswer(submissions=[PlanView.of(each) if each else None for each in explained])


@router.get(
    "/{integration_id}/webhook-secrets", summary="List the webhook secrets", responses=_NOT_FOUND
)
async def list_webhook_secrets(
    context: CurrentContext, integration_id: IntegrationId
) -> list[SecretView]:
    """How each is named, in the order in which they were added; none is shown."""
    found = await rotating.secrets_of(context, integration_id)
    return [SecretView.model_validate(each, from_attributes=True) for each in found]


@router.post(
    "/{integration_id}/webhook-secrets",
    summary="Add a webhook secret",
    responses=documented(
        HTTPStatus.NOT_FOUND,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        details={HTTPStatus.UNPROCESSABLE_ENTITY: "secret: needs at least 16 characters"},
    ),
)
async def add_webhook_secret(
    context: CurrentContext,
    who: CurrentCaller,
    show: Show,
    integration_id: IntegrationId,
    new: NewSecret,
) -> IntegrationView:
    """To rotate: add the new one here, change it at Jebbit, then remove the old one."""
    added = await rotating.add_secret(context, who, integration_id, new.secret.get_secret_value())
    return show(added)


@router.delete(
    "/{integration_id}/webhook-secrets/{last4}",
    summary="Remove a webhook secret",
    responses=documented(
        HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, details={HTTPStatus.CONFLICT: told(LastSecret())}
    ),
)
async def remove_webhook_secret(
    context: CurrentContext,
    who: CurrentCaller,
    show: Show,
    integration_id: IntegrationId,
    last4: Annotated[
        str,
        Path(
            description="Its last four characters, or its fingerprint.",
            openapi_examples={"cdef": {"value": "cdef"}, "fingerprint": {"value": "5f1d0c27a9be"}},
        ),
    ],
) -> IntegrationView:
    """Named by its last four characters or, where several end alike, by its fingerprint.

    `GET .../webhook-secrets` shows both. The last secret cannot be removed.
    """
    removed = await rotating.remove_secret(context, who, integration_id, last4)
    return show(removed)


def versions_in(if_match: str | None) -> frozenset[int] | None:
    """Return the versions that If-Match names; a tag that is no version matches nothing."""
    tags = [each.strip().removeprefix("W/").strip('"') for each in (if_match or "*").split(",")]
    if "*" in tags:
        return None
    return frozenset(int(each) for each in tags if _VERSION.fullmatch(each))
