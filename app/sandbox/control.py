"""The control API under /_sandbox: steer the sandbox and look into it, without a key."""

from typing import TypeVar, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.sandbox.account import Account, Json
from app.sandbox.answers import Answer
from app.sandbox.faults import FaultPlan
from app.sandbox.journal import JournalEntry
from app.sandbox.state import Sandbox
from app.sandbox.switches import Switches

Model = TypeVar("Model", bound=BaseModel)


def _state(request: Request) -> Sandbox:
    return cast("Sandbox", request.app.state.sandbox)


async def _read(request: Request, model: type[Model]) -> Model:
    return model.model_validate_json(await request.body())


async def _get_journal(request: Request) -> Response:
    after = TypeAdapter(int).validate_python(request.query_params.get("after", "0"))
    entries = _state(request).journal.after(after)
    fields = JournalEntry.__slots__
    return Answer({"requests": [{key: getattr(one, key) for key in fields} for one in entries]})


async def _delete_journal(request: Request) -> Response:
    _state(request).journal.clear()
    return Response(status_code=204)


async def _get_faults(request: Request) -> Response:
    sandbox = _state(request)
    return Answer(FaultPlan(faults=sandbox.faults, seed=sandbox.seed).model_dump())


async def _put_faults(request: Request) -> Response:
    sandbox, plan = _state(request), await _read(request, FaultPlan)
    sandbox.faults = plan.faults
    if plan.seed is not None:
        sandbox.reseed(plan.seed)
    return await _get_faults(request)


async def _delete_faults(request: Request) -> Response:
    _state(request).faults.clear()
    return Response(status_code=204)


async def _get_switches(request: Request) -> Response:
    return Answer(_state(request).switches.model_dump())


async def _patch_switches(request: Request) -> Response:
    sandbox = _state(request)
    changes = TypeAdapter(Json).validate_json(await request.body())
    sandbox.switches = Switches.model_validate({**sandbox.switches.model_dump(), **changes})
    return await _get_switches(request)


async def _get_account(request: Request) -> Response:
    return Answer(_state(request).account.model_dump(mode="json"))


async def _put_account(request: Request) -> Response:
    _state(request).account = await _read(request, Account)
    return await _get_account(request)


async def _get_all_contacts(request: Request) -> Response:
    contacts = _state(request).contacts
    shown = [
        {
            "cID": one.cid,
            "channels": contacts.channels_of(one),
            "attributes": one.attributes,
            "lists": sorted(one.lists),
            "created_at": one.created_at.isoformat(),
            "modified_at": one.modified_at.isoformat(),
        }
        for one in contacts
    ]
    return Answer({"contacts": shown})


async def _get_texts(request: Request) -> Response:
    return Answer({"texts": _state(request).contacts.texts})


async def _get_triggers(request: Request) -> Response:
    return Answer({"triggers": _state(request).contacts.triggers})


async def _post_reset(request: Request) -> Response:
    _state(request).reset()
    return Response(status_code=204)


async def bad_input(request: Request, error: Exception) -> Response:
    """422, which names each place that is wrong."""
    problems = error.errors() if isinstance(error, ValidationError) else []
    told = (
        "{}: {}".format(".".join(map(str, one["loc"])) or "body", one["msg"]) for one in problems
    )
    return Answer({"error": "; ".join(told)}, status_code=422)


ROUTES = [
    Route("/journal", _get_journal, methods=["GET"]),
    Route("/journal", _delete_journal, methods=["DELETE"]),
    Route("/faults", _get_faults, methods=["GET"]),
    Route("/faults", _put_faults, methods=["PUT"]),
    Route("/faults", _delete_faults, methods=["DELETE"]),
    Route("/switches", _get_switches, methods=["GET"]),
    Route("/switches", _patch_switches, methods=["PATCH"]),
    Route("/account", _get_account, methods=["GET"]),
    Route("/account", _put_account, methods=["PUT"]),
    Route("/contacts", _get_all_contacts, methods=["GET"]),
    Route("/texts", _get_texts, methods=["GET"]),
    Route("/triggers", _get_triggers, methods=["GET"]),
    Route("/reset", _post_reset, methods=["POST"]),
]
