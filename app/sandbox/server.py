"""The sandbox's HTTP server: Cordial under /v2, the control API under /_sandbox."""

import asyncio

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from app.sandbox import control
from app.sandbox.account import Account, default_account
from app.sandbox.calls import Call, email_in, read_call, with_body
from app.sandbox.endpoints import answer
from app.sandbox.faults import Fault, answer_after, answer_in_place, drop_connection, linger
from app.sandbox.state import Sandbox
from app.sandbox.switches import Switches


def create_sandbox(account: Account | None = None, switches: Switches | None = None) -> Starlette:
    """Build a local Cordial; its `Sandbox` is `app.state.sandbox`.

    Both arguments are copied: what happens in the sandbox does not change them.
    """
    sandbox = Sandbox(
        account.model_copy(deep=True) if account else default_account(), switches or Switches()
    )
    app = _SandboxApp(
        routes=[Mount("/_sandbox", routes=control.ROUTES), Mount("/", app=Cordial(sandbox))],
        exception_handlers={ValidationError: control.bad_input},
    )
    app.state.sandbox = sandbox
    return app


class _SandboxApp(Starlette):
    """Starlette that keeps the server's own `send`, which its error middleware wraps."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["sandbox.send"] = send
        await super().__call__(scope, receive, send)


class Cordial:
    """The ASGI app under `/v2`: journal, faults, then Cordial's answer."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or drop it if a fault says so."""
        sandbox, call = self.sandbox, read_call(scope)
        entry = sandbox.journal.open(call, sandbox.clock())
        call = with_body(call, await Request(scope, receive).body())
        entry.body = call.body
        entry.email = email_in(call.body, sandbox.account.email_channels)
        fault = sandbox.next_fault(entry.email, call.path, call.body)
        entry.fault = fault.kind if fault else None
        if fault and fault.kind == "slow":
            entry.left = await linger(fault.seconds, receive, sandbox.clock)
        given = _answer(sandbox, call, fault)
        if sandbox.latency_seconds:
            await asyncio.sleep(sandbox.latency_seconds)
        # Before the send: whoever has the answer must find the entry closed.
        entry.ended = sandbox.clock()
        if entry.fault == "reset_after_write":
            await drop_connection(scope, receive)
        else:
            entry.status = given.status_code
            await given(scope, receive, send)


def _answer(sandbox: Sandbox, call: Call, fault: Fault | None) -> Response:
    if fault and (instead := answer_in_place(fault)):
        return instead
    given = answer(sandbox, call)
    return (fault and given.status_code < 300 and answer_after(fault)) or given
