"""Setting up an integration's webhook at Jebbit by Jebbit's API."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import JsonValue

from app.jebbit.credentials import ApiCredentials
from app.jebbit_api.client import (
    Forbidden,
    NotThere,
    Refused,
    Registered,
    Unreachable,
    Webhook,
    WrongCredentials,
)
from app.ledger.integrations import StoredIntegration
from app.ledger.registrations import Registration
from app.operations.callers import Caller
from app.operations.context import Context
from app.operations.invalid import Invalid, invalid_at
from app.operations.masking import masked
from app.operations.rotating import keep_secret
from app.rules.integration import JebbitRegion


class NotRegistered(Exception):
    """The integration was not registered at Jebbit from here; the argument is its id."""


class RegisteredAlready(Exception):
    """Another registration would let Jebbit send everything twice; the argument is Jebbit's id."""


class NotReachable(Exception):
    """Jebbit cannot post to this service's address, which is the argument."""


class GoneAtJebbit(Exception):
    """Jebbit does not know the webhook integration, or no longer."""


class RefusedByJebbit(Exception):
    """Jebbit refuses the request; the message is Jebbit's, with a hint."""


class JebbitUnreachable(Exception):
    """Jebbit gave no usable answer and may have done what was asked; the message says more."""


@dataclass(frozen=True, slots=True)
class NewRegistration:
    """Whom to register as, and how.

    Without a `region` the integration's own holds. `options` are Jebbit's `additional_options`;
    what they leave out is as Jebbit has it.
    """

    credentials: ApiCredentials
    region: JebbitRegion | None
    options: Mapping[str, JsonValue]
    remember: bool


@dataclass(frozen=True, slots=True)
class Done:
    """What was registered at Jebbit just now; `secret` is masked."""

    registration: Registration
    webhook_url: str
    region: JebbitRegion
    secret: str


@dataclass(frozen=True, slots=True)
class Backfilling:
    """A historic backfill that Jebbit has begun; `status` is Jebbit's own word."""

    jebbit_id: str
    backfill_id: str
    status: str | None


async def register(
    context: Context,
    who: Caller,
    integration_id: str,
    new: NewRegistration,
    *,
    base_url: str,
    force: bool,
) -> Done:
    """Create the webhook integration at Jebbit and store what Jebbit gives.

    Args:
        context: the service's parts.
        who: asks for it.
        integration_id: which.
        new: whom to register as, and how.
        base_url: by which the outside reaches this service, without a slash at its end.
        force: although it was registered before; that one stays at Jebbit.

    Raises:
        UnknownIntegration: there is none.
        NotReachable, RegisteredAlready: Jebbit is not asked.
        Invalid: a region that cannot be meant, or credentials that Jebbit does not take.
        GoneAtJebbit, RefusedByJebbit, JebbitUnreachable: Jebbit did not do it, or perhaps did.
    """
    async with context.auditor.changing(who, "jebbit.register", integration_id):
        return await _register(context, integration_id, new, base_url, force=force)


async def _register(
    context: Context, integration_id: str, new: NewRegistration, base_url: str, *, force: bool
) -> Done:
    stored = await context.integrations.get(integration_id)
    webhook = Webhook(_endpoint(context, stored, base_url), _region(stored, new), new.options)
    if not force:
        await _refuse_twice(context, stored)
    with _translated("Check region and additional_options.", remembered=False):
        made = await context.jebbit.register(new.credentials, webhook)
    registration = await _keep(context, stored, made, new.credentials if new.remember else None)
    secret = masked(made.shared_secret.get_secret_value())
    return Done(registration, webhook.endpoint, webhook.region, secret)


async def find(context: Context, integration_id: str) -> Registration | None:
    """Return what is registered at Jebbit for an integration, if anything.

    Raises:
        UnknownIntegration: there is none.
    """
    stored = await context.integrations.get(integration_id)
    return await context.registrations.get(stored.id)


async def ask_for_test(
    context: Context, who: Caller, integration_id: str, given: ApiCredentials | None
) -> Registration:
    """Let Jebbit send a test webhook; without credentials given, by the remembered ones.

    Raises:
        UnknownIntegration, NotRegistered: there is none.
        Invalid: no credentials, or ones that Jebbit does not take.
        GoneAtJebbit, RefusedByJebbit, JebbitUnreachable: Jebbit did not do it, or perhaps did.
    """
    async with context.auditor.changing(who, "jebbit.test", integration_id):
        registration = await _registered(context, integration_id)
        credentials = _credentials(registration, given)
        with _translated("", remembered=given is None):
            await context.jebbit.test(credentials, registration.jebbit_id)
    return registration


async def ask_for_backfill(
    context: Context, who: Caller, integration_id: str, given: ApiCredentials | None
) -> Backfilling:
    """Let Jebbit send everything it has collected so far; as `ask_for_test` otherwise."""
    async with context.auditor.changing(who, "jebbit.backfill", integration_id):
        registration = await _registered(context, integration_id)
        credentials = _credentials(registration, given)
        with _translated("An integration must be active there.", remembered=given is None):
            backfill = await context.jebbit.backfill(credentials, registration.jebbit_id)
    return Backfilling(registration.jebbit_id, backfill.id, backfill.attributes.status)


async def forget_credentials(context: Context, who: Caller, integration_id: str) -> None:
    """Forget remembered credentials; nothing changes at Jebbit.

    Raises:
        UnknownIntegration: there is none.
    """
    async with context.auditor.changing(who, "jebbit.forget_credentials", integration_id):
        stored = await context.integrations.get(integration_id)
        await context.registrations.forget_credentials(stored.id)


def _endpoint(context: Context, stored: StoredIntegration, base_url: str) -> str:
    """Return the address for Jebbit to post to.

    People's answers come by it: plain http is for a stand-in of Jebbit on this machine alone.
    """
    if not base_url.startswith("https://") and not context.jebbit.is_stand_in:
        raise NotReachable(base_url)
    return f"{base_url}/webhooks/jebbit/{stored.id}"


def _region(stored: StoredIntegration, new: NewRegistration) -> JebbitRegion:
    configured = stored.integration.jebbit.region
    if new.region and configured and new.region != configured:
        raise invalid_at(
            "region", f"the integration's jebbit.region is {configured}; change it first"
        )
    region = new.region or configured
    if region is None:
        raise invalid_at(
            "region", "the integration's jebbit.region is null; say us or eu, where Jebbit stores"
        )
    return region


async def _refuse_twice(context: Context, stored: StoredIntegration) -> None:
    before = await context.registrations.get(stored.id)
    if before is not None:
        raise RegisteredAlready(before.jebbit_id)


async def _keep(
    context: Context,
    stored: StoredIntegration,
    made: Registered,
    remembered: ApiCredentials | None,
) -> Registration:
    """Store what Jebbit gave: the secret first, since webhooks may come at once."""
    registration = Registration(stored.id, made.id, remembered, context.clock())
    await keep_secret(context, stored.id, made.shared_secret.get_secret_value())
    await context.registrations.keep(registration)
    return registration


async def _registered(context: Context, integration_id: str) -> Registration:
    found = await find(context, integration_id)
    if found is None:
        raise NotRegistered(integration_id)
    return found


def _credentials(registration: Registration, given: ApiCredentials | None) -> ApiCredentials:
    credentials = given or registration.credentials
    if credentials is None:
        raise invalid_at("client_id", "no credentials are remembered; give them in the body")
    return credentials


@contextmanager
def _translated(hint: str, *, remembered: bool) -> Iterator[None]:
    """Let an error of Jebbit's API say what to do; `hint` is for a request it refuses."""
    try:
        yield
    except WrongCredentials:
        raise _wrong_credentials(remembered=remembered) from None
    except Forbidden as error:
        raise invalid_at(
            "business_id",
            f"Jebbit forbids it ({error}). Give the business_id that is meant, or ask Jebbit to "
            "let this client manage integrations.",
        ) from None
    except NotThere:
        raise GoneAtJebbit from None
    except Refused as error:
        raise RefusedByJebbit(f"Jebbit refuses it ({error}). {hint}".rstrip()) from None
    except Unreachable as error:
        raise JebbitUnreachable(str(error)) from None


def _wrong_credentials(*, remembered: bool) -> Invalid:
    whose = "the remembered ones; give others in the body" if remembered else "both"
    detail = f"Jebbit does not know this client id and secret. Check {whose}."
    return invalid_at("client_secret", detail)
