"""Setting up an integration's webhook at Jebbit by Jebbit's API."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass

from pydantic import JsonValue

from app.jebbit.credentials import ApiCredentials
from app.jebbit_api.client import (
    Forbidden,
    JebbitError,
    NotOffered,
    NotThere,
    Refused,
    Registered,
    Unreachable,
    Webhook,
    WrongAddress,
    WrongCredentials,
)
from app.ledger.documents import masked
from app.ledger.integrations import StoredIntegration, UnknownIntegration
from app.ledger.registrations import RegisteredMeanwhile, Registration
from app.operations.callers import Caller
from app.operations.context import Context
from app.operations.invalid import Invalid, invalid_at
from app.operations.rotating import keep_secret
from app.rules.integration import MOST_SECRETS, JebbitRegion


class NotRegistered(Exception):
    """The integration was not registered at Jebbit from here; the argument is its id."""


class RegisteredAlready(Exception):
    """Another registration would let Jebbit send everything twice; the argument is Jebbit's id."""


class ThereAlready(Exception):
    """Jebbit has integrations that post to the same address; the argument is their ids."""


class NoOrphan(Exception):
    """The webhook integration that is to be removed is the one in use; the argument is its id."""


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
    what they leave out is as Jebbit has it. With `jebbit_id` nothing is made: that one is taken.
    """

    credentials: ApiCredentials
    region: JebbitRegion | None
    options: Mapping[str, JsonValue]
    remember: bool
    jebbit_id: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What was registered at Jebbit just now.

    `secret` is masked; None where Jebbit did not show it, or it could not be stored: `then` says
    what is to be done next.
    """

    registration: Registration
    webhook_url: str
    region: JebbitRegion
    secret: str | None
    then: str


@dataclass(frozen=True, slots=True)
class Orphan:
    """A webhook integration at Jebbit that posts here and is not the one that is known here."""

    jebbit_id: str
    endpoint: str
    region: str | None


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
        ThereAlready: Jebbit has one that posts to the same address; nothing is made.
        Invalid: a region that cannot be meant, or credentials that Jebbit does not take.
        GoneAtJebbit, RefusedByJebbit, JebbitUnreachable: Jebbit did not do it, or perhaps did.
    """
    async with context.auditor.changing(who, "jebbit.register", integration_id):
        return await _register(context, who, integration_id, new, base_url, force=force)


async def _register(
    context: Context,
    who: Caller,
    integration_id: str,
    new: NewRegistration,
    base_url: str,
    *,
    force: bool,
) -> Done:
    stored = await context.integrations.get(integration_id)
    _refuse_unsendable(new.credentials)
    webhook = Webhook(_endpoint(context, stored, base_url), _region(stored, new), new.options)
    before = await context.registrations.get(stored.id)
    if before is not None and not force:
        raise RegisteredAlready(before.jebbit_id)
    _refuse_full(stored)
    with _translated("Check region and additional_options.", remembered=False):
        if new.jebbit_id is not None:
            made = await context.jebbit.integration(new.credentials, new.jebbit_id)
            _refuse_other_address(made, webhook.endpoint)
        else:
            made = await _make(context, new.credentials, webhook, force=force)
    registration = Registration(
        stored.id, made.id, new.credentials if new.remember else None, context.clock()
    )
    # The id first: whatever fails after this, it is known what was made.
    try:
        await context.registrations.keep(registration, before=before.jebbit_id if before else None)
    except (RegisteredMeanwhile, UnknownIntegration) as error:
        if new.jebbit_id is None:  # made a moment ago; if it stays, it is listed as an orphan
            with suppress(JebbitError):
                await context.jebbit.remove(new.credentials, made.id)
        if isinstance(error, RegisteredMeanwhile):
            raise RegisteredAlready(error.jebbit_id) from None
        raise
    secret, then = await _keep_secret(context, who, new.credentials, made, stored.id)
    return Done(registration, webhook.endpoint, webhook.region, secret, then)


async def _make(
    context: Context, credentials: ApiCredentials, webhook: Webhook, *, force: bool
) -> Registered:
    """Make a webhook integration, unless there is one that posts to the same address."""
    known: list[str] | None = None
    try:
        known = [each.id for each in await _posting_to(context, credentials, webhook.endpoint)]
    except JebbitError:
        if not force:
            raise
    if known and not force:
        raise ThereAlready(", ".join(known))
    try:
        return await context.jebbit.register(credentials, webhook)
    except Unreachable:  # it may have been made all the same
        if known is None:
            raise
        with suppress(JebbitError):
            there = await _posting_to(context, credentials, webhook.endpoint)
            new = [each for each in there if each.id not in known]
            if len(new) == 1:
                return new[0]
        raise


async def _posting_to(
    context: Context, credentials: ApiCredentials, endpoint: str
) -> list[Registered]:
    try:
        there = await context.jebbit.integrations(credentials)
    except (NotOffered, NotThere):  # then nothing is known
        return []
    return [each for each in there if _same_address(each.endpoint, endpoint)]


def _same_address(one: str | None, other: str) -> bool:
    return one is not None and one.strip().rstrip("/").lower() == other.rstrip("/").lower()


async def _keep_secret(
    context: Context,
    who: Caller,
    credentials: ApiCredentials,
    made: Registered,
    integration_id: str,
) -> tuple[str | None, str]:
    """Store the shared secret; return it masked, and what is to be done next."""
    secret = made.shared_secret
    if secret is None:  # the answer to making one may leave it out; the one to showing it may not
        with suppress(JebbitError):
            secret = (await context.jebbit.integration(credentials, made.id)).shared_secret
    if secret is None:
        return None, (
            f"Jebbit has made the integration {made.id} and did not show its shared secret. Look "
            "it up at Jebbit, and add it by POST .../webhook-secrets: until then its webhooks are "
            "answered 401. Do not register again."
        )
    try:
        await keep_secret(context, who, integration_id, secret.get_secret_value())
    except Invalid as error:
        return None, (
            f"Jebbit has made the integration {made.id}, and its shared secret was not stored: "
            f"{error} Look it up at Jebbit, and add it by POST .../webhook-secrets."
        )
    return masked(secret.get_secret_value()), "Ask for a test webhook: POST .../jebbit/test."


def _refuse_full(stored: StoredIntegration) -> None:
    """Refuse before anything is made where its secret would find no room."""
    if len(stored.integration.jebbit.webhook_secrets) >= MOST_SECRETS:
        raise invalid_at(
            "jebbit.webhook_secrets",
            f"there are {MOST_SECRETS} already, and Jebbit gives another; remove those that are no "
            "longer used",
        )


def _refuse_other_address(made: Registered, endpoint: str) -> None:
    if made.endpoint is not None and not _same_address(made.endpoint, endpoint):
        raise invalid_at("jebbit_id", f"it does not post to {endpoint}")


async def orphans(
    context: Context,
    who: Caller,
    integration_id: str,
    given: ApiCredentials | None,
    *,
    base_url: str,
) -> list[Orphan]:
    """Return what at Jebbit posts to this integration, but for what is registered here.

    Nothing is changed; it is written down as credentials are used.

    Raises:
        UnknownIntegration: there is none.
        NotReachable: Jebbit cannot post here.
        Invalid: no credentials, or ones that Jebbit does not take.
        RefusedByJebbit, JebbitUnreachable: Jebbit does not tell.
    """
    async with context.auditor.changing(who, "jebbit.list_orphans", integration_id):
        stored = await context.integrations.get(integration_id)
        registration = await context.registrations.get(stored.id)
        endpoint = _endpoint(context, stored, base_url)
        with _translated("", remembered=given is None):
            there = await _posting_to(context, _credentials(registration, given), endpoint)
    return [
        Orphan(each.id, each.endpoint or endpoint, each.region)
        for each in there
        if registration is None or each.id != registration.jebbit_id
    ]


async def remove_orphan(
    context: Context,
    who: Caller,
    integration_id: str,
    jebbit_id: str,
    given: ApiCredentials | None,
    *,
    base_url: str,
) -> None:
    """Delete at Jebbit what posts to this integration and is not registered here.

    Raises:
        UnknownIntegration: there is none.
        NoOrphan: it is the one in use.
        Invalid: it posts to another address; no credentials, or ones that Jebbit does not take.
        GoneAtJebbit, RefusedByJebbit, JebbitUnreachable: Jebbit did not do it, or perhaps did.
    """
    async with context.auditor.changing(who, "jebbit.remove_orphan", integration_id):
        stored = await context.integrations.get(integration_id)
        registration = await context.registrations.get(stored.id)
        if registration is not None and registration.jebbit_id == jebbit_id:
            raise NoOrphan(jebbit_id)
        credentials = _credentials(registration, given)
        with _translated("", remembered=given is None):
            there = await context.jebbit.integration(credentials, jebbit_id)
            if there.endpoint is None or not _same_address(
                there.endpoint, _endpoint(context, stored, base_url)
            ):
                raise invalid_at("jebbit_id", "it does not post to this integration")
            await context.jebbit.remove(credentials, jebbit_id)


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


async def _registered(context: Context, integration_id: str) -> Registration:
    found = await find(context, integration_id)
    if found is None:
        raise NotRegistered(integration_id)
    return found


def _credentials(registration: Registration | None, given: ApiCredentials | None) -> ApiCredentials:
    credentials = given or (registration.credentials if registration else None)
    if credentials is None:
        raise invalid_at("client_id", "no credentials are remembered; give them in the body")
    _refuse_unsendable(credentials)
    return credentials


def _refuse_unsendable(credentials: ApiCredentials) -> None:
    """Refuse what Jebbit can have given to nobody, and no header can carry."""
    for place, value in asdict(credentials).items():
        if value is not None and not _VISIBLE.fullmatch(value):
            raise invalid_at(place, "holds a space or a sign that is not ASCII; copy it once more")


_VISIBLE = re.compile(r"[!-~]+")


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
    except WrongAddress as error:
        raise JebbitUnreachable(
            f"{error} to the call for a token, so this is not the address of Jebbit's API; look at "
            "JEBBIT_API_URL"
        ) from None
    except NotThere:
        raise GoneAtJebbit from None
    except Refused as error:
        raise RefusedByJebbit(f"Jebbit refuses it ({error}). {hint}".rstrip()) from None
    except (Unreachable, NotOffered) as error:
        raise JebbitUnreachable(str(error)) from None


def _wrong_credentials(*, remembered: bool) -> Invalid:
    whose = "the remembered ones; give others in the body" if remembered else "both"
    detail = f"Jebbit does not know this client id and secret. Check {whose}."
    return invalid_at("client_secret", detail)
