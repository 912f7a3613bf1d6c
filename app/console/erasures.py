"""Erasing a person: counted first, then confirmed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from app.console.errors import told
from app.console.forms import Form, read_form, whole_number
from app.console.rendering import render
from app.console.session import AdminPage
from app.console.state import Visit, visit_of
from app.console.times import counted
from app.ledger.audit import AuditEntry
from app.operations import erasing
from app.operations.people import NoAddress, by_email, by_phone

router = APIRouter(include_in_schema=False, route_class=AdminPage)

_LONGEST = 320


@dataclass(frozen=True, slots=True)
class ErasuresView:
    """The form, what was counted for it, and the last erasures.

    `wrong` says what is no address, by the name of its input.
    """

    email: str
    phone: str
    number: int | None
    problem: str | None
    wrong: Mapping[str, str]
    done: Sequence[AuditEntry]

    @property
    def label(self) -> str:
        """The button that erases."""
        if not self.number:
            return "Erase whatever else is kept"
        return f"Erase {counted(self.number, 'submission')} for good"


@router.get("/erasures")
async def show(request: Request) -> Response:
    """Ask whom to erase."""
    visit = visit_of(request)
    done = whole_number(request.query_params.get("done", ""), 9)
    notice = None
    if done is not None:
        said = counted(done, "submission was", "submissions were")
        notice = f"{said} erased. Erase the contact in Cordial too."
    return await _page(visit, notice=notice)


@router.post("/erasures")
async def count_or_erase(request: Request) -> Response:
    """Count what would be erased; once that is confirmed, erase it.

    An address goes in the form's body alone: what stands in a page's address is kept in histories.
    """
    visit, form = visit_of(request), await read_form(request)
    email, phone = _given(form, "email"), _given(form, "phone")
    sure = form.one("sure") == "yes"
    try:
        number = await erasing.erase(
            visit.context, visit.who, email=email, phone=phone, dry_run=not sure
        )
    except NoAddress as error:
        status, problem = told(error) or (HTTPStatus.UNPROCESSABLE_ENTITY, "")
        if wrong := await _wrong(visit, email, phone):
            return await _page(visit, email, phone, wrong=wrong, status=status)
        return await _page(visit, email, phone, problem=problem, status=status)
    if sure:
        return RedirectResponse(visit.link("/erasures", f"done={number}"), HTTPStatus.SEE_OTHER)
    return await _page(visit, email, phone, number=number)


async def _wrong(visit: Visit, email: str | None, phone: str | None) -> Mapping[str, str]:
    """Return which of what was given is no address, by the name of its input."""
    wrong = {}
    for name, given, find, said in (
        ("email", email, by_email, "This is no email address."),
        (
            "phone",
            phone,
            by_phone,
            "This is no phone number. Try it with its country code (+1...).",
        ),
    ):
        if given is not None:
            try:
                await find(visit.context, given)
            except NoAddress:
                wrong[name] = said
    return wrong


def _given(form: Form, name: str) -> str | None:
    return (form.one(name) or "").strip()[:_LONGEST] or None


async def _page(
    visit: Visit,
    email: str | None = None,
    phone: str | None = None,
    *,
    number: int | None = None,
    problem: str | None = None,
    wrong: Mapping[str, str] | None = None,
    notice: str | None = None,
    status: HTTPStatus = HTTPStatus.OK,
) -> Response:
    done = await erasing.newest(visit.context)
    view = ErasuresView(email or "", phone or "", number, problem, wrong or {}, done)
    return render(
        visit,
        "erasures.html",
        "Erasures",
        view,
        section="erasures",
        notice=notice,
        status=status,
    )
