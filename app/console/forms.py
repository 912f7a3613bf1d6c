"""What a browser sends with a form."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from urllib.parse import parse_qs

from fastapi import Request

from app.operations.invalid import invalid_at

_MOST_FIELDS = 10_000  # the editor's, of a thousand rules


@dataclass(frozen=True, slots=True)
class Form:
    """The values of a form, by name."""

    values: Mapping[str, Sequence[str]]
    files: Mapping[str, bytes] = field(default_factory=dict)

    def one(self, name: str) -> str | None:
        """Return a value, the last one if there are several."""
        found = self.values.get(name)
        return found[-1] if found else None

    def all(self, name: str) -> Sequence[str]:
        """Return all values of a name."""
        return self.values.get(name, ())

    def text(self, name: str) -> str:
        """Return a value without spaces around it; blank if it is missing."""
        return (self.one(name) or "").strip()

    def file(self, name: str) -> bytes | None:
        """Return what was uploaded; None if nothing was chosen, or it is empty."""
        return self.files.get(name)


def whole_number(text: str, digits: int) -> int | None:
    """Return a number that a browser sent; None if it is none, or has more digits than so many."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else None


async def read_form(request: Request) -> Form:
    """Return the form that a request carries; what is none counts as an empty one.

    Raises:
        Invalid: it has more values than are read; those beyond would get lost.
    """
    body = await request.body()
    content_type = _header("content-type", request.headers.get("content-type", ""))
    if content_type.get_content_type() == "multipart/form-data":
        boundary = content_type.get_param("boundary")
        return _multipart(body, boundary) if isinstance(boundary, str) else Form({})
    text = body.decode("utf-8", errors="replace")
    _refuse_many(text.count("&") + 1)
    return Form(parse_qs(text, keep_blank_values=False))


def _refuse_many(number: int) -> None:
    if number > _MOST_FIELDS:
        raise invalid_at("form", f"A page may send {_MOST_FIELDS:,} values; use the API for more.")


def _multipart(body: bytes, boundary: str) -> Form:
    """Read a form that may carry files (RFC 7578), as `parse_qs` reads one without: no blanks."""
    values: dict[str, list[str]] = {}
    files: dict[str, bytes] = {}
    for name, filename, content in _parts(body, boundary.encode("latin-1", errors="replace")):
        if not content:
            continue
        if filename is not None:
            files[name] = content
        else:
            values.setdefault(name, []).append(content.decode("utf-8", errors="replace"))
    return Form(values, files)


def _parts(body: bytes, boundary: bytes) -> Iterator[tuple[str, str | None, bytes]]:
    """Yield name, file's name and content of each part."""
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    _refuse_many(len(pieces) - 2)
    for piece in pieces[1:]:
        head, found, content = piece.partition(b"\r\n\r\n")
        if not found or piece.startswith(b"--"):  # the last one closes the form
            continue
        for line in head.decode("utf-8", errors="replace").split("\r\n"):
            name, _, value = line.partition(":")
            if name.strip().lower() == "content-disposition":
                said = _header("content-disposition", value.strip())
                field_name = said.get_param("name", header="content-disposition")
                if isinstance(field_name, str):
                    yield field_name, said.get_filename(), content


def _header(name: str, value: str) -> Message:
    message = Message()
    message[name] = value.replace("\r", " ").replace("\n", " ")
    return message
