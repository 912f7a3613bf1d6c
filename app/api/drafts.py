"""Changes of an integration before they are made, and after."""

import json
from http import HTTPStatus
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Body, Path, Query
from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from app.api.auth import DESCRIBED, REFUSED, CurrentCaller, Protected
from app.api.integrations import (
    CHECK_FAILED,
    Force,
    IfMatch,
    IntegrationId,
    PreviewAnswer,
    Show,
    versions_in,
)
from app.api.problems import documented
from app.api.refusals import told
from app.api.state import CurrentContext
from app.api.views import At, IntegrationView, PlanView, moment
from app.ledger.changes import ChangeKind, UnknownVersion
from app.ledger.integrations import UnknownIntegration, VersionChanged
from app.operations import changes, comparing, drafting, previewing
from app.operations.changes import Difference, Version

router = APIRouter(
    prefix="/integrations/{integration_id}",
    tags=["integrations"],
    route_class=Protected,
    dependencies=[DESCRIBED],
    responses={**REFUSED, **documented(HTTPStatus.SERVICE_UNAVAILABLE)},
)

_NOT_FOUND = documented(
    HTTPStatus.NOT_FOUND,
    details={HTTPStatus.NOT_FOUND: told(UnknownIntegration("spring-quiz"))},
)
_NO_VERSION = documented(
    HTTPStatus.NOT_FOUND, details={HTTPStatus.NOT_FOUND: told(UnknownVersion(7))}
)
_INVALID = documented(
    HTTPStatus.UNPROCESSABLE_ENTITY,
    details={
        HTTPStatus.UNPROCESSABLE_ENTITY: "policy.opt_in_field: everyone needs a field for the "
        "status of the opt-in"
    },
)
_PATCH: dict[str, Any] = {"policy": {"opt_in": "opted_in_or_null"}}

VersionNumber = Annotated[
    int,
    Path(
        description="As GET .../changes shows it.",
        ge=0,
        lt=2**31,
        openapi_examples={"one": {"value": 752233412}},
    ),
]


class DraftPreview(BaseModel):
    """A change to be, and what to show it on: a body, or a stored submission."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    patch: dict[str, JsonValue] = Field(
        description="As PATCH takes it (RFC 7396).", examples=[_PATCH]
    )
    body: JsonValue = Field(
        None,
        description="Any Jebbit body.",
        examples=[{"email": "ann@example.com", "outcome": "Bold"}],
    )
    submission: str | None = Field(
        None, description="The id of a stored submission, in place of a body.", max_length=100
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if ("body" in self.model_fields_set) == (self.submission is not None):
            raise ValueError("give either body or submission")
        return self


class DraftComparison(BaseModel):
    """A change to be, and over how many submissions to compare it with the rules of today."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    patch: dict[str, JsonValue] = Field(
        description="As PATCH takes it (RFC 7396).", examples=[_PATCH]
    )
    last: int = Field(
        comparing.LAST,
        ge=1,
        le=comparing.MOST,
        description="So many of the newest submissions.",
        examples=[500],
    )


class OutcomeView(BaseModel):
    """What a plan comes to; a status that is null leaves the channel alone."""

    outcome: Literal["upsert", "skip"] = Field(examples=["upsert"])
    reason: str | None = Field(description="Of a skip.", examples=[None])
    email: str | None = Field(description="The status asked.", examples=["subscribed"])
    sms: str | None = Field(description="The status asked.", examples=[None])
    force: bool = Field(description="Whether it is forced.", examples=[False])


class OutcomeChangeView(BaseModel):
    """So many submissions would have another outcome."""

    before: OutcomeView
    after: OutcomeView
    count: int = Field(examples=[84])
    examples: list[str] = Field(
        description="The ids of some.", examples=[["01a20ac69210234f482e7fb8c55a324e"]]
    )


class FieldChangeView(BaseModel):
    """In so many submissions a field would be sent that was not, otherwise, or no more."""

    field: str = Field(examples=["quiz_outcome"])
    added: int = Field(examples=[0])
    changed: int = Field(examples=[12])
    removed: int = Field(examples=[0])


class ComparisonAnswer(BaseModel):
    """The rules of today and the changed ones, over what really came in."""

    compared: int = Field(examples=[500])
    not_compared: int = Field(
        description="Their payloads were wiped, are too large, or cannot be read.", examples=[0]
    )
    newly_subscribed: int = Field(
        description="For how many a channel would be subscribed, or forced to be, that is not now.",
        examples=[84],
    )
    changes: list[OutcomeChangeView]
    fields: list[FieldChangeView]


class DifferenceView(BaseModel):
    """What one place of the configuration was and is; null: it was not there, or is no more."""

    place: str = Field(examples=["policy.opt_in"])
    before: JsonValue = Field(examples=["opted_in_only"])
    after: JsonValue = Field(examples=["opted_in_or_null"])

    @classmethod
    def of(cls, difference: Difference) -> Self:
        """Return the view of a difference."""
        return cls(place=difference.place, before=difference.before, after=difference.after)


class VersionView(BaseModel):
    """A version of the configuration."""

    version: int = Field(examples=[752233413])
    at: At = Field(examples=["2026-11-26T01:30:26+00:00"])
    by: str | None = Field(
        description="The name of the token; null: it was made before versions were kept.",
        examples=["maria"],
    )
    kind: ChangeKind = Field(
        description="found: it was there before versions were kept.", examples=["changed"]
    )
    restores: int | None = Field(description="The version that it brought back.", examples=[None])
    differences: list[DifferenceView] = Field(description="From the version before it.")

    @classmethod
    def of(cls, version: Version) -> Self:
        """Return the view of a version."""
        made = version.made
        return cls(
            version=made.version,
            at=moment(made.at),
            by=made.by,
            kind=made.kind,
            restores=made.restores,
            differences=[DifferenceView.of(each) for each in version.differences],
        )


class ChangesPage(BaseModel):
    """The versions of an integration, the newest first."""

    changes: list[VersionView]
    cursor: str | None = Field(
        description="Give it as `cursor` for the next page; null: no more.", examples=[None]
    )


class ChangeAnswer(BaseModel):
    """A version whole, and how it differs from another one."""

    version: int = Field(examples=[752233412])
    configuration: dict[str, JsonValue] = Field(
        description="Secrets are masked.", examples=[{"name": "Spring quiz"}]
    )
    against: int | None = Field(
        description="The version that it is compared with; null: the one that holds now.",
        examples=[None],
    )
    differences: list[DifferenceView] = Field(
        description="`before` is what the other one has, `after` what this one has."
    )


@router.post(
    "/drafts/preview",
    summary="Show what a change would send",
    responses={**_NOT_FOUND, **_INVALID},
)
async def preview_draft(
    context: CurrentContext,
    who: CurrentCaller,
    integration_id: IntegrationId,
    draft: Annotated[
        DraftPreview,
        Body(
            openapi_examples={
                "body": {
                    "value": {
                        "patch": _PATCH,
                        "body": {"email": "ann@example.com", "outcome": "Bold"},
                    }
                }
            }
        ),
    ],
) -> PreviewAnswer:
    """The preview as it would be with the patch, on a body or on a stored submission.

    Nothing is changed, stored or sent. A stored submission that cannot be read any more is null.
    """
    if draft.submission is not None:
        found = await drafting.preview_stored(
            context, who, integration_id, draft.patch, draft.submission
        )
        explained = [found]
    else:
        explained = await previewing.preview(
            context, integration_id, json.dumps(draft.body).encode(), draft.patch
        )
    return PreviewAnswer(submissions=[PlanView.of(each) if each else None for each in explained])


@router.post(
    "/drafts/comparison",
    summary="Compare a change with what came in",
    responses={**_NOT_FOUND, **_INVALID},
)
async def compare_draft(
    context: CurrentContext,
    integration_id: IntegrationId,
    draft: Annotated[
        DraftComparison,
        Body(openapi_examples={"policy": {"value": {"patch": _PATCH, "last": 500}}}),
    ],
) -> ComparisonAnswer:
    """Plan the newest stored submissions by the rules of today and by the patched ones.

    Nothing is changed or sent. Look at `newly_subscribed` before you PATCH. What Cordial would
    refuse, and which answers are older than others, is not known.
    """
    found = await comparing.compare(context, integration_id, draft.patch, draft.last)
    return ComparisonAnswer.model_validate(found, from_attributes=True)


@router.get("/changes", summary="Show the versions of an integration", responses=_NOT_FOUND)
async def list_changes(
    context: CurrentContext,
    integration_id: IntegrationId,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[
        str | None, Query(pattern=r"^[0-9]{1,18}$", description="As the page before gave it.")
    ] = None,
) -> ChangesPage:
    """Who changed what and when; secrets are masked. Restore one by POST .../restore."""
    older_than = None if cursor is None else int(cursor)
    found = await changes.history(context, integration_id, limit, older_than)
    return ChangesPage(
        changes=[VersionView.of(each) for each in found.versions],
        cursor=str(found.versions[-1].id) if found.more else None,
    )


@router.get(
    "/changes/{version}", summary="Show one version of an integration", responses=_NO_VERSION
)
async def get_change(
    context: CurrentContext,
    integration_id: IntegrationId,
    version: VersionNumber,
    against: Annotated[
        int | None,
        Query(ge=0, lt=2**31, description="Another version; without it, the one that holds now."),
    ] = None,
) -> ChangeAnswer:
    """The configuration as it was, and how it differs from what holds now or from another one."""
    found = await changes.compare(context, integration_id, version, against)
    return ChangeAnswer(
        version=version,
        configuration=dict(found.config),
        against=against,
        differences=[DifferenceView.of(each) for each in found.differences],
    )


@router.post(
    "/changes/{version}/restore",
    summary="Bring an earlier version back",
    responses={
        **_NO_VERSION,
        **_INVALID,
        **documented(
            HTTPStatus.CONFLICT,
            HTTPStatus.PRECONDITION_FAILED,
            details={
                HTTPStatus.CONFLICT: CHECK_FAILED,
                HTTPStatus.PRECONDITION_FAILED: told(VersionChanged(8)),
            },
        ),
    },
)
async def restore_change(
    context: CurrentContext,
    who: CurrentCaller,
    show: Show,
    integration_id: IntegrationId,
    version: VersionNumber,
    if_match: IfMatch = None,
    force: Force = False,
) -> IntegrationView:
    """Make a new version that reads as an earlier one; its secrets stay those of today.

    The checks are those of a PATCH. Compare it first: GET .../changes/{version} says what differs.
    """
    restored = await changes.restore(
        context,
        who,
        integration_id,
        version,
        versions=versions_in(if_match),
        force=force,
    )
    return show(restored)
