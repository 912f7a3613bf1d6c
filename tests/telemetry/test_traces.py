"""Traces: a webhook's span, and its deliveries' spans linked to it through the ledger."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from app.settings import traces_exporter
from app.telemetry.traces import NoTraces, OpenTelemetryTraces, open_traces
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def exported() -> InMemorySpanExporter:
    """Keeps what is traced."""
    return InMemorySpanExporter()


@pytest.fixture
def traces(exported: InMemorySpanExporter) -> OpenTelemetryTraces:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    return OpenTelemetryTraces(provider)


def test_a_delivery_is_linked_to_its_webhook(traces, exported):
    """By what is stored between them; the webhook is part of the caller's trace."""
    with traces.webhook({b"traceparent": CALLER.encode()}) as webhook:
        stored = webhook.traceparent
        webhook.note({"outcome": "accepted", "bytes": None})
    assert stored is not None
    assert len(stored) <= 64
    with traces.delivery(stored) as delivery:
        delivery.note({"status": "delivered", "n": 1})
    first, second = exported.get_finished_spans()
    assert first.context.trace_id == 0x0AF7651916CD43DD8448EB211C80319C
    assert (first.name, first.kind) == ("webhook", SpanKind.SERVER)
    assert dict(first.attributes) == {"outcome": "accepted"}
    [link] = second.links
    assert (link.context.trace_id, link.context.span_id) == (
        first.context.trace_id,
        first.context.span_id,
    )
    assert second.parent is None
    assert second.context.trace_id != first.context.trace_id
    assert delivery.ids == {"trace_id": f"{second.context.trace_id:032x}"}


@pytest.mark.parametrize("stored", [None, "", "garbage", "00-0-0-00"])
def test_a_delivery_without_a_known_webhook_stands_alone(traces, exported, stored):
    """What was stored while traces were off, or by something else, links to nothing."""
    with traces.delivery(stored):
        pass
    [span] = exported.get_finished_spans()
    assert list(span.links) == []


def test_an_error_s_message_is_not_traced(traces, exported):
    """It may repeat a value."""
    with pytest.raises(ValueError, match="ann"), traces.webhook({}):
        raise ValueError("ann@example.com")
    [span] = exported.get_finished_spans()
    assert "ann@" not in span.to_json()


def test_a_whole_run_is_traced_without_a_person_s_data(service, monkeypatch, capfd):
    """By the standard variables alone; each submission's delivery points back at its webhook."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "our-sync")
    running = service()
    running.create_integration()
    answer = running.post({"email": "marker@example.com"}, headers={"traceparent": CALLER})
    [submission] = answer.json()["submissions"]
    running.wait(submission)
    running.stop()
    told = capfd.readouterr().out
    assert CALLER.split("-")[1] in told
    assert [told.count(f'"name": "{name}"') for name in ("webhook", "delivery")] == [1, 1]
    assert submission in told
    assert "our-sync" in told
    assert "marker" not in told


OFF: list[dict[str, str]] = [
    {},
    {"OTEL_TRACES_EXPORTER": "none"},
    {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
    {"OTEL_SERVICE_NAME": "sync"},
    {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"},
    {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"},
]
ON: list[tuple[dict[str, str], str]] = [
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "otlp"),
    ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, "otlp"),
    ({"OTEL_TRACES_EXPORTER": "otlp"}, "otlp"),
    ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An environment in which only these are set."""

    def only(given: dict[str, str]) -> None:
        for name in {name for each, _ in ON for name in each} | {"OTEL_SDK_DISABLED"}:
            monkeypatch.delenv(name, raising=False)
        for name, value in given.items():
            monkeypatch.setenv(name, value)

    return only


@pytest.mark.parametrize("given", OFF, ids=str)
def test_off_unless_asked_for(environment, given):
    """Then nothing is made, kept or stored."""
    environment(given)
    traces = open_traces(traces_exporter())
    assert isinstance(traces, NoTraces)
    with (
        traces.webhook({b"traceparent": CALLER.encode()}) as span,
        traces.delivery(CALLER) as other,
    ):
        span.note({"outcome": "accepted"})
        assert span is other, "nothing is made for either"
        assert (span.traceparent, dict(span.ids)) == (None, {})
    traces.close()


@pytest.mark.parametrize(("given", "exporter"), ON, ids=str)
def test_on_by_the_standard_variables(environment, given, exporter):
    """Where to is OpenTelemetry's own matter."""
    environment(given)
    assert traces_exporter() == exporter


def test_off_nobody_asks_for_the_sdk_and_on_without_it_we_say_so_and_serve():
    """Off it costs neither memory nor time at the start; in a process that has none to import."""
    code = (
        "import sys\n"
        "class Without:\n"
        "    asked = []\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.startswith('opentelemetry.sdk'):\n"
        "            self.asked.append(name)\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Without())\n"
        "import app.main\n"
        "from app.telemetry.traces import open_traces\n"
        "assert Without.asked == []\n"
        "print(type(open_traces('otlp')).__name__)\n"
        "assert Without.asked != []\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "NoTraces" in done.stdout
    assert "uv sync --extra otel" in done.stdout + done.stderr


def test_spans_reach_a_collector(environment, collector):
    """OTLP over HTTP, sent at the end at the latest."""
    environment({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    traces = open_traces(traces_exporter())
    with traces.webhook({}) as span:
        span.note({"outcome": "accepted"})
    traces.close()
    [(path, body)] = wait_for(lambda: collector.taken)
    assert path == "/v1/traces"
    assert b"jebbit-cordial-sync" in body
    assert b"accepted" in body


class Collector:
    """Takes what is posted to it."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes]] = []
        self.url = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        import gzip

        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        zipped = dict(scope["headers"]).get(b"content-encoding") == b"gzip"
        self.taken.append((scope["path"], gzip.decompress(body) if zipped else body))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def collector() -> Any:
    """A collector on a port of its own."""
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from app.serving import serving

    taking = Collector()
    with serving(Starlette(routes=[Mount("/", taking)])) as url:
        taking.url = url
        yield taking
