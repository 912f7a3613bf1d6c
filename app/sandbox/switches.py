"""The open questions of Cordial's contract, and how the sandbox answers them."""

from typing import Literal

from app.sandbox.account import Fixture


class Switches(Fixture):
    """Open questions of Cordial's contract. A client must work with either setting of each."""

    unknown_field: Literal["reject", "drop"] = "reject"
    """An attribute or list the account lacks: 422 for the whole write (R), or just dropped."""

    update_status: Literal[200, 201] = 200
    """What POST answers when the contact was there before (C has seen both)."""

    denied_status: Literal[401, 403] = 401
    """What a wrong IP or a missing permission gets. A bad key is always 401."""

    unsubscribed: Literal["keep", "reject"] = "keep"
    """`subscribed` without forceSubscribe for someone unsubscribed: 2xx and unchanged, or 422."""

    force_on_post: bool = True
    """Whether POST honours forceSubscribe (H, C) or only PUT does (S)."""

    email_required: bool = False
    """Whether every write must carry channels.email (S), or SMS-only ones pass too (C)."""

    attributes_shape: Literal["array", "object"] = "array"
    """GET /accountcontactattributes: an array (S), or an object keyed by attribute (C)."""

    success_body: Literal["full", "bare"] = "full"
    """Whether a 2xx of POST carries `message` and `cID`, or `success` alone."""

    lists_when_none: Literal[404, 200] = 404
    """GET /accountlists of an account without lists: 404 (S), or an empty array."""

    geo_coordinates: Literal["number", "any"] = "number"
    """Whether `loc.lat` and `loc.lon` must be numbers, or numbers written as text pass too: ?"""

    list_names: Literal["dashes", "underscores"] = "dashes"
    """POST /accountlists: letters, numbers and dashes alone (S), or underscores too (C)."""

    flags: Literal["checked", "ignored"] = "checked"
    """A `suppressTriggers` or `forceSubscribe` that is no boolean: 422 (S), or as if not sent."""
