"""The page /docs in a real browser: it needs no other host, and does what it shows."""

from urllib.parse import urlsplit


async def test_the_page_shows_every_operation_and_tries_one(service, page):
    """With the network off: all operations are there, Authorize and Execute work, no other host is
    asked, nothing breaks the page's policy, and the token is not left behind."""
    running = service()
    schema = running.client.get("/openapi.json").json()
    number = sum(len(methods) for methods in schema["paths"].values())
    await page.goto(f"{running.url}/docs")
    await page.locator(".opblock").first.wait_for()
    assert await page.locator(".opblock").count() == number >= 26

    await page.get_by_role("button", name="Authorize").first.click()
    asked = page.locator(".modal-ux")
    await asked.locator("input").fill(running.token)
    await asked.get_by_role("button", name="Apply credentials").click()
    await asked.get_by_role("button", name="Close").click()
    stats = page.locator("[id$='countSubmissions']").first
    await stats.locator(".opblock-summary-control").click()
    await stats.get_by_role("button", name="Try it out").click()
    await stats.get_by_role("button", name="Execute").click()
    answered = stats.locator(".live-responses-table .response-col_status", has_text="200")
    await answered.wait_for()

    host = urlsplit(running.url).netloc
    assert {urlsplit(each).netloc for each in page.asked if not each.startswith("data:")} == {host}
    assert page.complaints == []
    kept = await page.evaluate_handle(
        "() => JSON.stringify([{...localStorage}, {...sessionStorage}])"
    )
    assert running.token not in str(await kept.json_value())


def test_its_policy_allows_no_other_host(service):
    """Nor inline scripts, nor a frame around it; each of its files says so."""
    running = service()
    for path in ("/docs", "/docs/start.js", "/docs/swagger-ui.css", "/docs/nothing"):
        headers = running.client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
    assert running.client.get("/redoc").status_code == 404
