"""Forms as browsers send them, with files and without."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from app.console.forms import read_form, whole_number
from app.operations.invalid import Invalid


async def read(content_type, body):
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", content_type.encode())]
    return await read_form(Request({"type": "http", "headers": headers}, receive))


async def sent(**how):
    request = httpx.Request("POST", "http://here", **how)
    return await read(request.headers["content-type"], request.read())


@given(st.binary(max_size=200), st.text(max_size=50).filter(str.strip))
async def test_a_file_comes_as_it_is(content, text):
    """Whatever bytes it holds; the fields beside it too. What is empty was not chosen."""
    text = text.encode("utf-8", errors="replace").decode()
    form = await sent(data={"text": text}, files={"file": ("a; b.csv", content)})
    assert form.file("file") == (content or None)
    assert form.one("text") == text


async def test_a_form_without_files_is_the_same():
    """A name may have several values, the last of which counts."""
    for how in ({"data": {"a": ["1", "2"]}}, {"data": {"a": ["1", "2"]}, "files": {"f": b""}}):
        form = await sent(**how)
        assert (form.one("a"), form.all("a"), form.text("b")) == ("2", ["1", "2"], "")


@pytest.mark.parametrize("files", [None, {"f": b"x"}])
async def test_a_form_of_too_many_values_is_refused_and_not_taken_for_an_empty_one(files):
    """The editor would say that somebody else had changed its two thousand rules."""
    values = {f"name{n}": "x" for n in range(9_999)}
    form = await sent(data=values, files=files)
    assert len(form.values) == len(values)
    with pytest.raises(Invalid, match="A page may send 10,000 values"):
        await sent(data={**values, "one": "1", "two": "2"}, files=files)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--x\r\n"),
        ("multipart/form-data; boundary=x", b""),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--",
        ),
        ("multipart/form-data; boundary=x", b"--x\r\nno head"),
        ("multipart/form-data; boundary=\xff", b"--x"),
        ("", b"\xff\xfe"),
    ],
)
async def test_what_is_no_form_is_an_empty_one(content_type, body):
    """Never an error of ours."""
    form = await read(content_type, body)
    assert (form.one("a"), dict(form.files)) == (None, {})


@pytest.mark.parametrize(
    "text", ["", "-1", "1.0", " 1", "\u00b2", "\uff11", "one", "12345", "9" * 5_000]
)
def test_what_is_no_number_or_too_long_is_none(text):
    """Whatever a browser sends: Python itself refuses to read thousands of digits."""
    assert whole_number(text, 4) is None
    assert (whole_number("0", 4), whole_number("0012", 4)) == (0, 12)
