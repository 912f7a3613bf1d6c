"""Every API call that Cordial knows here, and the way through its door: access, limit, answer."""

from collections.abc import Callable
from typing import NamedTuple

from starlette.responses import Response

from app.sandbox import account_endpoints, contact_endpoints
from app.sandbox.access import denied
from app.sandbox.account import Permission
from app.sandbox.answers import Answer, Refusal, not_done, path_not_found, too_fast
from app.sandbox.calls import Call
from app.sandbox.refusals import ContactRefused, InvalidContact
from app.sandbox.state import Sandbox


class Endpoint(NamedTuple):
    """One API call: the permission it takes (one per call: H) and how it is answered."""

    permission: Permission
    answer: Callable[[Sandbox, Call], Response]
    takes_body: bool = False


_ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    ("GET", "contacts"): Endpoint("GET contacts", contact_endpoints.get_contacts),
    ("POST", "contacts"): Endpoint(
        "POST contacts", contact_endpoints.post_contact, takes_body=True
    ),
    ("GET", "contacts/{}"): Endpoint("GET contacts", contact_endpoints.get_contact),
    ("PUT", "contacts/{}"): Endpoint(
        "PUT contacts", contact_endpoints.put_contact, takes_body=True
    ),
    ("DELETE", "contacts/{}"): Endpoint("DELETE contacts", contact_endpoints.delete_contact),
    ("PUT", "contacts/{}/unsubscribe/{}"): Endpoint(
        "PUT contacts/unsubscribe", contact_endpoints.put_unsubscribe
    ),
    ("GET", "accountcontactattributes"): Endpoint(
        "GET accountcontactattributes", account_endpoints.get_attributes
    ),
    ("POST", "accountcontactattributes"): Endpoint(
        "POST accountcontactattributes", account_endpoints.post_attribute, takes_body=True
    ),
    ("GET", "accountcontactattributes/{}"): Endpoint(
        "GET accountcontactattributes", account_endpoints.get_attribute
    ),
    ("PUT", "accountcontactattributes/{}"): Endpoint(
        "PUT accountcontactattributes", account_endpoints.put_attribute, takes_body=True
    ),
    ("DELETE", "accountcontactattributes/{}"): Endpoint(
        "DELETE accountcontactattributes", account_endpoints.delete_attribute
    ),
    ("GET", "accountlists"): Endpoint("GET accountlists", account_endpoints.get_lists),
    ("POST", "accountlists"): Endpoint(
        "POST accountlists", account_endpoints.post_list, takes_body=True
    ),
}


def answer(sandbox: Sandbox, call: Call) -> Response:
    """Answer as Cordial would: an unknown path first, then access, the rate limit, the endpoint."""
    endpoint = _ENDPOINTS.get((call.method, call.endpoint))
    if endpoint is None:  # also for a method that is not there, such as PATCH: ?
        return path_not_found(call.path)
    refused = denied(call, sandbox.account, sandbox.switches, endpoint.permission)
    if refused:
        return refused
    quota = sandbox.limiter.count(endpoint.permission, sandbox.account, sandbox.clock())
    given = too_fast() if quota and quota.exceeded else _endpoint_answer(sandbox, call, endpoint)
    given.headers.update(quota.headers if quota else {})
    return given


def _endpoint_answer(sandbox: Sandbox, call: Call, endpoint: Endpoint) -> Response:
    try:
        if endpoint.takes_body:
            _check_body(call)
        return endpoint.answer(sandbox, call)
    except Refusal as refusal:
        return refusal.answer
    except InvalidContact as invalid:  # R
        messages = {"validationErrors": invalid.errors}
        return Answer({"error": True, "messages": messages}, status_code=422)
    except ContactRefused as refused:  # `messages` may be an object or, as here, a string
        told = {"error": True, "errorKey": "GENERIC_ERROR_KEY", "messages": str(refused)}
        return Answer(told, status_code=422)


def _check_body(call: Call) -> None:
    if call.media_type != b"application/json":
        message = "Unsupported Media Type: Content-Type header must be application/json"
        raise Refusal(415, "UNSUPPORTED_MEDIA_TYPE", message)
    if call.broken or call.body is None:
        raise Refusal(400, "GENERIC_ERROR_KEY", "The body is not JSON")
    if not isinstance(call.body, dict):
        raise not_done("The body must be an object")
