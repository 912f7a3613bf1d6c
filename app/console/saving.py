"""Making a change of rules that was seen on what came in, or saying why it was not made."""

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Final, NamedTuple

from app.console.forms import Form
from app.console.words import without_calls
from app.ledger.integrations import VersionChanged
from app.operations.checking import CheckFailed
from app.operations.comparing import Comparison
from app.operations.invalid import WrongPlace

CHANGED_MEANWHILE: Final = "Somebody else changed it meanwhile."


class Refusal(NamedTuple):
    """Why a change was not made.

    `asks`: the number of people who would be newly subscribed is to be confirmed. `can_insist`: it
    is made all the same if the person insists.
    """

    status: HTTPStatus
    problem: str | None = None
    places: Sequence[WrongPlace] = ()
    asks: bool = False
    can_insist: bool = False

    @property
    def is_late(self) -> bool:
        """Whether it was changed since it was looked at."""
        return self.status == HTTPStatus.PRECONDITION_FAILED


async def refusal_of(
    make: Callable[[bool], Awaitable[object]], sent: Form, found: Comparison, what: str
) -> Refusal | None:
    """Make a change and return None, or why it was not made.

    Args:
        make: makes it; it is told whether also with errors in the check.
        sent: the form with the person's confirmations.
        found: what the change would do.
        what: what it is not, if it is refused: "saved".
    """
    if found.newly_subscribed and sent.one("confirmed") != str(found.newly_subscribed):
        return Refusal(HTTPStatus.CONFLICT, asks=True)
    try:
        await make(sent.one("force") == "yes")
    except VersionChanged:
        return Refusal(HTTPStatus.PRECONDITION_FAILED, CHANGED_MEANWHILE)
    except CheckFailed as error:
        problem = f"It was not {what}: it sends now, and the check finds errors."
        places = [each._replace(detail=without_calls(each.detail)) for each in error.places]
        return Refusal(HTTPStatus.CONFLICT, problem, places, can_insist=True)
    return None
