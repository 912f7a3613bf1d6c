"""The console in a real browser: what a person does there, and that everybody can."""

import re
from itertools import count

import pytest

from tests.browser.conftest import TELEPHONE, Examiner, defects, hosts, let_in, sign_in
from tests.conftest import OPS_TOKEN
from tests.console.stage import VIEWER
from tests.thorough import left_to_faults, thorough

_numbers = count(1)


@pytest.fixture
def refused(stage):
    """An integration whose contacts Cordial refuses, with one dead submission; gives both."""
    quiz = stage.create(
        f"Refused {next(_numbers)}",
        cordial={"on_rejected_field": "dead"},
        mapping=[
            {"attribute": "email", "field": "channels.email.address"},
            {"attribute": "outcome", "field": "Quiz_Outcome"},
        ],
    )
    body = {"email": "liv@example.com", "opt_in": "true", "country_code": "US", "outcome": "Bold"}
    yield quiz, stage.dead(body, quiz)
    stage.ops.delete(f"/integrations/{quiz}?force=true")


def mend(stage, quiz):
    mapping = [{"attribute": "email", "field": "channels.email.address"}]
    assert stage.ops.patch(f"/integrations/{quiz}", json={"mapping": mapping}).is_success


async def test_from_the_overview_to_a_dead_submission_and_its_delivery(stage, page, refused):
    """Sign in, see what is wrong, understand it, mend it, replay it, see it delivered."""
    quiz, made = refused
    await sign_in(page, stage.url, OPS_TOKEN)
    need = page.get_by_role("listitem").filter(has_text=f"{quiz.replace('-', ' ').capitalize()}")
    await need.get_by_role("link", name="Show it").click()
    await page.get_by_role("link", name=made[-8:]).click()
    await page.get_by_role("heading", name="Dead: rejected by Cordial", level=1).wait_for()
    await page.get_by_text("Outside the EU, because country_code is US.").wait_for()
    await page.get_by_text("Email is asked to be subscribed: the answer is yes.").wait_for()
    mend(stage, quiz)
    await page.get_by_role("button", name="Replay").click()
    await page.get_by_text("It is back in line.").wait_for()
    await page.get_by_role("heading", name="Delivered", level=1).wait_for()  # by itself
    assert stage.sandbox.contacts.find("email", "liv@example.com") is not None
    assert hosts(page) == {stage.url.removeprefix("http://")}
    assert defects(page) == []


async def test_it_works_without_javascript(stage, open_page, refused):
    """Signing in, looking, counting, replaying, signing out: all are links and forms."""
    quiz, made = refused
    page = await open_page(java_script_enabled=False)
    await sign_in(page, stage.url, OPS_TOKEN)
    await page.get_by_role("link", name="Submissions").first.click()
    await page.get_by_role("link", name=re.compile("^Dead")).click()
    await page.get_by_role("link", name=re.compile(f"^{quiz}")).first.click()
    mend(stage, quiz)
    await page.get_by_role("checkbox").first.check()
    await page.get_by_role("button", name="Replay selected").click()
    await page.get_by_role("button", name="Replay 1 submission").click()
    await page.get_by_text("1 submission was put back in line.").wait_for()
    stage.settled(made)
    await page.goto(f"{stage.url}/console/submissions/{made}")
    await page.get_by_role("heading", name="Delivered", level=1).wait_for()
    await page.get_by_role("button", name="Sign out").click()
    await page.get_by_role("heading", name="Sign in").wait_for()


async def test_it_works_by_keyboard_alone(stage, page, refused):
    """Sign in, go to what is dead, open the first, replay it; find, and the list of keys."""
    quiz, made = refused
    mend(stage, quiz)
    keys = page.keyboard
    await page.goto(f"{stage.url}/console/sign-in")
    await page.locator("#token:focus").wait_for()
    await keys.type(OPS_TOKEN)
    await keys.press("Enter")
    await page.get_by_role("navigation", name="Console").wait_for()
    await keys.press("?")
    await page.get_by_role("dialog", name="Keys").wait_for()
    await keys.press("Escape")
    await page.get_by_role("dialog", name="Keys").wait_for(state="hidden")
    await keys.press("/")
    await keys.type(made)
    await keys.press("Enter")
    await page.get_by_role("heading", name="Dead: rejected by Cordial", level=1).wait_for()
    await keys.press("g")
    await keys.press("d")
    await page.get_by_role("heading", name=re.compile("submissions?$"), level=1).wait_for()
    await keys.press("j")
    focused = page.locator("a.id:focus")
    await focused.wait_for()
    await keys.press("Enter")
    await page.get_by_role("button", name="Replay", exact=True).wait_for()
    for _ in range(40):
        await keys.press("Tab")
        if await page.locator("button:focus", has_text=re.compile("^Replay$")).count():
            break
    await keys.press("Enter")
    await page.get_by_text("It is back in line.").wait_for()
    assert defects(page) == []


async def test_a_page_renews_itself(stage, page):
    """What came in meanwhile is there without a reload; not while text is selected."""
    quiz = stage.create(f"Live {next(_numbers)}", state="paused")
    stage.post({"email": "one@example.com", "opt_in": "true"}, quiz)
    await page.clock.install()
    await let_in(page, stage)
    await page.goto(f"{stage.url}/console/submissions?integration={quiz}")
    rows = page.locator("tbody tr")
    assert await rows.count() == 1
    await page.get_by_role("heading", level=1).dblclick()  # selects a word
    stage.post({"email": "two@example.com", "opt_in": "true"}, quiz)
    asked = len(page.asked)
    await page.clock.fast_forward(30_000)
    assert len(page.asked) == asked
    assert await rows.count() == 1
    await page.get_by_text("Times in").click()  # and lets it go
    await page.clock.fast_forward(10_000)
    await rows.nth(1).wait_for()
    await page.get_by_role("heading", name="2 submissions").wait_for()
    assert defects(page) == []
    stage.ops.delete(f"/integrations/{quiz}?force=true")


async def test_the_token_stays_out_of_the_browser(stage, page):
    """Neither in its storage, nor in a cookie that a script could read."""
    await sign_in(page, stage.url, OPS_TOKEN)
    kept = await Examiner(page).evaluate(
        "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    )
    assert OPS_TOKEN not in kept
    assert "console_session" not in kept
    cookies = await page.context.cookies()
    assert OPS_TOKEN not in str(cookies)


# --- Every page in every state ------------------------------------------------------------------

QUERIES = {
    "delivered": "status=delivered",
    "warned": "status=delivered&contact=mia@example.com",
    "skipped": "reason=opt_in_unclear",
    "dead": "reason=rejected",
    "unreadable": "reason=unreadable",
    "pending": "status=pending",
    "test": "status=test",
}


def addresses(stage):
    """Return the address of each page in each state."""
    found = {
        name: stage.ops.get(f"/submissions?limit=1&{query}").json()["submissions"][0]["id"]
        for name, query in QUERIES.items()
    }
    changed = stage.ops.get("/integrations/paused/changes").json()["changes"]
    last, first = changed[0]["version"], changed[-1]["version"]
    return [
        "/console",
        "/console/submissions",
        "/console/submissions?status=dead",
        "/console/submissions?contact=nobody@example.com",
        "/console/submissions?status=none",
        *(f"/console/submissions/{each}" for each in found.values()),
        f"/console/submissions/replay?pick={found['dead']}",
        "/console/submissions/discard?scope=all&status=dead",
        "/console/integrations",
        "/console/integrations/new",
        "/console/integrations/spring-quiz",
        "/console/integrations/strict",
        "/console/integrations/strict/rules",
        "/console/integrations/paused",
        "/console/integrations/paused/changes",
        f"/console/integrations/paused/changes?from={first}&to={last}",
        f"/console/integrations/paused/changes/{first}",
        "/console?range=30d",
        "/console/consent",
        "/console/consent?integration=strict",
        "/console/erasures",
        "/console/nothing",
    ]


def kind(name):
    """Return what all states of a page have in common: its address without ids and a query."""
    address, _, _ = name.partition("?")
    return re.sub("s/(?!new|replay|discard)[^/]+", "s/id", address)


async def each_state(stage, bare, page, token):
    """Yield after each page in each state was opened, also those that a button opens."""
    await page.goto(f"{stage.url}/console/sign-in")
    yield "sign-in"
    await page.get_by_label("Your token").fill("wrong-token-of-nobody")
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("alert").wait_for()
    yield "wrong token"
    await sign_in(page, stage.url, token)
    for path in addresses(stage):
        await page.goto(stage.url + path)
        yield path
    if token == OPS_TOKEN:
        await page.goto(f"{stage.url}/console/integrations/strict")
        await page.get_by_role("button", name="Check against Cordial").click()
        await page.get_by_role("heading", name="What the check found").wait_for()
        yield "a check"
        await page.goto(f"{stage.url}/console/integrations/strict/rules")
        await page.get_by_label("Send, in the EU, or unknown").select_option("who said yes")
        await page.get_by_text("More of rule 2").click()
        await page.get_by_label("Program").fill("main")
        await page.get_by_text("Compared with the last").wait_for()
        yield "an edit"
        await page.get_by_label("Field that gets the answer").fill("channels")
        await page.get_by_text("Something must be corrected").wait_for()
        yield "a wrong edit"
        await page.get_by_role("button", name="Compare with what came in").click()
        await page.get_by_role("alert").wait_for()
        yield "a refused edit"
        await page.goto(f"{stage.url}/console/erasures")
        await page.get_by_label("Email").fill("ann@example.com")
        await page.get_by_role("button", name="Count first").click()
        await page.get_by_role("link", name="Keep them").wait_for()
        yield "an erasure"
    await page.keyboard.press("?")
    await page.get_by_role("dialog", name="Keys").wait_for()
    yield "the keys"
    await page.context.clear_cookies()  # a cookie is for a host, whatever the port
    await let_in(page, bare, token)
    for path in ("", "/submissions", "/integrations", "/consent"):
        await page.goto(f"{bare.url}/console{path}")
        yield f"empty {path}"


async def test_everybody_can_use_every_page(stage, bare, open_page):
    """axe finds nothing in light, and no text too faint in dark; nothing breaks the policy; on a
    telephone nothing is cut off or has to be scrolled sideways.

    `make faults` asks axe about each state of a page, `make test` about the first of them.
    """
    stage.app.state.console.context.slowdown.free = 1_000
    page = await open_page(color_scheme="light")
    examiner = Examiner(page)
    seen, judged, found, too_wide = 0, set(), {}, {}
    async for name in each_state(stage, bare, page, OPS_TOKEN):
        known = kind(name) in judged and not thorough()
        found[name] = await (examiner.faint() if known else examiner.violations())
        judged.add(kind(name))
        await page.emulate_media(color_scheme="dark")
        found[f"{name}, dark"] = await examiner.faint()
        await page.emulate_media(color_scheme="light")
        too_wide[name] = await examiner.overflow()
        seen += 1
    assert {name: each for name, each in found.items() if each} == {}
    assert {name: each for name, each in too_wide.items() if each} == {}
    assert seen > 25
    assert hosts(page) == {each.url.removeprefix("http://") for each in (stage, bare)}
    assert defects(page) == []


@left_to_faults("they lack only what can be done")
async def test_every_page_of_a_viewer_fits_a_telephone_too(stage, bare, open_page):
    """Also where nothing can be done."""
    stage.app.state.console.context.slowdown.free = 1_000
    page = await open_page(viewport=TELEPHONE)
    examiner = Examiner(page)
    too_wide = {}
    async for name in each_state(stage, bare, page, VIEWER):
        too_wide[name] = await examiner.overflow()
    assert {name: each for name, each in too_wide.items() if each} == {}
    assert defects(page) == []
