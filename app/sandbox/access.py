"""Who may call: the API key, its permissions and the account's networks."""

import ipaddress

from starlette.responses import Response

from app.sandbox.account import Account, Permission
from app.sandbox.answers import authentication_failure, forbidden
from app.sandbox.calls import Call
from app.sandbox.switches import Switches


def denied(
    call: Call, account: Account, switches: Switches, permission: Permission
) -> Response | None:
    """Return the answer to a call that its key or its address does not permit, else None."""
    if call.key is None or call.key not in account.api_keys:
        return authentication_failure()
    permissions = account.api_keys[call.key]
    permitted = permissions is None or permission in permissions
    if permitted and _ip_allowed(account, call.client):
        return None
    return forbidden() if switches.denied_status == 403 else authentication_failure()


def _ip_allowed(account: Account, client: str) -> bool:
    if account.allowed_ips is None:
        return True
    try:
        address = ipaddress.ip_address(client)
    except ValueError:  # a Unix socket has no address, so no list lets it in
        return False
    return any(address in network for network in account.allowed_ips)
