"""Cordial's answers that more than one endpoint gives, and the refusals of endpoints."""

import json

from starlette.responses import JSONResponse, Response


class Answer(JSONResponse):
    """JSON in ASCII: names come back whatever half a surrogate pair they were sent with."""

    def render(self, content: object) -> bytes:
        """Write the content as JSON."""
        return json.dumps(content, separators=(",", ":")).encode()


class Refusal(Exception):
    """An endpoint does not do what it is asked; the answer is Cordial's usual shape of an error."""

    def __init__(self, status: int, error_key: str, message: str) -> None:
        super().__init__(message)
        told = {"error": True, "errorKey": error_key, "message": message}
        self.answer = Answer(told, status_code=status)


def not_done(message: str) -> Refusal:
    """422: Cordial understood the call and does not do it."""
    return Refusal(422, "GENERIC_ERROR_KEY", message)


def not_found(error_key: str = "RECORD_NOT_FOUND") -> Refusal:
    """404: the path is right, and what it names is not there."""
    return Refusal(404, error_key, "record not found")


def path_not_found(path: str) -> Response:
    """404 for a path that Cordial does not have."""
    return Answer({"error": f"'{path}' is not found."}, status_code=404)


def authentication_failure() -> Response:
    """401. `error` is a string here and a boolean elsewhere. S."""
    return Answer({"error": "Access Denied: Authentication Failure"}, status_code=401)


def forbidden() -> Response:
    """403."""
    return Answer({"error": "Access Denied"}, status_code=403)


def too_fast(headers: dict[str, str] | None = None) -> Response:
    """429."""
    return Answer({"error": "Too Many Requests"}, status_code=429, headers=headers)
