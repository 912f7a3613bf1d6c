"""The editor of rules in a real browser: what a person sees while they type, and what is saved."""

import re
from itertools import count

import pytest

from tests.browser.conftest import defects, hosts, let_in

_numbers = count(1)


@pytest.fixture
def quiz(stage):
    """An integration for those who said yes alone, with a field in the wrong case; two said no
    word."""
    made = stage.create(
        f"Edited {next(_numbers)}",
        state="paused",
        policy={"opt_in": "opted_in_only"},
        mapping=[
            {"attribute": "email", "field": "channels.email.address"},
            {"attribute": "outcome", "field": "Quiz_Outcome"},
        ],
    )
    said = {"country_code": "US", "outcome": "Bold"}
    stage.post([{"email": f"{name}@example.com", **said} for name in "ab"], made)
    yield made
    stage.ops.delete(f"/integrations/{made}?force=true")


async def opened(stage, page, quiz):
    """Open the editor for an admin who is signed in."""
    await let_in(page, stage)
    await page.goto(f"{stage.url}/console/integrations/{quiz}/rules")


def send(page):
    return page.get_by_label("Send, outside the EU")


def policy(stage, quiz):
    return stage.ops.get(f"/integrations/{quiz}").json()["policy"]


async def test_a_change_is_seen_while_it_is_made_confirmed_saved_and_brought_back(
    stage, page, quiz
):
    """Who would be newly subscribed, what becomes of one person, what is wrong; nothing goes live
    unseen."""
    await opened(stage, page, quiz)
    await page.get_by_text("Nothing is changed yet.").wait_for()
    await page.get_by_text("The rules that hold do the same.").wait_for()
    save = page.get_by_role("button", name="Save these rules")
    assert not await save.count()

    await send(page).select_option("who said yes, or nothing")
    await page.get_by_text("Sent, email subscribed", exact=True).wait_for()
    await page.get_by_text("By the rules that hold: not sent: did not opt in.").wait_for()
    await page.get_by_text("2 people would be newly subscribed.").wait_for()
    await page.get_by_role("button", name="Write quiz_outcome").click()
    await page.get_by_text('"quiz_outcome": "Bold"').wait_for()
    await page.get_by_text("quiz_outcome 2 sent now").wait_for()

    label = page.get_by_label("Field that gets the answer")
    await label.fill("channels")
    await page.get_by_text("Something must be corrected, so nothing is compared.").wait_for()
    assert await save.is_disabled()
    assert await label.get_attribute("aria-invalid") == "true"
    assert await page.locator("[aria-invalid]").count() == 1
    await label.fill("")
    await page.locator("[aria-invalid]").wait_for(state="detached")
    await page.get_by_text("2 people would be newly subscribed.").wait_for()

    await save.click()
    await page.get_by_text("Not saved: tick the line above first.").wait_for()
    assert policy(stage, quiz)["opt_in"] == "opted_in_only"
    await page.get_by_label("I have the right to subscribe 2 people like these.").check()
    await save.click()
    await page.get_by_text("The rules were saved.").wait_for()
    assert policy(stage, quiz)["opt_in"] == "opted_in_or_null"

    await page.get_by_role("link", name="Changes").click()
    await page.get_by_role("button", name="Show the difference").click()
    await page.locator("#apart").get_by_text("policy.opt_in").wait_for()
    await page.get_by_role("link", name="Look at bringing it back").click()
    await page.get_by_role("button", name="Bring it back").click()
    await page.get_by_text("The version was brought back.").wait_for()
    assert policy(stage, quiz)["opt_in"] == "opted_in_only"
    assert hosts(page) == {stage.url.removeprefix("http://")}
    assert defects(page) == []


async def test_two_at_once_do_not_overwrite_each_other(stage, page, quiz):
    """Who comes second is told while typing, and saves nothing: the difference is shown, and what
    was typed stays."""
    await opened(stage, page, quiz)
    other = await page.context.new_page()
    await other.goto(f"{stage.url}/console/integrations/{quiz}/rules")
    await other.get_by_label("Who said no is, outside the EU").select_option("unsubscribed")
    await other.get_by_role("button", name="Save these rules").click()
    await other.get_by_text("The rules were saved.").wait_for()

    await page.get_by_label("Program").fill("main")
    await page.get_by_text("Somebody else changed it meanwhile.").wait_for()
    await page.get_by_role("button", name="Save these rules").click()
    difference = page.get_by_role("row").filter(has_text="policy.on_opt_out")
    await difference.get_by_text("unsubscribe", exact=True).wait_for()
    assert await page.get_by_label("Program").input_value() == "main"
    assert stage.ops.get(f"/integrations/{quiz}").json()["cordial"]["sms"] is None
    await page.get_by_role("link", name="Open the rules anew").click()
    await page.get_by_text("Nothing is changed yet.").wait_for()
    assert defects(page) == []


async def test_whoever_goes_elsewhere_with_rules_unsaved_is_asked_first(stage, page, quiz):
    """What was typed stays if they stay; who leaves the rules as they are is not asked."""
    await opened(stage, page, quiz)
    await page.get_by_text("Nothing is changed yet.").wait_for()
    asked = []

    async def stay(dialog):
        asked.append(dialog.type)
        await dialog.dismiss()

    page.on("dialog", stay)
    await page.get_by_label("Program").fill("main")
    await page.get_by_role("button", name="Compare again").wait_for()
    await page.get_by_label("Program").click()  # browsers ask only who has done something
    async with page.expect_event("dialog"):
        await page.get_by_role("link", name="Overview").click(no_wait_after=True)
    assert asked == ["beforeunload"]
    assert await page.get_by_label("Program").input_value() == "main"
    await page.get_by_role("link", name="Leave them as they are").click()
    await page.wait_for_url(f"**/console/integrations/{quiz}")
    assert asked == ["beforeunload"]
    assert defects(page) == []


async def test_a_chosen_and_a_pasted_submission_are_shown(stage, page, quiz):
    """And a field that the account lacks is created by a button; then it fits."""
    await opened(stage, page, quiz)
    await page.get_by_label("Submission", exact=True).select_option(index=1)
    await page.get_by_text("Not sent: did not opt in").first.wait_for()
    await page.get_by_text("Paste one").click()
    await page.get_by_label("The body of a webhook").fill('{"email": "z@example.com", "opt_in": 1}')
    await page.get_by_text("Sent, email subscribed", exact=True).wait_for()

    name = f"made_in_browser_{next(_numbers)}"
    row = page.get_by_role("group", name="Rule 2")
    await row.get_by_label("Cordial field").fill(name)
    await row.get_by_label("Type").select_option("number")
    await row.get_by_role("button", name=f"Create {name} in Cordial").click()
    await page.get_by_text(f"Created the number attribute {name}, without an index.").wait_for()
    assert await row.get_by_label("Cordial field").input_value() == name
    await page.locator("[id='mapping.1.fits']", has_text=re.compile("^number$")).wait_for()
    assert name in stage.sandbox.account.attributes
    assert defects(page) == []


async def test_it_works_by_keyboard_alone(stage, page, quiz):
    """To an input, mend it by its button, look at what that does with Enter, and save."""
    await opened(stage, page, quiz)
    keys = page.keyboard
    field = page.get_by_role("group", name="Rule 2").get_by_label("Cordial field")
    await field.focus()
    await keys.press("Tab")
    await page.locator("button:focus", has_text="Write quiz_outcome").wait_for()
    await keys.press("Enter")
    await page.locator("[id='mapping.1.field']:focus").wait_for()
    assert await field.input_value() == "quiz_outcome"
    await page.get_by_text("string, at most 128 characters").wait_for()
    await keys.press("Enter")  # sends nothing away: the page stays
    save = page.get_by_role("button", name="Save these rules")
    await page.locator("button[value=save]:enabled").wait_for()
    for _ in range(120):
        await keys.press("Tab")
        if await page.locator("button[value=save]:focus").count():
            break
    await keys.press("Enter")
    await page.get_by_text("The rules were saved.").wait_for()
    assert await save.count() == 0
    assert stage.ops.get(f"/integrations/{quiz}").json()["mapping"][1]["field"] == "quiz_outcome"


async def test_it_works_without_javascript(stage, open_page, quiz):
    """Preview, compare and save are buttons."""
    page = await open_page(java_script_enabled=False)
    await opened(stage, page, quiz)
    await send(page).select_option("who said yes, or nothing")
    await page.get_by_role("button", name="Preview", exact=True).last.click()
    await page.get_by_text("By the rules that hold: not sent: did not opt in.").wait_for()
    await page.get_by_text("It is changed, and not compared yet.").wait_for()
    await page.get_by_role("button", name="Compare with what came in").click()
    await page.get_by_text("2 people would be newly subscribed.").wait_for()
    await page.get_by_label(re.compile("^I have the right")).check()
    await page.get_by_role("button", name="Save these rules").click()
    await page.get_by_text("The rules were saved.").wait_for()
    assert policy(stage, quiz)["opt_in"] == "opted_in_or_null"


async def test_without_a_connection_it_says_so_and_goes_on_by_itself(stage, page, quiz):
    """What is shown may be old; nothing can be saved until the service has answered."""
    await page.clock.install()
    await opened(stage, page, quiz)
    await page.context.set_offline(True)
    await send(page).select_option("who said yes, or nothing")
    await page.clock.fast_forward(1_000)
    await page.get_by_text("Not connected; what is shown may be old.").wait_for()
    save = page.locator("button[value=save]:enabled")
    assert not await save.count()
    await page.context.set_offline(False)
    await page.clock.fast_forward(6_000)
    await page.get_by_text("By the rules that hold: not sent: did not opt in.").wait_for()
    await page.clock.fast_forward(1_000)
    await page.get_by_text("2 people would be newly subscribed.").wait_for()
    assert await save.count() == 1
    assert await page.get_by_text("Not connected").is_hidden()
