"""The page on which a person reads and tries this API, from files of our own.

Swagger UI's files come from the wheel fastapi-swagger, so the page needs no other host, and its
policy allows none: no inline script, no frame around it. The token is kept in the page alone and is
gone when it closes.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

router = APIRouter(include_in_schema=False)

POLICY: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
"""The headers of each answer here. `data:` is for the icons in Swagger UI's style sheet."""

# Paths are relative, so that the page works under a proxy's prefix too.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Jebbit to Cordial sync: API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="docs/favicon-32x32.png">
</head>
<body>
<div id="api"><noscript>This page needs JavaScript; openapi.json says the same.</noscript></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: false,
  validatorUrl: null,
});
"""
_KINDS: Mapping[str, str] = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
_KEPT = {"Cache-Control": "public, max-age=3600"}


@router.get("/docs")
async def page() -> HTMLResponse:
    """Return the page."""
    return HTMLResponse(_PAGE, headers=POLICY)


@router.get("/docs/start.js")
async def start() -> Response:
    """Return what starts Swagger UI."""
    return Response(_START, media_type="text/javascript", headers=POLICY)


@router.get("/docs/{name}")
async def file(name: str) -> Response:
    """Return one of Swagger UI's own files."""
    if name not in _KINDS:
        return Response(status_code=404, headers=POLICY)
    headers = {**POLICY, **_KEPT}
    return Response(_content(name), media_type=_KINDS[name], headers=headers)


@cache
def _content(name: str) -> bytes:
    return files("fastapi_swagger").joinpath("resources", name).read_bytes()
