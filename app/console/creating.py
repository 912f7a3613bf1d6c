"""A new integration: the account, the source, and whom to send and subscribe; nothing is chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import JsonValue, ValidationError

from app.console.errors import told
from app.console.forms import Form, read_form
from app.console.rendering import render
from app.console.session import AdminPage
from app.console.state import Visit, visit_of
from app.ledger.integrations import NameTaken
from app.operations import integrations
from app.operations.invalid import Invalid, invalid_by
from app.rules.integration import Integration

router = APIRouter(include_in_schema=False, route_class=AdminPage)

Options = Sequence[tuple[str, str]]

COLLECT: Final[Options] = (
    ("both", "People everywhere"),
    ("non_eu", "People outside the EU alone"),
    ("eu", "People in the EU alone"),
)
OPT_IN: Final[Options] = (
    ("opted_in_only", "Who said yes to the opt-in"),
    ("opted_in_or_null", "Who said yes, or was not asked or did not answer"),
)
SUBSCRIBE: Final[Options] = (
    (
        "yes",
        "Yes: who said yes; outside the EU also who did not answer, as far as they are sent",
    ),
    ("no", "No: leave every subscription as it is"),
)
REGION: Final[Options] = (
    ("us", "The US: who names no country counts as outside the EU"),
    ("eu", "The EU: who names no country counts as in the EU"),
    ("none", "Both: who names no country falls under EU rules"),
)


@dataclass(frozen=True, slots=True)
class Question:
    """A choice in words, of which nothing is preselected."""

    name: str
    text: str
    options: Options


QUESTIONS: Final = (
    Question("region", "Where does Jebbit keep this experience's people?", REGION),
    Question("collect", "Whom does this integration collect?", COLLECT),
    Question("opt_in", "Whom does it send to Cordial?", OPT_IN),
    Question("auto_subscribe", "Does it subscribe them to email?", SUBSCRIBE),
)
_TYPED = ("name", "account_url")
_PLACES: Final[Mapping[str, str]] = {
    "name": "Name",
    "cordial.account_url": "Cordial account",
    "cordial.api_key": "Cordial key",
    "jebbit.webhook_secrets": "Webhook secret",
}


@dataclass(frozen=True, slots=True)
class NewView:
    """The form, with what was typed; secrets are never shown again."""

    values: Mapping[str, str] = field(default_factory=dict)
    problems: Sequence[tuple[str, str]] = ()
    questions: Sequence[Question] = QUESTIONS

    def typed(self, name: str) -> str:
        """Return what was typed or chosen."""
        return self.values.get(name, "")


@router.get("/integrations/new")
async def show(request: Request) -> Response:
    """Ask for what an integration needs."""
    return _page(visit_of(request), NewView())


@router.post("/integrations/new")
async def create(request: Request) -> Response:
    """Create it, paused."""
    visit, form = visit_of(request), await read_form(request)
    values = {name: _text(form, name) for name in (*_TYPED, *(each.name for each in QUESTIONS))}
    unanswered = [(each.text, "Choose one.") for each in QUESTIONS if not values[each.name]]
    try:
        made = Integration.model_validate(_document(form, values))
    except ValidationError as error:
        found = [each for each in _told(invalid_by(error)) if not each[0].startswith("policy")]
        view = NewView(values, [*found, *unanswered])
        return _page(visit, view, HTTPStatus.UNPROCESSABLE_ENTITY)
    if unanswered:
        return _page(visit, NewView(values, unanswered), HTTPStatus.UNPROCESSABLE_ENTITY)
    try:
        stored = await integrations.create(visit.context, visit.who, made, paused=True)
    except Invalid as error:
        return _page(visit, NewView(values, _told(error)), HTTPStatus.UNPROCESSABLE_ENTITY)
    except NameTaken as error:
        status, text = told(error) or (HTTPStatus.CONFLICT, "")
        return _page(visit, NewView(values, [("Name", text)]), status)
    link = visit.link(f"/integrations/{stored.id}", urlencode({"done": "created"}))
    return RedirectResponse(link, HTTPStatus.SEE_OTHER)


def _document(form: Form, values: Mapping[str, str]) -> dict[str, JsonValue]:
    secret = _text(form, "secret")
    return {
        "name": values["name"],
        "cordial": {"account_url": values["account_url"], "api_key": _text(form, "api_key")},
        "jebbit": {
            "webhook_secrets": [secret] if secret else [],
            "region": None if values["region"] == "none" else values["region"] or "us",
        },
        "policy": {
            "collect": values["collect"],
            "opt_in": values["opt_in"],
            "auto_subscribe": values["auto_subscribe"] == "yes",
        },
    }


def _told(error: Invalid) -> list[tuple[str, str]]:
    return [
        (
            next(
                (said for place, said in _PLACES.items() if each.place.startswith(place)),
                each.place,
            ),
            each.detail,
        )
        for each in error.places
    ]


def _page(visit: Visit, view: NewView, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return render(visit, "new.html", "New integration", view, section="integrations", status=status)


def _text(form: Form, name: str) -> str:
    return (form.one(name) or "").strip()
