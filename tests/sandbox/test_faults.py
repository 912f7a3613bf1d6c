"""The local Cordial fails on demand."""

import httpx
import pytest

from app.sandbox.faults import Fault
from tests.sandbox.caller import ANN, AUTH, email, post
from tests.waiting import wait_for


@pytest.mark.parametrize(
    ("fault", "status", "headers", "body"),
    [
        ({"kind": "rate_limited"}, 429, {}, "Too Many"),
        ({"kind": "rate_limited", "retry_after": 0}, 429, {"retry-after": "0"}, "Too Many"),
        ({"kind": "rate_limited", "retry_after": 7}, 429, {"retry-after": "7"}, "Too Many"),
        ({"kind": "rate_limited_reset"}, 429, {"x-rate-limit-reset": "1"}, "Too Many"),
        (
            {"kind": "rate_limited_reset", "retry_after": 7},
            429,
            {"x-rate-limit-reset": "7"},
            "Too Many",
        ),
        ({"kind": "server_error"}, 500, {}, '{"error":"an error has occurred"}'),
        ({"kind": "html_502"}, 502, {}, "<html>"),
        ({"kind": "success_false"}, 200, {}, '{"success":false,"message"'),
        ({"kind": "cut_body"}, 200, {}, '{"success": tr'),
        ({"kind": "unauthorized"}, 401, {}, '{"error":"Access Denied'),
        ({"kind": "forbidden"}, 403, {}, '{"error":"Access Denied'),
        ({"kind": "html_403"}, 403, {}, "<html>"),
        ({"kind": "answer", "answer": {"status": 451, "text": "no"}}, 451, {}, "no"),
        ({"kind": "answer", "answer": {"status": 422, "body": {"a": 1}}}, 422, {}, '{"a": 1}'),
        (
            {"kind": "answer", "answer": {"status": 503, "headers": {"Retry-After": "9"}}},
            503,
            {"retry-after": "9"},
            "null",
        ),
        ({"kind": "not_found"}, 404, {}, "is not found."),
    ],
)
async def test_a_fault_answers_in_cordials_place(cordial, sandbox, fault, status, headers, body):
    """Told over HTTP, it hits its number of times and nothing is written."""
    told = await cordial.put("/_sandbox/faults", json={"faults": [{**fault, "times": 1}]})
    assert told.status_code == 200
    answer = await post(cordial)
    assert answer.status_code == status
    names = {"retry-after", "x-rate-limit-reset"}
    assert {name: value for name, value in answer.headers.items() if name in names} == headers
    assert body in answer.text
    assert bool(body) == bool(answer.text)
    assert len(sandbox.contacts) == 0
    assert (await post(cordial)).status_code == 201
    requests = (await cordial.get("/_sandbox/journal")).json()["requests"]
    assert [one["fault"] for one in requests] == [fault["kind"], None]


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        ({"kind": "empty_body"}, 200, ""),
        ({"kind": "no_content"}, 204, ""),
        ({"kind": "text_body"}, 200, "OK"),
        ({"kind": "answer", "answer": {"status": 202, "text": "yes", "written": True}}, 202, "yes"),
    ],
)
async def test_some_answers_come_after_the_write(cordial, sandbox, fault, status, text):
    """Cordial has the contact, and says so in a form of its own."""
    await cordial.put("/_sandbox/faults", json={"faults": [{**fault, "times": 1}]})
    answer = await post(cordial)
    assert (answer.status_code, answer.text) == (status, text)
    assert len(sandbox.contacts) == 1


async def test_a_fault_can_be_for_what_a_body_holds(cordial, sandbox):
    """As a firewall's is."""
    sandbox.faults.append(Fault(kind="html_403", holding="<script"))
    assert (await post(cordial)).status_code == 201
    assert (await post(cordial, first_name="<script>")).status_code == 403


async def test_a_fault_without_times_lasts_until_cleared(cordial):
    """GET shows what is left of each fault; DELETE ends them."""
    faults = [{"kind": "server_error", "times": 2}, {"kind": "html_502"}]
    await cordial.put("/_sandbox/faults", json={"faults": faults})
    assert (await post(cordial)).status_code == 500
    left = (await cordial.get("/_sandbox/faults")).json()["faults"]
    assert [(one["kind"], one["times"]) for one in left] == [
        ("server_error", 1),
        ("html_502", None),
    ]
    statuses = [(await post(cordial)).status_code for _ in range(3)]
    assert statuses == [500, 502, 502]
    assert (await cordial.delete("/_sandbox/faults")).status_code == 204
    assert (await post(cordial)).status_code == 201


async def test_a_fault_can_be_for_one_address(cordial, sandbox):
    """Only bodies with that email are hit, and other calls do not use it up."""
    sandbox.faults.append(Fault(kind="server_error", times=1, email="Ann@example.com"))
    assert (await post(cordial, channels=email(address="bob@example.com"))).status_code == 201
    assert (await cordial.get("/v2/accountlists")).status_code == 200
    assert (await post(cordial)).status_code == 500
    assert (await post(cordial)).status_code == 201


async def test_chance_repeats_with_its_seed(cordial):
    """The same seed gives the same run of faults, another seed another."""
    runs = []
    for seed in (7, 7, 8):
        plan = {"faults": [{"kind": "server_error", "probability": 0.5}], "seed": seed}
        await cordial.put("/_sandbox/faults", json=plan)
        runs.append([(await post(cordial)).is_server_error for _ in range(40)])
    assert runs[0] == runs[1] != runs[2]
    assert 5 < runs[0].count(True) < 35


def test_a_reset_after_the_write_is_a_lost_connection(server, sandbox):
    """The client sees no answer at all, and Cordial has the contact all the same."""
    sandbox.faults.append(Fault(kind="reset_after_write", times=1))
    with httpx.Client(base_url=server, auth=AUTH) as client:
        with pytest.raises(httpx.TransportError):
            client.post("/v2/contacts", json={"channels": ANN})
        assert sandbox.contacts.find("email", "ann@example.com")
        (entry,) = sandbox.journal
        assert (entry.status, entry.fault) == (None, "reset_after_write")
        assert entry.ended is not None
        assert client.post("/v2/contacts", json={"channels": ANN}).status_code == 200


async def test_in_process_a_reset_is_the_servers_exception(cordial, sandbox):
    """Without a connection to drop, the caller gets the error and the write is done."""
    sandbox.faults.append(Fault(kind="reset_after_write"))
    with pytest.raises(ConnectionResetError):
        await post(cordial)
    assert len(sandbox.contacts) == 1


def test_a_slow_answer_comes_after_the_clients_patience(server, sandbox):
    """The client has gone, the write happens."""
    sandbox.faults.append(Fault(kind="slow", seconds=0.2))
    with (
        httpx.Client(base_url=server, auth=AUTH, timeout=0.05) as client,
        pytest.raises(httpx.ReadTimeout),
    ):
        client.post("/v2/contacts", json={"channels": ANN})
    wait_for(lambda: len(sandbox.contacts))
    assert sandbox.contacts.find("email", "ann@example.com")


@pytest.mark.parametrize("slowness", ["fault", "latency"])
async def test_a_wait_ends_in_the_usual_answer(cordial, sandbox, slowness):
    """Slow or far away, the answer is the same, and the journal has the time it took."""
    if slowness == "fault":
        sandbox.faults.append(Fault(kind="slow", seconds=0.05))
    else:
        sandbox.latency_seconds = 0.05
    assert (await post(cordial)).status_code == 201
    (entry,) = sandbox.journal
    assert entry.ended is not None
    assert entry.ended - entry.started >= 0.045
