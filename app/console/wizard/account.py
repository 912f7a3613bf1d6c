"""The first step: a name, the Cordial account and its key, tried at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request, Response

from app.console.errors import told
from app.console.forms import Form, read_form
from app.console.session import AdminPage
from app.console.state import Visit, visit_of
from app.console.wizard.steps import (
    MEANWHILE,
    StepPage,
    Wizard,
    first_wizard,
    next_step,
    page,
    stored_of,
    to,
    version_in,
    wizard_of,
)
from app.ledger.documents import masked
from app.ledger.integrations import NameTaken, StoredIntegration, VersionChanged
from app.operations import integrations, setting_up
from app.operations.invalid import Invalid
from app.operations.setting_up import AccountGiven, Reached

_new = APIRouter(include_in_schema=False, route_class=AdminPage)
_step = APIRouter(include_in_schema=False, route_class=StepPage)

_PLACES: Final[Mapping[str, str]] = {
    "name": "name",
    "cordial.account_url": "account_url",
    "cordial.api_key": "api_key",
}


@dataclass(frozen=True, slots=True)
class CauseView:
    """What may be wrong, and what to do; `copy` is to be pasted into Cordial."""

    title: str
    text: str
    copy: str | None = None


@dataclass(frozen=True, slots=True)
class AccountView:
    """The step: what was typed, what is wrong with it, and what Cordial says to the key.

    `taken` leads to the integration that has the name already and is being set up. `said` is what
    Cordial answered, `heard` what came in its place.
    """

    wizard: Wizard
    values: Mapping[str, str]
    key: str | None = None
    wrong: Mapping[str, str] = field(default_factory=dict)
    verdict: str | None = None
    said: str | None = None
    heard: str | None = None
    causes: Sequence[CauseView] = ()
    works: bool = False
    missing: Sequence[str] = ()
    taken: str | None = None
    version: int = 0
    problem: str | None = None


@_new.get("/integrations/new")
async def begin(request: Request) -> Response:
    """Ask for the account."""
    visit = visit_of(request)
    return page(visit, "account", AccountView(first_wizard(visit), {}))


@_new.post("/integrations/new")
async def create(request: Request) -> Response:
    """Store a new integration, and try its key."""
    visit, form = visit_of(request), await read_form(request)
    try:
        stored = await setting_up.begin(visit.context, visit.who, _given(form))
    except Invalid as error:
        wrong = _key_again(_wrong(error, form), form)
        view = AccountView(first_wizard(visit), _typed(form), wrong=wrong)
        return page(visit, "account", view, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    except NameTaken as error:
        status, text = told(error) or (HTTPStatus.CONFLICT, "")
        wrong = _key_again({"name": f"{text} Choose another name."}, form)
        known = await integrations.get(visit.context, str(error))
        taken = visit.link(f"/integrations/new/{known.id}") if known.setup else None
        view = AccountView(first_wizard(visit), _typed(form), wrong=wrong, taken=taken)
        return page(visit, "account", view, status=status)
    reached = await setting_up.reach(visit.context, stored)
    return to(visit, stored, *(("jebbit", "reached") if reached.access.ok else ("account",)))


@_step.get("/integrations/new/{integration_id}")
async def resume(request: Request) -> Response:
    """Lead to the step that comes next."""
    visit, stored = visit_of(request), stored_of(request)
    return to(visit, stored, await next_step(visit, stored))


@_step.get("/integrations/new/{integration_id}/account")
async def show(request: Request) -> Response:
    """Show the account, and what it says to the key now."""
    visit, stored = visit_of(request), stored_of(request)
    return await _shown(visit, stored)


@_step.post("/integrations/new/{integration_id}/account")
async def change(request: Request) -> Response:
    """Change the account or its key, and try it."""
    visit, stored, form = visit_of(request), stored_of(request), await read_form(request)
    try:
        changed = await setting_up.change_account(
            visit.context, visit.who, stored.id, _given(form), version_in(form)
        )
    except VersionChanged:
        wrong = _key_again({}, form)
        view = replace(await _again(visit, stored, form), problem=MEANWHILE, wrong=wrong)
        return page(visit, "account", view, status=HTTPStatus.PRECONDITION_FAILED)
    except Invalid as error:
        wrong = _key_again(_wrong(error, form), form)
        view = replace(await _again(visit, stored, form), wrong=wrong)
        return page(visit, "account", view, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    return await _shown(visit, changed, go_on=True)


async def _again(visit: Visit, stored: StoredIntegration, form: Form) -> AccountView:
    """Return the step with what was typed."""
    wizard = await wizard_of(visit, stored, "account")
    return AccountView(wizard, _typed(form), _key(stored), version=stored.version)


router = APIRouter()
router.include_router(_new)
router.include_router(_step)


async def _shown(visit: Visit, stored: StoredIntegration, *, go_on: bool = False) -> Response:
    """Show what the account says; with `go_on` lead to the next step if it takes the key."""
    reached = await setting_up.reach(visit.context, stored)
    if reached.access.ok and go_on:
        return to(visit, stored, "jebbit", "reached")
    cordial = stored.integration.cordial
    values = {"name": stored.integration.name, "account_url": cordial.account_url}
    view = AccountView(
        await wizard_of(visit, stored, "account"),
        values,
        _key(stored),
        wrong=_beside(reached),
        verdict=_verdict(reached),
        **_words(reached),
        causes=_causes(stored, reached),
        works=reached.access.ok,
        missing=reached.access.missing,
        version=stored.version,
    )
    status = HTTPStatus.UNPROCESSABLE_ENTITY if go_on else HTTPStatus.OK
    return page(visit, "account", view, status=status)


def _given(form: Form) -> AccountGiven:
    return AccountGiven(form.text("name"), form.text("account_url"), form.text("api_key") or None)


def _typed(form: Form) -> Mapping[str, str]:
    return {"name": form.text("name"), "account_url": form.text("account_url")}


def _key(stored: StoredIntegration) -> str:
    return masked(stored.integration.cordial.api_key.get_secret_value())


def _wrong(error: Invalid, form: Form) -> Mapping[str, str]:
    """Return what is wrong, by the name of its input."""
    told = {
        _PLACES.get(each.place, "name"): each.detail[:1].upper() + each.detail[1:]
        for each in error.places
    }
    blank = {name: text for name, text in _BLANK.items() if name in told and not form.text(name)}
    return told | blank


def _key_again(wrong: Mapping[str, str], form: Form) -> Mapping[str, str]:
    """Return what is wrong, and that a key is to be given again: no page holds one."""
    given = {"api_key": "Paste the key again: no page shows one."} if form.text("api_key") else {}
    return given | dict(wrong)


_BLANK: Final = {
    "name": "Give it a name.",
    "account_url": "Paste the account's address.",
    "api_key": "Paste the key.",
}


def _beside(reached: Reached) -> Mapping[str, str]:
    """Return which field the first of the causes is of."""
    match reached.access.causes:
        case ["key" | "allow_list" | "permission", *_]:
            return {"api_key": "Cordial does not take this key. What may be wrong is said above."}
        case ["region" | "address" | "unreachable", *_]:
            return {
                "account_url": "Cordial cannot be reached there. What may be wrong is said above."
            }
        case _:
            return {}


def _words(reached: Reached) -> Mapping[str, str | None]:
    """Return what Cordial said, or what was heard in its place, without the causes told beside."""
    words = (reached.access.said or "").partition(" Likely: ")[0] or None
    of_cordial = not _NOT_CORDIAL.intersection(reached.access.causes)
    return {"said" if of_cordial else "heard": words}


_NOT_CORDIAL: Final = frozenset({"address", "unreachable", "proxy", "answer"})


def _verdict(reached: Reached) -> str | None:
    """Say in a sentence what is known of a key that does not work."""
    match list(reached.access.causes):
        case []:
            return None
        case ["key", *_]:
            return "Cordial refuses the key and does not say why. One of these is so:"
        case ["allow_list", *_]:
            return "Cordial knows the key and refuses every call. One of these is so:"
        case ["permission"]:
            return "Cordial knows the key, and it may not write contacts:"
        case _:
            return "The account was not reached:"


def _causes(stored: StoredIntegration, reached: Reached) -> list[CauseView]:
    say = {
        "key": lambda: CauseView(
            "The key is another one",
            f"The one stored here ends in {_key(stored)[-4:]}. Compare it with Settings > API keys "
            "in Cordial, and paste it again.",
        ),
        "allow_list": lambda: _allow(reached),
        "region": lambda: CauseView(
            "The account is in another region",
            f"Calls go to {reached.host}. Look at the address in your browser when you are logged "
            "in to Cordial: if it begins with a region, such as https://usw2.admin.cordial.io, "
            "write it so.",
        ),
        "permission": lambda: _permit(reached),
        "address": lambda: CauseView(
            "This is no address of a Cordial account",
            "Copy it from your browser when you are logged in to Cordial, such as "
            "https://admin.cordial.io.",
        ),
        "unreachable": lambda: CauseView(
            "Nobody answers there",
            f"Calls go to {reached.host}. Compare the address, its region above all; if it is "
            "right, this service may need a way out to Cordial: a firewall or a proxy is between.",
        ),
        "proxy": lambda: CauseView(
            "A proxy refuses",
            "Mend it there, or in the setting that is named. Cordial was not asked.",
        ),
        "wait": lambda: CauseView("Cordial asks to wait", "Try again in a minute."),
        "answer": lambda: CauseView(
            "It does not answer as Cordial does",
            "Compare the address. If it is right, try again later.",
        ),
    }
    return [say[cause]() for cause in reached.access.causes]


def _allow(reached: Reached) -> CauseView:
    title = "This service's address is not on the key's allow list"
    where = "In Cordial under Settings > API keys, add to the key's allow list:"
    if reached.address and reached.seen:
        return CauseView(title, where, reached.address)
    if reached.proxy:
        text = f"{where} the address by which the proxy {reached.proxy} reaches the internet. "
        return CauseView(title, f"{text}It does not say which; whoever runs it knows.")
    if reached.address:
        return CauseView(
            title,
            f"{where} the public address of the network that this service runs in. It calls from "
            f"{reached.address}, behind a gateway; on that machine, curl https://ifconfig.me tells "
            "what the outside sees.",
        )
    return CauseView(title, f"{where} the public address of the machine that this service runs on.")


def _permit(reached: Reached) -> CauseView:
    if not reached.access.missing:
        return CauseView(
            "The key has no permission",
            "Permit it POST contacts, GET accountcontactattributes and GET accountlists.",
        )
    named = " and ".join(reached.access.missing)
    return CauseView(
        "A permission is missing", f"In Cordial under Settings > API keys, permit the key: {named}."
    )
