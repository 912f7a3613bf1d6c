"""Too many calls in a window get 429."""

from tests.sandbox.caller import attributes, post


async def test_the_rate_limit_counts_per_method_and_endpoint(cordial, sandbox):
    """The call over the limit gets 429 with four headers, writes nothing, and time heals it."""
    sandbox.account.rate_limit, sandbox.account.rate_window_seconds = 2, 60
    now = 1000.0
    sandbox.clock = lambda: now
    first = await post(cordial)
    assert first.headers["X-Rate-Limit-Limit"] == "2"
    assert first.headers["X-Rate-Limit-Remaining"] == "1"
    assert "Retry-After" not in first.headers
    await post(cordial)
    now = 1010.5
    over = await post(cordial, first_name="Ann")
    assert over.status_code == 429
    told = ["Retry-After", "X-Rate-Limit-Limit", "X-Rate-Limit-Remaining", "X-Rate-Limit-Reset"]
    assert [over.headers[name] for name in told] == ["50", "2", "0", "50"]
    assert await attributes(cordial) == {}
    assert (await cordial.get("/v2/contacts")).status_code == 200
    now = 1060.0
    assert (await post(cordial)).status_code == 200
