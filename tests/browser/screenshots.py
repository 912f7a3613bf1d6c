"""Takes the pictures of Console and Set up: `python -m tests.browser.screenshots`."""

import asyncio
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import structlog
from playwright.async_api import async_playwright
from rich.console import Console

from app import demo
from app.main import create_app
from app.operations.callers import OPS
from app.sandbox.server import create_sandbox
from app.serving import serving
from tests.browser.conftest import ALONE, CHROMIUM

SECRET = "a-shared-secret-for-the-pictures"
IMAGES = Path(__file__).parents[2] / "docs" / "images"


class Picture(NamedTuple):
    """What to take: the file's name, the page, the window, and the scheme of colours.

    `edits` are inputs of the editor, with what is chosen there before it is taken.
    """

    name: str
    path: str
    width: int
    height: int
    scheme: str
    edits: Sequence[tuple[str, str]] = ()


PICTURES = (
    Picture("console-overview", "", 1080, 860, "light"),
    Picture("console-submissions", "/submissions?status=skipped", 1080, 620, "dark"),
    Picture("console-submission", "/submissions/{unclear}", 1080, 900, "light"),
    Picture("console-integration", "/integrations/spring-quiz", 1080, 900, "light"),
    Picture(
        "console-editor",
        "/integrations/spring-quiz/rules",
        1280,
        1000,
        "light",
        [("policy.opt_in", "opted_in_only"), ("policy.on_opt_out", "unsubscribe")],
    ),
    Picture("console-telephone", "", 360, 740, "light"),
    Picture("set-up-account", "/integrations/new/summer-quiz/account", 1080, 800, "light"),
    Picture("set-up-sample", "/integrations/new/autumn-quiz/sample", 1080, 700, "light"),
    Picture("set-up-mapping", "/integrations/new/autumn-quiz/mapping", 1080, 880, "light"),
    Picture("set-up-whom", "/integrations/new/autumn-quiz/whom", 1080, 1560, "light"),
)


@contextmanager
def played() -> Iterator[tuple[str, str, httpx.Client]]:
    """Play the demo; give its address, an invitation to its console, and its API."""
    with tempfile.TemporaryDirectory() as folder, serving(create_sandbox()) as cordial:
        app = create_app(demo._settings(Path(folder), cordial))
        headers = {"Authorization": f"Bearer {demo._TOKEN}"}
        with serving(app) as url, httpx.Client(base_url=url, headers=headers) as ops:
            for body in demo._integrations(cordial):
                ops.post("/integrations?force=true", json=body).raise_for_status()
            demo._play(Console(file=io.StringIO(), width=140), ops, cordial)
            yield url, app.state.console.context.sessions.invite(OPS), ops


async def begin(page: Any, url: str, account_url: str) -> None:
    """Begin to set two integrations up: one has a wrong key, the other a sample."""

    async def post(path: str, **form: str) -> None:
        address = f"{url}/console/integrations/new{path}"
        answer = await page.request.post(address, form=form, headers={"Origin": url})
        assert answer.ok, await answer.text()

    account = {"account_url": account_url}
    await post("", name="Summer quiz", api_key="a-key-that-was-revoked", **account)
    await post("", name="Autumn quiz", api_key="sandbox-key", **account)
    await page.goto(f"{url}/console/integrations/new/autumn-quiz/jebbit")
    version = await page.locator("[name=version]").first.input_value()
    await post("/autumn-quiz/jebbit", secret=SECRET, version=version)
    await post("/autumn-quiz/sample", shipped="every_type")


async def take(pictures: Sequence[Picture]) -> None:
    """Take the pictures."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    IMAGES.mkdir(exist_ok=True)
    with played() as (url, invitation, ops):
        found = ops.get("/submissions?reason=opt_in_unclear").json()["submissions"]
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ALONE))
            context: Any = await browser.new_context(timezone_id="Europe/Berlin")
            page = await context.new_page()
            await page.goto(f"{url}/console/sign-in/{invitation}")
            for each in pictures:
                if each.name == "set-up-account":
                    (first, *_) = ops.get("/integrations").json()
                    await begin(page, url, first["cordial"]["account_url"])
                await page.emulate_media(color_scheme=each.scheme)
                await page.set_viewport_size({"width": each.width, "height": each.height})
                await page.goto(f"{url}/console{each.path.format(unclear=found[0]['id'])}")
                for place, choice in each.edits:
                    await page.locator(f"[id='{place}']").select_option(choice)
                if each.edits:
                    await page.get_by_text("Compared with the last").wait_for()
                    await page.mouse.wheel(0, -10_000)
                await page.screenshot(path=IMAGES / f"{each.name}.png")
            await browser.close()


if __name__ == "__main__":
    asyncio.run(take(PICTURES))
