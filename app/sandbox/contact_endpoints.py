"""The API calls under /v2/contacts."""

from typing import cast
from urllib.parse import unquote

from starlette.responses import Response

from app.sandbox.account import Json
from app.sandbox.answers import Answer, not_found
from app.sandbox.calls import Call
from app.sandbox.contact import Contact
from app.sandbox.state import Sandbox


def post_contact(sandbox: Sandbox, call: Call) -> Response:
    """Create or update the contact that the body names."""
    contact, created = sandbox.contacts.upsert(call.fields, sandbox.now())
    status = 201 if created else sandbox.switches.update_status
    if sandbox.switches.success_body == "bare":
        return Answer({"success": True}, status_code=status)
    # "contact created" is said of updates too: R, C
    told = {"success": True, "message": "contact created", "cID": contact.cid}
    return Answer(told, status_code=status)


def get_contacts(sandbox: Sandbox, call: Call) -> Response:
    """Show all contacts, or the one with `?email=`."""
    email = call.asked("email")
    if email is None:
        return Answer([_document(sandbox, one) for one in sandbox.contacts])
    return Answer([_document(sandbox, _known(_by_email(sandbox, email)))])


def get_contact(sandbox: Sandbox, call: Call) -> Response:
    """Show one contact."""
    return Answer(_document(sandbox, _named_contact(sandbox, call)))


def put_contact(sandbox: Sandbox, call: Call) -> Response:
    """Change one contact, which must be there."""
    contact = _named_contact(sandbox, call, "CONTACTS_CONTACT_NOT_FOUND")
    sandbox.contacts.update(contact, call.fields, sandbox.now())
    return Answer({"success": True})


def delete_contact(sandbox: Sandbox, call: Call) -> Response:
    """Forget one contact."""
    sandbox.contacts.delete(_named_contact(sandbox, call))
    return Answer({"success": True})


def put_unsubscribe(sandbox: Sandbox, call: Call) -> Response:
    """Unsubscribe one contact from one channel; no body is needed."""
    contact = _named_contact(sandbox, call)
    sandbox.contacts.unsubscribe(contact, unquote(call.names[1]), sandbox.now())
    return Answer({"success": True})


def _named_contact(sandbox: Sandbox, call: Call, error_key: str = "RECORD_NOT_FOUND") -> Contact:
    """Find by `email:address`, `sms:number`, cID or the bare address, the primary key. S."""
    key, colon, value = call.names[0].partition(":")
    if colon:
        return _known(sandbox.contacts.find(unquote(key), unquote(value)), error_key)
    bare = unquote(key)
    return _known(sandbox.contacts.find("cID", bare) or _by_email(sandbox, bare), error_key)


def _by_email(sandbox: Sandbox, address: str) -> Contact | None:
    found = (sandbox.contacts.find(name, address) for name in sandbox.account.email_channels)
    return next((contact for contact in found if contact), None)


def _known(contact: Contact | None, error_key: str = "RECORD_NOT_FOUND") -> Contact:
    if contact is None:
        raise not_found(error_key)
    return contact


def _document(sandbox: Sandbox, contact: Contact) -> Json:
    """A contact as GET shows it: attributes and lists at top level, geo values as objects. S."""
    document: Json = {"cID": contact.cid, "channels": sandbox.contacts.channels_of(contact)}
    for key, value in contact.attributes.items():
        *parents, leaf = key.split(".")
        branch = document
        for parent in parents:
            branch = cast("Json", branch.setdefault(parent, {}))
        branch[leaf] = value
    return {**document, **dict.fromkeys(sorted(contact.lists), True)}
