"""A real browser, from which nothing but this machine can be reached."""

import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import async_playwright

CHROMIUM = shutil.which("chromium")
_ALONE = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@pytest.fixture
async def page() -> AsyncIterator[Any]:
    """A page of Debian's Chromium that notes what it asks for and what it complains of."""
    if CHROMIUM is None:
        pytest.skip("NO BROWSER HERE: install Debian's package chromium to run these tests")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(_ALONE))
        opened: Any = await browser.new_page()
        opened.asked, opened.complaints = [], []
        opened.on("request", lambda request: opened.asked.append(request.url))
        opened.on(
            "console",
            lambda said: opened.complaints.append(said.text) if said.type == "error" else None,
        )
        opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
        yield opened
        await browser.close()
