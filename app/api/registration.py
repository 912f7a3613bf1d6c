"""Setting up an integration's webhook at Jebbit."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from app.api.auth import DESCRIBED, REFUSED, Protected
from app.api.integrations import Found, keep_secret
from app.api.problems import Place, Problem, documented
from app.api.state import CurrentState, State, outside_url
from app.api.views import masked, moment
from app.jebbit.credentials import ApiCredentials
from app.ledger.integrations import StoredIntegration
from app.ledger.registrations import Registration
from app.registration.client import (
    Forbidden,
    NotThere,
    Refused,
    Registered,
    Unreachable,
    Webhook,
    WrongCredentials,
)
from app.rules.integration import JebbitRegion, Secret

_REGISTER = "POST /integrations/{id}/jebbit/register registers it."
_UNREGISTERED = f"spring-quiz was not registered here. {_REGISTER}"


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
            HTTPStatus.BAD_GATEWAY: "Jebbit's API gives no usable answer (HTTP 500). Try again; "
            "after a timeout look at Jebbit first, it may have done it.",
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


class RegistrationView(BaseModel):
    """An integration's counterpart at Jebbit."""

    integration: str = Field(examples=["spring-quiz"])
    jebbit_id: str = Field(description="Of the webhook integration at Jebbit.", examples=["abc123"])
    credentials_remembered: bool
    registered_at: str


class RegisteredView(RegistrationView):
    """What was registered at Jebbit just now."""

    webhook_url: str
    region: JebbitRegion
    webhook_secret: str = Field(description="Jebbit's shared secret, which is stored here.")


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
    responses=_called(
        "It is registered already, as Jebbit's integration abc123. Another one would send "
        "everything twice; if that one is gone at Jebbit, add ?force=true."
    ),
)
async def register(
    request: Request,
    state: CurrentState,
    stored: Found,
    new: Annotated[NewRegistration, Body(openapi_examples=_REGISTER_EXAMPLES)],
    force: Annotated[
        bool, Query(description="Although it was registered before; that one stays at Jebbit.")
    ] = False,
) -> RegisteredView:
    """Create the webhook integration at Jebbit, with our `webhook_url` and the region.

    Jebbit's shared secret is stored as a further webhook secret; those that are there stay valid
    until you remove them. Next: `POST .../jebbit/test`.
    """
    webhook = Webhook(
        endpoint=_endpoint(stored, request, state),
        region=_region(stored, new.region),
        options=new.additional_options.model_dump(exclude_none=True),
    )
    if not force:
        await _refuse_twice(stored, state)
    credentials = new.opened()
    with _translated("Check region and additional_options.", remembered=False):
        made = await state.jebbit.register(credentials, webhook)
    kept = await _keep(stored, made, credentials if new.remember else None, state)
    return RegisteredView(
        webhook_url=webhook.endpoint,
        region=webhook.region,
        webhook_secret=masked(made.shared_secret.get_secret_value()),
        **_view(kept).model_dump(),
    )


@router.get(
    "",
    summary="Show what is registered at Jebbit",
    responses=documented(HTTPStatus.NOT_FOUND, details={HTTPStatus.NOT_FOUND: _UNREGISTERED}),
)
async def get_registration(state: CurrentState, stored: Found) -> RegistrationView:
    """Jebbit's id of the webhook integration, and whether credentials are remembered."""
    found = await state.registrations.get(stored.id)
    if found is None:
        raise Problem(HTTPStatus.NOT_FOUND, f"{stored.id} was not registered here. {_REGISTER}")
    return _view(found)


@router.post(
    "/test",
    status_code=HTTPStatus.ACCEPTED,
    summary="Ask Jebbit for a test webhook",
    responses=_called(_UNREGISTERED),
)
async def ask_for_test(
    state: CurrentState,
    stored: Found,
    given: MaybeCredentials = None,
) -> TestAsked:
    """Jebbit posts it to our `webhook_url`; it appears as a submission with status `test`.

    It shows the preview and is never sent on. If none appears within a minute, Jebbit does not
    reach the `webhook_url`, or signs with a secret that is not here.
    """
    registration, credentials = await _known(stored, given, state)
    with _translated("", remembered=given is None):
        await state.jebbit.test(credentials, registration.jebbit_id)
    return TestAsked(
        jebbit_id=registration.jebbit_id,
        look_at=f"/submissions?integration={stored.id}&status=test",
    )


@router.post(
    "/backfill",
    status_code=HTTPStatus.ACCEPTED,
    summary="Ask Jebbit for everything collected so far",
    responses=_called(_UNREGISTERED),
)
async def ask_for_backfill(
    state: CurrentState,
    stored: Found,
    given: MaybeCredentials = None,
) -> BackfillAsked:
    """Start a historic backfill: old submissions arrive in bulk and in any order.

    The policy holds for them as for all others, and answers older than what a contact was last
    sent are skipped as `stale`. Pause the integration first if you want to look before it sends.
    """
    registration, credentials = await _known(stored, given, state)
    with _translated("An integration must be active there.", remembered=given is None):
        backfill = await state.jebbit.backfill(credentials, registration.jebbit_id)
    return BackfillAsked(
        jebbit_id=registration.jebbit_id,
        backfill_id=backfill.id,
        status=backfill.attributes.status,
    )


@router.delete(
    "/credentials", status_code=HTTPStatus.NO_CONTENT, summary="Forget remembered credentials"
)
async def forget_credentials(state: CurrentState, stored: Found) -> None:
    """From now on `test` and `backfill` need them in the body. Nothing changes at Jebbit."""
    await state.registrations.forget_credentials(stored.id)


def _view(registration: Registration) -> RegistrationView:
    return RegistrationView(
        integration=registration.integration_id,
        jebbit_id=registration.jebbit_id,
        credentials_remembered=registration.credentials is not None,
        registered_at=moment(registration.created_at) or "",
    )


def _endpoint(stored: StoredIntegration, request: Request, state: State) -> str:
    """Return the address for Jebbit to post to.

    Plain http is for a stand-in of Jebbit on this machine alone: people's answers come by it.
    """
    base = outside_url(request, state)
    stand_in = state.settings.jebbit_api_url.startswith("http://")
    if not base.startswith("https://") and not stand_in:
        raise Problem(
            HTTPStatus.CONFLICT,
            f"Jebbit cannot post to {base}: set PUBLIC_URL to the https:// address under which "
            "the outside reaches this service.",
        )
    return f"{base}/webhooks/jebbit/{stored.id}"


def _region(stored: StoredIntegration, given: JebbitRegion | None) -> JebbitRegion:
    configured = stored.integration.jebbit.region
    if given and configured and given != configured:
        raise _invalid(
            "region", f"the integration's jebbit.region is {configured}; change it first"
        )
    region = given or configured
    if region is None:
        raise _invalid(
            "region", "the integration's jebbit.region is null; say us or eu, where Jebbit stores"
        )
    return region


async def _refuse_twice(stored: StoredIntegration, state: State) -> None:
    before = await state.registrations.get(stored.id)
    if before is not None:
        raise Problem(
            HTTPStatus.CONFLICT,
            f"It is registered already, as Jebbit's integration {before.jebbit_id}. Another one "
            "would send everything twice; if that one is gone at Jebbit, add ?force=true.",
        )


async def _keep(
    stored: StoredIntegration, made: Registered, remembered: ApiCredentials | None, state: State
) -> Registration:
    """Store what Jebbit gave: the secret first, since webhooks may come at once."""
    registration = Registration(stored.id, made.id, remembered, state.clock())
    await keep_secret(state, stored.id, made.shared_secret.get_secret_value())
    await state.registrations.keep(registration)
    return registration


async def _known(
    stored: StoredIntegration, given: Credentials | None, state: State
) -> tuple[Registration, ApiCredentials]:
    """Return the registration, and the credentials given or else remembered.

    Raises:
        Problem: 409 or 422.
    """
    registration = await state.registrations.get(stored.id)
    if registration is None:
        raise Problem(HTTPStatus.CONFLICT, f"{stored.id} was not registered here. {_REGISTER}")
    credentials = given.opened() if given else registration.credentials
    if credentials is None:
        raise _invalid("client_id", "no credentials are remembered; give them in the body")
    return registration, credentials


@contextmanager
def _translated(hint: str, *, remembered: bool) -> Iterator[None]:
    """Let an error of Jebbit's API say what to do; `hint` is for a request it refuses."""
    try:
        yield
    except WrongCredentials:
        whose = "the remembered ones; give others in the body" if remembered else "both"
        raise _invalid(
            "client_secret", f"Jebbit does not know this client id and secret. Check {whose}."
        ) from None
    except Forbidden as error:
        raise _invalid(
            "business_id",
            f"Jebbit forbids it ({error}). Give the business_id that is meant, or ask Jebbit to "
            "let this client manage integrations.",
        ) from None
    except NotThere:
        raise Problem(
            HTTPStatus.CONFLICT,
            "Jebbit does not know it, or no longer. If the integration was deleted there, register "
            "it anew: POST .../jebbit/register?force=true.",
        ) from None
    except Refused as error:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"Jebbit refuses it ({error}). {hint}".rstrip()
        ) from None
    except Unreachable as error:
        raise Problem(
            HTTPStatus.BAD_GATEWAY,
            f"Jebbit's API gives no usable answer ({error}). Try again; after a timeout look at "
            "Jebbit first, it may have done it.",
        ) from None


def _invalid(place: str, detail: str) -> Problem:
    at = Place(place=place, detail=detail)
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{place}: {detail}", errors=[at])
