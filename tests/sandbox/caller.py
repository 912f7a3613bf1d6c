"""What the tests of the sandbox send, and what they look at."""

from typing import Any

import httpx

ANN = {"email": {"address": "ann@example.com"}}
PHONE = "12225555151"
AUTH = httpx.BasicAuth("sandbox-key", "")


async def post(cordial: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await cordial.post("/v2/contacts", json={"channels": ANN, **body})


async def post_raw(cordial: httpx.AsyncClient, content: str) -> httpx.Response:
    headers = {"content-type": "application/json"}
    return await cordial.post("/v2/contacts", content=content, headers=headers)


def email(status: str | None = None, address: str = "ann@example.com") -> dict[str, Any]:
    asked = {"subscribeStatus": status} if status else {}
    return {"email": {"address": address, **asked}}


def sms(status: str, address: str = PHONE, **program: Any) -> dict[str, Any]:
    asked = {"keyword": "join", "subscribeStatus": status, **program}
    return {"sms": {"address": address, "programs": {"main": asked}}}


async def held(cordial: httpx.AsyncClient) -> list[dict[str, Any]]:
    return (await cordial.get("/_sandbox/contacts")).json()["contacts"]


async def attributes(cordial: httpx.AsyncClient) -> dict[str, Any]:
    return (await held(cordial))[0]["attributes"]
