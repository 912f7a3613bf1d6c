"""Setting up an integration's webhook at Jebbit."""

from http import HTTPStatus
from typing import Annotated, Any, Self

from fastapi import APIRouter, Body, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from app.api.auth import DESCRIBED, REFUSED, CurrentCaller, Protected
from app.api.integrations import IntegrationId
from app.api.problems import Problem, documented
from app.api.refusals import told
from app.api.state import CurrentContext, OutsideUrl
from app.api.views import At, moment
from app.jebbit.credentials import ApiCredentials
from app.ledger.registrations import Registration
from app.operations import registering
from app.operations.registering import JebbitUnreachable, NoOrphan, NotRegistered, RegisteredAlready
from app.rules.integration import JebbitRegion, Secret

_UNREGISTERED = told(NotRegistered("spring-quiz"))


def _called(conflict: str) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries of an operation that calls Jebbit."""
    return documented(
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.BAD_GATEWAY,
        details={
            HTTPStatus.CONFLICT: conflict,
            HTTPStatus.UNPROCESSABLE_ENTITY: "client_secret: Jebbit does not know this client id "
            "and secret. Check both.",
            HTTPStatus.BAD_GATEWAY: told(JebbitUnreachable("HTTP 500")),
        },
    )


router = APIRouter(
    prefix="/integrations/{integration_id}/jebbit",
    tags=["jebbit"],
    route_class=Protected,
    dependencies=[DESCRIBED],
    responses={
        **REFUSED,
        **documented(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)

_CREDENTIALS_EXAMPLE: dict[str, Any] = {
    "client_id": "the-client-id-from-jebbit",
    "client_secret": "the-client-secret-from-jebbit",
}
_REGISTER_EXAMPLES: Any = {
    "once": {"summary": "Use the credentials once", "value": _CREDENTIALS_EXAMPLE},
    "remember": {
        "summary": "Remember them; one of several businesses; one campaign",
        "value": {
            **_CREDENTIALS_EXAMPLE,
            "business_id": "abc123",
            "remember": True,
            "additional_options": {"campaign_name_filter": "Spring", "include_outcome_names": True},
        },
    },
}


class Credentials(BaseModel):
    """A client of Jebbit's API. Used for this call and not stored, unless told to remember."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    client_id: str = Field(pattern=r"^[!-~]+$", max_length=500)
    client_secret: Secret = Field(description="Write-only.")
    business_id: str | None = Field(
        None,
        pattern=r"^[!-~]+$",
        max_length=100,
        description="Which business is meant; needed where the client may act for several.",
    )

    def opened(self) -> ApiCredentials:
        """Return them as the client needs them."""
        return ApiCredentials(
            self.client_id, self.client_secret.get_secret_value(), self.business_id
        )


MaybeCredentials = Annotated[
    Credentials | None,
    Body(
        description="Leave the body out where credentials are remembered.",
        openapi_examples={"given": {"value": _CREDENTIALS_EXAMPLE}},
    ),
]


def _opened(given: Credentials | None) -> ApiCredentials | None:
    return given.opened() if given else None


class AdditionalOptions(BaseModel):
    """What Jebbit is to send; what is left out is as Jebbit has it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    campaign_name_filter: str | None = None
    include_url_params: bool | None = None
    include_sub_channel: bool | None = None
    include_outcome_names: bool | None = None
    require_outcomes: bool | None = None
    hash_pii: bool | None = Field(
        None, description="true sends no addresses, so that everyone is skipped: `no_identity`."
    )


class NewRegistration(Credentials):
    """Whom to register as, and how."""

    remember: bool = Field(
        False, description="Keep the credentials, encrypted, for `test` and `backfill`."
    )
    region: JebbitRegion | None = Field(
        None, description="Where the integration's `jebbit.region` is null: where Jebbit stores."
    )
    additional_options: AdditionalOptions = AdditionalOptions()
    jebbit_id: str | None = Field(
        None,
        pattern=r"^[!-~]+$",
        max_length=100,
        description="Take this integration, which is at Jebbit already, and make none.",
    )

    def asked(self) -> registering.NewRegistration:
        """Return it as the operation takes it."""
        options = self.additional_options.model_dump(exclude_none=True)
        return registering.NewRegistration(
            self.opened(), self.region, options, self.remember, self.jebbit_id
        )


class RegistrationView(BaseModel):
    """An integration's counterpart at Jebbit."""

    integration: str = Field(examples=["spring-quiz"])
    jebbit_id: str = Field(description="Of the webhook integration at Jebbit.", examples=["abc123"])
    credentials_remembered: bool
    registered_at: At

    @classmethod
    def of(cls, registration: Registration, **more: Any) -> Self:
        """Return the view of a registration."""
        return cls(
            integration=registration.integration_id,
            jebbit_id=registration.jebbit_id,
            credentials_remembered=registration.credentials is not None,
            registered_at=moment(registration.created_at),
            **more,
        )


class RegisteredView(RegistrationView):
    """What was registered at Jebbit just now."""

    webhook_url: str
    region: JebbitRegion
    webhook_secret: str | None = Field(
        description="Jebbit's shared secret, which is stored here; null where Jebbit did not show "
        "it."
    )
    then: str = Field(
        description="What to do next.", examples=["Ask for a test webhook: POST .../jebbit/test."]
    )


class OrphanView(BaseModel):
    """A webhook integration at Jebbit that posts here and is not the registered one."""

    jebbit_id: str = Field(examples=["abc123"])
    endpoint: str = Field(examples=["https://sync.example.com/webhooks/jebbit/spring-quiz"])
    region: str | None = Field(examples=["us"])


class OrphansAnswer(BaseModel):
    """What at Jebbit posts here, but for what is registered."""

    registered: str | None = Field(
        description="The integration in use, which stays.", examples=["def567"]
    )
    orphans: list[OrphanView]


class TestAsked(BaseModel):
    """A test webhook is under way."""

    jebbit_id: str
    look_at: str = Field(examples=["/submissions?integration=spring-quiz&status=test"])


class BackfillAsked(BaseModel):
    """A historic backfill is under way."""

    jebbit_id: str
    backfill_id: str
    status: str | None = Field(description="As Jebbit says it.", examples=["processing"])


@router.post(
    "/register",
    status_code=HTTPStatus.CREATED,
    summary="Register the webhook at Jebbit",
    responses=_called(told(RegisteredAlready("abc123"))),
)
async def register_at_jebbit(
    context: CurrentContext,
    who: CurrentCaller,
    integration_id: IntegrationId,
    outside_url: OutsideUrl,
    new: Annotated[NewRegistration, Body(openapi_examples=_REGISTER_EXAMPLES)],
    force: Annotated[
        bool, Query(description="Although it was registered before; that one stays at Jebbit.")
    ] = False,
) -> RegisteredView:
    """Create the webhook integration at Jebbit, with our `webhook_url` and the region.

    Nothing is made where Jebbit has an integration with this address already: 409 names it.
    Jebbit's shared secret is stored as a further webhook secret; earlier ones stay valid until you
    remove them. If Jebbit does not show it, `then` asks for it. Next: `POST .../jebbit/test`.
    """
    done = await registering.register(
        context, who, integration_id, new.asked(), base_url=outside_url, force=force
    )
    return RegisteredView.of(
        done.registration,
        webhook_url=done.webhook_url,
        region=done.region,
        webhook_secret=done.secret,
        then=done.then,
    )


@router.get(
    "",
    summary="Show what is registered at Jebbit",
    responses=documented(HTTPStatus.NOT_FOUND, details={HTTPStatus.NOT_FOUND: _UNREGISTERED}),
)
async def get_registration(
    context: CurrentContext, integration_id: IntegrationId
) -> RegistrationView:
    """Jebbit's id of the webhook integration, and whether credentials are remembered."""
    found = await registering.find(context, integration_id)
    if found is None:
        raise Problem(HTTPStatus.NOT_FOUND, told(NotRegistered(integration_id)))
    return RegistrationView.of(found)


@router.post(
    "/test",
    status_code=HTTPStatus.ACCEPTED,
    summary="Ask Jebbit for a test webhook",
    responses=_called(_UNREGISTERED),
)
async def ask_for_test_webhook(
    context: CurrentContext,
    who: CurrentCaller,
    integration_id: IntegrationId,
    given: MaybeCredentials = None,
) -> TestAsked:
    """Jebbit posts it to our `webhook_url`; it appears as a submission with status `test`.

    It shows the preview and is never sent on. If none appears within a minute, Jebbit does not
    reach the `webhook_url`, or signs with a secret that is not here.
    """
    asked = await registering.ask_for_test(context, who, integration_id, _opened(given))
    look_at = f"/submissions?integration={integration_id}&status=test"
    return TestAsked(jebbit_id=asked.jebbit_id, look_at=look_at)


@router.post(
    "/backfill",
    status_code=HTTPStatus.ACCEPTED,
    summary="Ask Jebbit for everything collected so far",
    responses=_called(_UNREGISTERED),
)
async def ask_for_backfill(
    context: CurrentContext,
    who: CurrentCaller,
    integration_id: IntegrationId,
    given: MaybeCredentials = None,
) -> BackfillAsked:
    """Start a historic backfill: old submissions arrive in bulk and in any order.

    The policy holds for them as for all others, and answers older than what a contact was last
    sent are skipped as `stale`. Pause the integration first if you want to look before it sends.
    """
    asked = await registering.ask_for_backfill(context, who, integration_id, _opened(given))
    return BackfillAsked(
        jebbit_id=asked.jebbit_id, backfill_id=asked.backfill_id, status=asked.status
    )


@router.post(
    "/orphans",
    summary="List what else posts here",
    responses=_called(_UNREGISTERED),
)
async def list_orphans(
    context: CurrentContext,
    who: CurrentCaller,
    integration_id: IntegrationId,
    outside_url: OutsideUrl,
    given: MaybeCredentials = None,
) -> OrphansAnswer:
    """The integrations at Jebbit with our `webhook_url`, but for the one that is registered here.

    Each sends everything once more. They are left over where Jebbit made one and its answer was
    lost.
    """
    found = await registering.orphans(
        context, who, integration_id, _opened(given), base_url=outside_url
    )
    registered = await registering.find(context, integration_id)
    return OrphansAnswer(
        registered=registered.jebbit_id if registered else None,
        orphans=[OrphanView.model_validate(each, from_attributes=True) for each in found],
    )


@router.post(
    "/orphans/{jebbit_id}/remove",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Delete an orphan at Jebbit",
    responses=_called(told(NoOrphan("def567"))),
)
async def remove_orphan(
    context: CurrentContext,
    who: CurrentCaller,
    integration_id: IntegrationId,
    jebbit_id: Annotated[str, Path(openapi_examples={"abc123": {"value": "abc123"}})],
    outside_url: OutsideUrl,
    given: MaybeCredentials = None,
) -> None:
    """Only one that has our `webhook_url` and is not registered here is deleted."""
    await registering.remove_orphan(
        context, who, integration_id, jebbit_id, _opened(given), base_url=outside_url
    )


@router.delete(
    "/credentials", status_code=HTTPStatus.NO_CONTENT, summary="Forget remembered credentials"
)
async def forget_jebbit_credentials(
    context: CurrentContext, who: CurrentCaller, integration_id: IntegrationId
) -> None:
    """From now on `test` and `backfill` need them in the body. Nothing changes at Jebbit."""
    await registering.forget_credentials(context, who, integration_id)
