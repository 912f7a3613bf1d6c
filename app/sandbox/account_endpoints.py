"""The API calls for attributes and lists of the account."""

import re
from urllib.parse import unquote

from pydantic import ValidationError
from starlette.responses import Response

from app.sandbox.account import Attribute, Json, Validators
from app.sandbox.answers import Answer, not_done, not_found
from app.sandbox.calls import Call
from app.sandbox.fields import MAX_CHARACTERS
from app.sandbox.state import Sandbox
from app.sandbox.writes import RESERVED

LIST_NAMES = {
    "dashes": re.compile(r"[A-Za-z0-9-]{1,128}"),
    "underscores": re.compile(r"[A-Za-z0-9_-]{1,128}"),
}


def get_attributes(sandbox: Sandbox, call: Call) -> Response:
    """List the attributes, perhaps of one type; the shape of the list is a switch."""
    wanted = call.asked("type")
    shown = {
        key: _shown_attribute(key, attribute)
        for key, attribute in sandbox.account.attributes.items()
        if wanted in (None, attribute.type)
    }
    as_array = sandbox.switches.attributes_shape == "array"
    return Answer(list(shown.values()) if as_array else shown)


def get_attribute(sandbox: Sandbox, call: Call) -> Response:
    """Show one attribute."""
    return Answer(_shown_attribute(*_named_attribute(sandbox, call)))


def post_attribute(sandbox: Sandbox, call: Call) -> Response:
    """Add an attribute; its key and its name must be new."""
    key = call.fields.get("key")
    if not isinstance(key, str) or not key or key in sandbox.account.attributes:
        raise not_done("Key must be unique")
    if key in RESERVED:  # what it would be sent as means something else: ?
        raise not_done(f"{key} is not allowed for attribute keys")
    name = call.fields.get("name")
    if not isinstance(name, str) or not name:  # required: S
        raise not_done("Name is required")
    attribute = _read_attribute(call.fields)
    if attribute.name in {one.name for one in sandbox.account.attributes.values()} - {""}:
        raise not_done("Name must be unique")
    sandbox.account.attributes[key] = attribute
    return Answer({"success": True})


def put_attribute(sandbox: Sandbox, call: Call) -> Response:
    """Change what is sent of an attribute, except its type."""
    key, attribute = _named_attribute(sandbox, call)
    if call.fields.get("type", attribute.type) != attribute.type:
        raise not_done("You can not change type")
    limits = attribute.validators.model_dump() | _object(call.fields, "validators")
    kept: Json = {"type": attribute.type, "name": attribute.name, "index": attribute.index}
    merged = {**kept, **call.fields, "validators": limits}
    sandbox.account.attributes[key] = _read_attribute(merged)
    return Answer({"success": True})


def delete_attribute(sandbox: Sandbox, call: Call) -> Response:
    """Remove an attribute; contacts keep their values."""
    if sandbox.account.attributes.pop(unquote(call.names[0]), None) is None:
        raise not_found()
    return Answer({"success": True})


def _named_attribute(sandbox: Sandbox, call: Call) -> tuple[str, Attribute]:
    key = unquote(call.names[0])
    if key not in sandbox.account.attributes:
        raise not_done("Key not exist")  # 422, not 404, on GET and PUT: S
    return key, sandbox.account.attributes[key]


def _read_attribute(body: Json) -> Attribute:
    index = body.get("index", False)
    if index not in (True, False, 1, 0):  # "Possible values: 1, 0, true, false": S
        raise not_done("Incorrect value for index")
    limits = _object(body, "validators") | _object(body, "options")  # maxitems is an option: S
    known = {key: limits[key] for key in Validators.model_fields if key in limits}
    try:
        return Attribute.model_validate(
            {
                "type": body.get("type"),
                "name": body.get("name", ""),
                "index": bool(index) or body.get("type") == "geo",  # "automatically indexed": S
                "validators": known,
            }
        )
    except ValidationError as invalid:
        raise not_done("invalid field type") from invalid


def _object(body: Json, key: str) -> Json:
    value = body.get(key)
    return value if isinstance(value, dict) else {}


def _shown_attribute(key: str, attribute: Attribute) -> Json:
    limits = attribute.validators.model_dump(exclude_none=True, exclude={"maxitems"})
    if attribute.type in ("string", "array"):
        limits = {"min": 0, "max": MAX_CHARACTERS, **limits}
    shown: Json = {
        "key": key,
        "name": attribute.name or key,
        "type": attribute.type,
        "index": attribute.index,
        "validators": limits,
    }
    is_array = attribute.type == "array"
    return {**shown, "options": {"maxitems": attribute.validators.maxitems}} if is_array else shown


def get_lists(sandbox: Sandbox, call: Call) -> Response:
    """List the lists, perhaps the one of a name."""
    wanted = call.asked("name")
    lists = [
        {"id": at, "name": name, "enhanced": False}
        for at, name in enumerate(sandbox.account.lists, start=1)
        if wanted in (None, name)
    ]
    if not lists and sandbox.switches.lists_when_none == 404:
        raise not_found()
    return Answer(lists)


def post_list(sandbox: Sandbox, call: Call) -> Response:
    """Add a list."""
    name = call.fields.get("name")
    allowed = LIST_NAMES[sandbox.switches.list_names]
    if not isinstance(name, str) or not allowed.fullmatch(name):
        raise not_done(
            "Name must contain only letters, numbers, and dashes. Should not exceed 128 characters"
        )
    if name.lower() == "cid":
        raise not_done("cid is not allowed for list names.")
    if name in sandbox.account.lists:
        raise not_done("Name must be unique")
    sandbox.account.lists.append(name)
    return Answer({"success": True, "id": len(sandbox.account.lists)})
