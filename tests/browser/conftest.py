"""A real browser, from which nothing but this machine can be reached."""

import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import OPS_TOKEN
from tests.console.conftest import bare, stage
from tests.console.stage import Stage

__all__ = ["bare", "stage"]

# Without windows it renders alike, and takes three fifths of the CPU.
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
ALONE = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
TELEPHONE = {"width": 360, "height": 740}
_WIDER = """(() => {
  const folded = [...document.querySelectorAll("details:not([open])")];
  for (const each of folded) each.open = true;
  const page = document.documentElement;
  const wider = page.scrollWidth - page.clientWidth;
  for (const each of folded) each.open = false;
  return wider;
})()"""
_TELL = """const tell = found => found.map(each =>
  each.id + ": " + each.nodes.map(node => node.target.join(" ")).join(", ")
);"""
# Judges how faint texts are: of each kind that is not known yet, the first on the page. A kind is
# a text's colour and size, and the colours of all that is around it. If axe cannot tell for the
# first, because it is a single letter for instance, it is asked for all others of that kind.
_FAINT = """(async known => {
  const behind = new Map([[null, ""]]), kinds = new Map();
  for (const each of document.querySelectorAll("*")) {
    const style = getComputedStyle(each);
    const {backgroundColor, backgroundImage, opacity, position} = style;
    const own = [backgroundColor, backgroundImage, opacity, position].join();
    const through = own === "rgba(0, 0, 0, 0),none,1,static";
    behind.set(each, behind.get(each.parentElement) + (through ? "" : own));
    const says = [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!says && !each.matches("input, select, textarea")) continue;
    if (!each.checkVisibility({visibilityProperty: true})) continue;
    const off = each.closest(":disabled") || each.closest("label")?.control?.disabled;
    const {color, fontSize, fontWeight} = style;
    const kind = [color, fontSize, fontWeight, !!off, behind.get(each)].join();
    if (!known.includes(kind)) kinds.set(kind, [...(kinds.get(kind) ?? []), each]);
  }
  const found = [];
  const judged = async chosen => {
    const within = new Set(chosen.flatMap(each => [...each.children]));
    for (const each of chosen) within.delete(each);
    const nodes = {violations: [], passes: []};
    if (chosen.length) Object.assign(nodes, await axe.run(
      {include: chosen, exclude: [...within]},
      {runOnly: ["color-contrast"], resultTypes: ["violations", "passes"], elementRef: true},
    ));
    found.push(...nodes.violations);
    return new Set(
      [...nodes.violations, ...nodes.passes].flatMap(each => each.nodes.map(node => node.element))
    );
  };
  const told = await judged([...kinds.values()].map(([first]) => first));
  await judged([...kinds.values()].flatMap(([first, ...others]) => told.has(first) ? [] : others));
  return {kinds: [...kinds.keys()], found: tell(found)};
})"""
_STATUS = "Failed to load resource: the server responded with a status of"


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Any]:
    """Debian's Chromium."""
    if CHROMIUM is None:
        pytest.skip("NO BROWSER HERE: install Debian's chromium-headless-shell, or chromium")
    from playwright.async_api import async_playwright  # loads for long, and few workers need it

    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ALONE))
        yield opened
        await opened.close()


@pytest.fixture
async def open_page(browser: Any) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Open a page that notes what it asks for and what it complains of: `open_page(**context)`."""
    contexts = []

    async def opening(**how: Any) -> Any:
        context = await browser.new_context(**{"timezone_id": "Europe/Berlin", **how})
        contexts.append(context)
        context.set_default_timeout(30_000)  # a busy machine is no defect
        opened: Any = await context.new_page()
        opened.asked, opened.complaints = [], []
        opened.on("request", lambda request: opened.asked.append(request.url))
        opened.on(
            "console",
            lambda said: opened.complaints.append(said.text) if said.type == "error" else None,
        )
        opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
        return opened

    yield opening
    for each in contexts:
        await each.close()


@pytest.fixture
async def page(open_page: Callable[..., Awaitable[Any]]) -> Any:
    """A page."""
    return await open_page()


async def sign_in(page: Any, url: str, token: str) -> None:
    """Sign somebody in at the console, by the form."""
    await page.goto(f"{url}/console/sign-in")
    await page.get_by_label("Your token").fill(token)
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("navigation", name="Console").wait_for()


async def let_in(page: Any, stage: Stage, token: str = OPS_TOKEN) -> None:
    """Give a page the session of somebody who is signed in: the form has its own tests."""
    with stage.visit(token) as client:
        kept = [{"name": each.name, "value": each.value} for each in client.cookies.jar]
    await page.context.add_cookies([{**each, "url": stage.url} for each in kept])


def hosts(page: Any) -> set[str]:
    """Return which hosts a page has asked."""
    return {urlsplit(each).netloc for each in page.asked if not each.startswith("data:")}


def defects(page: Any) -> list[str]:
    """Return what a page complained of; that an answer is an error is no defect of the page."""
    return [each for each in page.complaints if not each.startswith(_STATUS)]


class Examiner:
    """Measures a page from a world of its own, which the page's policy does not bind."""

    def __init__(self, page: Any) -> None:
        self._page = page
        self._session: Any = None
        self._kinds: set[str] = set()

    async def evaluate(self, expression: str, *, prepare: str = "") -> Any:
        """Return the value of an expression, or of the promise that it is."""
        if self._session is None:
            self._session = await self._page.context.new_cdp_session(self._page)
        tree = await self._session.send("Page.getFrameTree")
        made = await self._session.send(
            "Page.createIsolatedWorld",
            {"frameId": tree["frameTree"]["frame"]["id"], "worldName": "examiner"},
        )
        where = {"contextId": made["executionContextId"], "returnByValue": True}
        ready = await self._session.send(
            "Runtime.evaluate", {"expression": "typeof axe !== 'undefined'", **where}
        )
        if prepare and not ready["result"]["value"]:
            await self._session.send("Runtime.evaluate", {"expression": prepare, **where})
        answer = await self._session.send(
            "Runtime.evaluate", {"expression": expression, "awaitPromise": True, **where}
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def violations(self) -> list[str]:
        """Return what axe finds on the page, each with where."""
        chosen = {"resultTypes": ["violations"], "rules": {"color-contrast": {"enabled": False}}}
        found = await self.evaluate(
            f"axe.run(document, {json.dumps(chosen)}).then(found => tell(found.violations))",
            prepare=AXE,
        )
        return [*found, *await self.faint()]

    async def faint(self) -> list[str]:
        """Return which text axe finds too faint, of the kinds not judged before.

        To find what is behind each text takes axe longer than all else, and pages are much alike.
        """
        known = json.dumps(sorted(self._kinds))
        judged = await self.evaluate(f"{_FAINT}({known})", prepare=AXE)
        self._kinds.update(judged["kinds"])
        return list(judged["found"])

    async def overflow(self) -> int:
        """Return by how many pixels the page is wider than a telephone's window, all unfolded."""
        before = self._page.viewport_size
        if before == TELEPHONE:
            return int(await self.evaluate(_WIDER))
        await self._page.set_viewport_size(TELEPHONE)
        found = int(await self.evaluate(_WIDER))
        await self._page.set_viewport_size(before)
        return found


AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8") + _TELL
