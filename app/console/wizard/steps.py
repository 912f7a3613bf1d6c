"""The steps of setting up: where they are, which are done, and whose turn it is."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Literal, cast
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from app.console.forms import Form, whole_number
from app.console.rendering import render
from app.console.session import AdminPage
from app.console.state import Visit, visit_of
from app.ledger.integrations import StoredIntegration
from app.operations import integrations, sampling

StepName = Literal["account", "jebbit", "sample", "mapping", "whom", "check", "live"]

TITLES: Final[Mapping[StepName, str]] = {
    "account": "Cordial",
    "jebbit": "Jebbit",
    "sample": "A sample",
    "mapping": "Mapping",
    "whom": "Whom",
    "check": "Check",
    "live": "Go live",
}
NAMES: Final[Sequence[StepName]] = tuple(TITLES)


def named(step: StepName) -> str:
    """Return a step as links name it: `step 5: Whom`."""
    return f"step {NAMES.index(step) + 1}: {TITLES[step]}"


@dataclass(frozen=True, slots=True)
class Step:
    """A step in the row of all; without a link it cannot be opened yet."""

    title: str
    link: str | None
    is_done: bool
    is_here: bool


@dataclass(frozen=True, slots=True)
class Wizard:
    """What is around each step: the integration's name, all steps, and which one this is."""

    name: str
    steps: Sequence[Step]
    number: int
    here: str
    link: str

    @property
    def title(self) -> str:
        """What this step is about."""
        return self.steps[self.number - 1].title

    @property
    def before(self) -> str | None:
        """The address of the step before."""
        return self.steps[self.number - 2].link if self.number > 1 else None

    @property
    def after(self) -> str | None:
        """The address of the step that follows."""
        return self.steps[self.number].link if self.number < len(self.steps) else None


class StepPage(AdminPage):
    """A step of an integration that is being set up; of another, its own page is opened."""

    open_when_live = False

    async def let_in(
        self, request: Request, answer: Callable[[Request], Coroutine[Any, Any, Response]]
    ) -> Response:
        """Find the integration before anything is asked of it."""

        async def opened(asked: Request) -> Response:
            visit = visit_of(asked)
            named = asked.path_params["integration_id"]
            stored = await integrations.get(visit.context, named)
            if stored.setup is None and not self.open_when_live:
                # Whoever saves a step that was open while it went live, must hear of it.
                lost = urlencode({"done": "set_up"}) if asked.method == "POST" else ""
                own = visit.link(f"/integrations/{stored.id}", lost)
                return RedirectResponse(own, HTTPStatus.SEE_OTHER)
            asked.state.stored = stored
            return await answer(asked)

        return await super().let_in(request, opened)


class LivePage(StepPage):
    """The last step, which goes on when the integration is live."""

    open_when_live = True


def stored_of(request: Request) -> StoredIntegration:
    """Return the integration that a step is of, as it was when the request came in."""
    return cast(StoredIntegration, request.state.stored)


async def wizard_of(visit: Visit, stored: StoredIntegration, here: StepName) -> Wizard:
    """Return the frame of a step."""
    done = await _done(visit, stored)
    base = f"/integrations/new/{stored.id}"
    steps = [
        Step(TITLES[name], visit.link(f"{base}/{name}"), done[name], name == here) for name in NAMES
    ]
    number = NAMES.index(here) + 1
    return Wizard(
        stored.integration.name, steps, number, visit.link(f"{base}/{here}"), visit.link(base)
    )


def first_wizard(visit: Visit) -> Wizard:
    """Return the frame of the first step, of an integration that is not there yet."""
    steps = [Step(title, None, False, name == "account") for name, title in TITLES.items()]
    here = visit.link("/integrations/new")
    return Wizard("New integration", steps, 1, here, here)


async def next_step(visit: Visit, stored: StoredIntegration) -> StepName:
    """Return the first step that is not done."""
    done = await _done(visit, stored)
    return next((name for name in NAMES if not done[name]), "live")


async def _done(visit: Visit, stored: StoredIntegration) -> Mapping[StepName, bool]:
    live = stored.setup is None
    sample = live or await sampling.sample_of(visit.context, stored) is not None
    return {
        "account": True,
        "jebbit": bool(stored.integration.jebbit.webhook_secrets),
        "sample": sample,
        "mapping": stored.setup is None or stored.setup.mapped,
        "whom": stored.setup is None or stored.setup.whom,
        "check": live,
        "live": live,
    }


MEANWHILE: Final = (
    "Somebody else changed this integration meanwhile, so nothing is saved. Open the step anew to "
    "see it as it is now, or save once more to put yours in its place."
)


def version_in(form: Form) -> int:
    """Return the version of the integration that a form was opened at."""
    return whole_number(form.text("version"), _DIGITS) or 0


_DIGITS: Final = 18


def to(visit: Visit, stored: StoredIntegration, step: StepName, done: str = "") -> Response:
    """Lead to a step."""
    query = f"done={done}" if done else ""
    link = visit.link(f"/integrations/new/{stored.id}/{step}", query)
    return RedirectResponse(link, HTTPStatus.SEE_OTHER)


def page(
    visit: Visit,
    template: str,
    view: Any,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    refreshes: bool = False,
) -> Response:
    """Return a step as a page; its view has the frame as `wizard`."""
    wizard: Wizard = view.wizard
    return render(
        visit,
        f"wizard_{template}.html",
        f"{wizard.title} · {wizard.name}",
        view,
        section="integrations",
        notice=_NOTICES.get(visit.request.query_params.get("done", "")),
        refreshes=refreshes,
        status=status,
    )


_NOTICES: Final = {
    "reached": "Cordial takes the key. Everything so far is saved, and nothing is sent yet.",
    "registered": "Jebbit has the address of this service, and its secret is stored here.",
    "secret": "The secret is stored.",
    "asked": "Jebbit was asked for a test webhook. It comes in a moment.",
    "sample": "The sample is stored, as a test: it is never sent.",
    "mapped": "The mapping is saved.",
    "answered": "Your answers are saved.",
    "live": "It sends.",
}
