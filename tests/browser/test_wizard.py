"""The wizard in a real browser, by keyboard alone, with every mistake made once."""

from contextlib import asynccontextmanager
from ipaddress import ip_network

from tests.browser.conftest import Examiner, defects, hosts, let_in
from tests.console.stage import staged
from tests.waiting import wait_for

SECRET = "a-secret-of-jebbit-for-tests-0815"
ANN = {
    "email": "ann@example.com",
    "opt_in": "yes",
    "country_code": "US",
    "outcome": "Bold",
    "newsletter": "yes",
}


class Keyboard:
    """Somebody who has no mouse."""

    def __init__(self, page):
        self._page = page
        self._keys = page.keyboard

    async def to(self, where):
        """Go on, from one place to the next, until this one has the focus."""
        for _ in range(150):
            if await self._page.locator(f"{where}:focus").count():
                return
            await self._keys.press("Tab")
        raise AssertionError(f"the keyboard does not reach {where}")

    async def write(self, where, text):
        await self.to(where)
        await self._keys.press("Control+A")
        await self._keys.insert_text(text)

    async def press(self, where, key="Enter"):
        await self.to(where)
        await self._keys.press(key)

    async def choose(self, name, place):
        """Choose one of several: the first by the space bar, others by the arrows."""
        await self.press(f"input[name={name}]", "Space")
        for _ in range(place):
            await self._keys.press("ArrowDown")


@asynccontextmanager
async def judged(page, examiner, seen):
    """Judge each step by axe once, and each state for faint texts and on a telephone."""
    yield
    step = page.url.rpartition("/")[2].partition("?")[0]
    found = await (examiner.faint() if step in seen else examiner.violations())
    seen.append(step)
    await page.emulate_media(color_scheme="dark")
    found += await examiner.faint()
    await page.emulate_media(color_scheme="light")
    assert found == [], seen[-1]
    assert await examiner.overflow() == 0, seen[-1]


async def test_from_two_tabs_to_the_first_contact_with_every_mistake_made_once(tmp_path, page):
    """Wrong key, wrong allow list, wrong secret, wrong case, missing list, no answer: each is told
    with what to do, and mended where it is told. What comes in is shown without a reload."""
    examiner, seen = Examiner(page), []
    with staged(tmp_path) as stage:
        account = stage.sandbox.account
        await page.clock.install()
        await let_in(page, stage)
        hands = Keyboard(page)
        await page.goto(f"{stage.url}/console/integrations/new")

        await hands.write("#name", "Spring quiz")
        await hands.write("#account_url", stage.account_url)
        await hands.write("#api_key", "a-key-with-a-typo")
        async with judged(page, examiner, seen):
            await hands.press(".primary")
            await page.get_by_text("The key is another one").wait_for()
        account.allowed_ips = [ip_network("192.0.2.0/24")]
        stage.sandbox.switches.denied_status = 403
        await hands.write("#api_key", "sandbox-key")
        async with judged(page, examiner, seen):
            await hands.press(".primary")
            await page.get_by_text("Cordial knows the key and refuses every call").wait_for()
            assert await page.locator("code", has_text="127.0.0.1").count() == 1
        account.allowed_ips = None
        async with judged(page, examiner, seen):
            await hands.press(".primary")
            await page.get_by_role("heading", name="Let Jebbit post here").wait_for()

        await hands.write("#secret", "another-secret-of-somebody-4711")
        async with judged(page, examiner, seen):
            await hands.press(".primary")
            await page.get_by_text("Nothing came so far").wait_for()
        test = {"secret": SECRET, "headers": {"x-jebbit-test": "true"}}
        refuse(stage)
        await page.clock.fast_forward(10_000)
        async with judged(page, examiner, seen):
            await page.get_by_text("was refused: its signature is wrong").wait_for()
            await page.get_by_text("The secret stored here ends in ****4711").wait_for()
        await hands.press("#came .button")
        await hands.write("#secret", SECRET)
        await hands.press(".primary")
        await page.get_by_role("heading", name="What does Jebbit send?").wait_for()
        stage.post({**ANN, "outcome": "Calm"}, **test)
        await page.clock.fast_forward(10_000)
        async with judged(page, examiner, seen):
            await page.get_by_text("A sample came").wait_for()

        async with judged(page, examiner, seen):
            await hands.press("#came .primary")
            await page.get_by_role("heading", name="Which answer goes where?").wait_for()
        await hands.write("[aria-label='Cordial field for outcome']", "Quiz_Outcome")
        await hands.press("summary:has-text('not sent')")
        await hands.write("[aria-label='Cordial field for newsletter']", "spring-news")
        await hands.to("[aria-label='Type of newsletter']")
        await page.keyboard.type("list")
        async with judged(page, examiner, seen):
            await hands.press(".primary")
            await page.get_by_text("2 rows need mending").wait_for()
            await page.get_by_text("Cordial has no list spring-news").wait_for()
        await hands.press("button:has-text('Write quiz_outcome')")
        await page.get_by_text("1 row needs mending").wait_for()
        await hands.press("button:has-text('Create the list spring-news')")
        await page.get_by_text("needs mending").wait_for(state="detached")
        assert "spring-news" in account.lists
        async with judged(page, examiner, seen):
            await hands.press(".primary")
            await page.get_by_role("heading", name="Whom to send, whom to subscribe?").wait_for()

        assert await page.locator("input[type=radio]:checked").count() == 0
        async with judged(page, examiner, seen):
            await hands.press(".onward .primary")
            await page.get_by_text("6 answers are missing").wait_for()
        for name, place in (
            *(("collect", 0), ("region", 0), ("send", 0), ("subscribe", 0)),
            *(("eu_send", 0), ("eu_subscribe", 1)),
        ):
            await hands.choose(name, place)
        async with judged(page, examiner, seen):
            await hands.press(".onward .primary")
            await page.get_by_text("Nothing keeps it from going live").wait_for()

        (made,) = stage.post(ANN, secret=SECRET)
        async with judged(page, examiner, seen):
            await hands.press(".onward .primary")
            await page.get_by_role("button", name="Go live and send 1 submission").wait_for()
        await hands.press(".onward .primary")
        await page.get_by_role("heading", name="It is live").wait_for()
        stage.settled(made)
        await page.clock.fast_forward(10_000)
        async with judged(page, examiner, seen):
            await page.get_by_text("1 contact is in Cordial").wait_for()
        contact = stage.sandbox.contacts.find("email", "ann@example.com")
        assert contact.attributes["quiz_outcome"] == "Bold"
        assert "spring-news" in contact.lists
        assert len(seen) >= 13
        assert hosts(page) == {stage.url.removeprefix("http://")}
        assert defects(page) == []


async def test_what_is_waited_for_comes_without_javascript_too(tmp_path, open_page):
    """By a button, where the page cannot renew itself."""
    page = await open_page(java_script_enabled=False)
    with staged(tmp_path) as stage, stage.visit() as admin:
        await let_in(page, stage)
        account = {"name": "Spring quiz", "account_url": stage.account_url}
        made = admin.post("/console/integrations/new", data=account | {"api_key": "sandbox-key"})
        assert made.is_redirect
        await page.goto(f"{stage.url}/console/integrations/new/spring-quiz/sample")
        await page.get_by_text("No secret is stored yet").wait_for()
        body = {"webhook_secrets": [SECRET]}
        assert stage.ops.patch("/integrations/spring-quiz", json={"jebbit": body}).is_success
        await page.get_by_role("link", name="Look again").click()
        await page.get_by_text("Nothing came so far.").wait_for()
        stage.post(ANN, secret=SECRET)
        await page.get_by_role("link", name="Look again").click()
        await page.get_by_text("A sample came").wait_for()
        assert not await page.get_by_role("link", name="Look again").count()


def refuse(stage):
    """Let a webhook be refused, and wait until that is written down."""
    stage.refuse(ANN, "spring-quiz")
    path = "/integrations/spring-quiz/refused-webhooks"
    wait_for(lambda: stage.ops.get(path).json()["refused"], 5, "the refusal")
