"""The second step: Jebbit posts here, and signs with a secret that is known here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import cast

from fastapi import APIRouter, Request, Response

from app.console.errors import told
from app.console.forms import Form, read_form
from app.console.state import Visit, visit_of
from app.console.wizard.steps import (
    MEANWHILE,
    StepPage,
    Wizard,
    page,
    stored_of,
    to,
    version_in,
    wizard_of,
)
from app.jebbit.credentials import ApiCredentials
from app.ledger.documents import masked
from app.ledger.integrations import StoredIntegration, VersionChanged
from app.ledger.registrations import Registration
from app.operations import registering, setting_up
from app.operations.invalid import Invalid
from app.operations.registering import (
    GoneAtJebbit,
    JebbitUnreachable,
    NewRegistration,
    NotReachable,
    RefusedByJebbit,
    RegisteredAlready,
    ThereAlready,
)
from app.rules.integration import JebbitRegion

router = APIRouter(include_in_schema=False, route_class=StepPage)

_REFUSALS = (
    Invalid,
    GoneAtJebbit,
    JebbitUnreachable,
    NotReachable,
    RefusedByJebbit,
    RegisteredAlready,
    ThereAlready,
)


@dataclass(frozen=True, slots=True)
class JebbitView:
    """The step; `secrets` are masked. `problem` is of the secret, `refused` of registering."""

    wizard: Wizard
    version: int
    webhook_url: str
    is_guessed: bool
    secrets: Sequence[str]
    registration: Registration | None
    problem: str | None = None
    refused: str | None = None
    typed: Mapping[str, str] = field(default_factory=dict)


@router.get("/integrations/new/{integration_id}/jebbit")
async def show(request: Request) -> Response:
    """Show the address for Jebbit, and ask for the secret."""
    visit = visit_of(request)
    return page(visit, "jebbit", await _view(visit, stored_of(request)))


@router.post("/integrations/new/{integration_id}/jebbit")
async def take(request: Request) -> Response:
    """Take a secret, or register at Jebbit."""
    visit, stored, form = visit_of(request), stored_of(request), await read_form(request)
    if form.one("do") == "register":
        return await _register(visit, stored, form)
    secret = form.text("secret")
    if not secret:
        if stored.integration.jebbit.webhook_secrets:
            return to(visit, stored, "sample")
        return await _refuse(visit, stored, "Paste the secret that Jebbit shows.")
    try:
        await setting_up.use_secret(visit.context, visit.who, stored.id, secret, version_in(form))
    except VersionChanged:
        problem = f"{MEANWHILE} Paste it again for that: no page shows a secret."
        view = await _view(visit, stored, problem=problem)
        return page(visit, "jebbit", view, status=HTTPStatus.PRECONDITION_FAILED)
    except Invalid as error:
        detail = error.places[0].detail
        return await _refuse(visit, stored, f"{detail[:1].upper()}{detail[1:]}")
    return to(visit, stored, "sample", "secret")


async def _register(visit: Visit, stored: StoredIntegration, form: Form) -> Response:
    region = form.one("region")
    given = form.text("client_id"), form.text("client_secret")
    try:
        if not all(given) or region not in ("us", "eu"):
            return await _refused(
                visit, stored, form, "Give the client id, the client secret and where it is stored."
            )
        new = NewRegistration(
            ApiCredentials(*given, form.text("business_id") or None),
            cast(JebbitRegion, region),
            {},
            form.one("remember") == "yes",
        )
        done = await registering.register(
            visit.context, visit.who, stored.id, new, base_url=visit.outside_url, force=False
        )
    except _REFUSALS as error:
        _, text = told(error) or (HTTPStatus.CONFLICT, str(error))
        return await _refused(visit, stored, form, text)
    if done.secret is None:
        text = (
            f"Jebbit has made the integration {done.registration.jebbit_id} and did not show its "
            "secret. Look it up at Jebbit, and paste it above."
        )
        return await _refused(visit, stored, form, text)
    return to(visit, stored, "sample", "registered")


async def _refuse(visit: Visit, stored: StoredIntegration, problem: str) -> Response:
    view = await _view(visit, stored, problem=problem)
    return page(visit, "jebbit", view, status=HTTPStatus.UNPROCESSABLE_ENTITY)


async def _refused(visit: Visit, stored: StoredIntegration, form: Form, text: str) -> Response:
    typed = {name: form.text(name) for name in ("client_id", "business_id", "region", "remember")}
    view = await _view(visit, stored, refused=text, typed=typed)
    return page(visit, "jebbit", view, status=HTTPStatus.UNPROCESSABLE_ENTITY)


async def _view(
    visit: Visit,
    stored: StoredIntegration,
    problem: str | None = None,
    refused: str | None = None,
    typed: Mapping[str, str] | None = None,
) -> JebbitView:
    return JebbitView(
        await wizard_of(visit, stored, "jebbit"),
        stored.version,
        f"{visit.outside_url}/webhooks/jebbit/{stored.id}",
        visit.context.public_url is None,
        secrets_of(stored),
        await registering.find(visit.context, stored.id),
        problem,
        refused,
        typed or {},
    )


def secrets_of(stored: StoredIntegration) -> list[str]:
    """Return the webhook secrets as they are shown."""
    return [masked(each.get_secret_value()) for each in stored.integration.jebbit.webhook_secrets]
