"""Traces: a span for each webhook and each delivery, linked through the ledger.

They are off, and cost nothing, unless the standard OTEL_ variables turn them on and the `otel`
extra is installed.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import structlog

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as ApiSpan

log = structlog.get_logger("traces")

_SERVICE = "jebbit-cordial-sync"

Value = str | int | float | bool


class Span(Protocol):
    """A webhook or a delivery that is under way."""

    @property
    def traceparent(self) -> str | None:
        """The span's W3C trace context; None if traces are off."""

    @property
    def ids(self) -> Mapping[str, str]:
        """The fields by which a log line leads to the span."""

    def note(self, attributes: Mapping[str, Value | None]) -> None:
        """Set attributes, without those that are None; never a person's data."""


class Traces(Protocol):
    """Makes the spans."""

    def webhook(self, headers: Mapping[bytes, bytes]) -> AbstractContextManager[Span]:
        """Trace a webhook, as part of the trace that its headers may name."""

    def delivery(self, traceparent: str | None) -> AbstractContextManager[Span]:
        """Trace one try to deliver a submission, linked to the span of its webhook."""

    def close(self) -> None:
        """Export the spans that are not yet exported."""


class _NoSpan:
    traceparent: str | None = None
    ids: Mapping[str, str] = MappingProxyType({})

    def note(self, attributes: Mapping[str, Value | None]) -> None:
        pass


class NoTraces:
    """Traces nothing."""

    _nothing: AbstractContextManager[Span] = nullcontext(_NoSpan())

    def webhook(self, headers: Mapping[bytes, bytes]) -> AbstractContextManager[Span]:
        """Trace nothing."""
        return self._nothing

    def delivery(self, traceparent: str | None) -> AbstractContextManager[Span]:
        """Trace nothing."""
        return self._nothing

    def close(self) -> None:
        """Do nothing."""


def open_traces(exporter: str | None) -> Traces:
    """Return traces that go to an exporter, `otlp` or `console`; with None they are off.

    The SDK itself reads the standard variables that say where and how. If the extra is missing, one
    log line says so and traces stay off.
    """
    if exporter is None:
        return NoTraces()
    try:
        return OpenTelemetryTraces(_provider(exporter))
    except ImportError:
        log.warning("traces_off", detail="install the extra: uv sync --extra otel")
        return NoTraces()


def _provider(exporter: str) -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override our own name.
    named = Resource({"service.name": _SERVICE}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=named)
    console = exporter == "console"
    chosen = ConsoleSpanExporter(out=sys.stdout) if console else OTLPSpanExporter()
    provider.add_span_processor(BatchSpanProcessor(chosen))
    return provider


class OpenTelemetryTraces:
    """Traces by OpenTelemetry. It sets nothing global, so a process can have several."""

    def __init__(self, provider: "TracerProvider") -> None:
        """Take the provider: it knows where spans go.

        Raises:
            ImportError: the extra is not installed.
        """
        from opentelemetry import context, trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer(_SERVICE)
        self._propagator = TraceContextTextMapPropagator()
        self._api = trace
        self._no_parent = context.Context()

    @contextmanager
    def webhook(self, headers: Mapping[bytes, bytes]) -> Iterator[Span]:
        """Trace a webhook, as part of the trace that its headers may name."""
        named = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
        parent = self._propagator.extract(named)
        kind = self._api.SpanKind.SERVER
        with self._tracer.start_as_current_span(
            "webhook", parent, kind=kind, record_exception=False, set_status_on_exception=False
        ) as span:
            yield _OpenSpan(span)

    @contextmanager
    def delivery(self, traceparent: str | None) -> Iterator[Span]:
        """Trace one try to deliver: a trace of its own, linked to the webhook's."""
        links = []
        if traceparent is not None:
            stored = self._propagator.extract({"traceparent": traceparent})
            context = self._api.get_current_span(stored).get_span_context()
            links = [self._api.Link(context)] if context.is_valid else []
        # An exception's message may repeat a person's data, so we record none.
        with self._tracer.start_as_current_span(
            "delivery",
            self._no_parent,
            kind=self._api.SpanKind.CONSUMER,
            links=links,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield _OpenSpan(span)

    def close(self) -> None:
        """Export the spans that are not yet exported."""
        self._provider.shutdown()


class _OpenSpan:
    def __init__(self, span: "ApiSpan") -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    @property
    def ids(self) -> Mapping[str, str]:
        return {"trace_id": f"{self._span.get_span_context().trace_id:032x}"}

    def note(self, attributes: Mapping[str, Value | None]) -> None:
        known = {name: value for name, value in attributes.items() if value is not None}
        self._span.set_attributes(known)
