"""What a browser sends with a form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

from fastapi import Request

_MOST_FIELDS = 10_000  # the editor's, of a thousand rules


@dataclass(frozen=True, slots=True)
class Form:
    """The values of a form, by name; whoever is asked for and missing is None."""

    values: Mapping[str, Sequence[str]]

    def one(self, name: str) -> str | None:
        """Return a value, the last one if there are several."""
        found = self.values.get(name)
        return found[-1] if found else None

    def all(self, name: str) -> Sequence[str]:
        """Return all values of a name."""
        return self.values.get(name, ())


async def read_form(request: Request) -> Form:
    """Return the form that a request carries; what is none counts as an empty one."""
    body = (await request.body()).decode("utf-8", errors="replace")
    try:
        return Form(parse_qs(body, keep_blank_values=False, max_num_fields=_MOST_FIELDS))
    except ValueError:
        return Form({})
