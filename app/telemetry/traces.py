"""Traces: a span for each webhook and each delivery, linked through the ledger.

Off, at no cost, unless the standard OTEL_ variables ask for them and the `otel` extra is installed.
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
    """What is under way."""

    @property
    def traceparent(self) -> str | None:
        """The span's W3C trace context, None where nothing is traced."""

    @property
    def ids(self) -> Mapping[str, str]:
        """What a log line says of the span, to be found by it."""

    def note(self, attributes: Mapping[str, Value | None]) -> None:
        """Keep what is known of it; never a person's data."""


class Traces(Protocol):
    """Makes the spans."""

    def webhook(self, headers: Mapping[bytes, bytes]) -> AbstractContextManager[Span]:
        """Cover a webhook, as part of the trace its headers may name."""

    def delivery(self, traceparent: str | None) -> AbstractContextManager[Span]:
        """Cover one try to deliver a submission, linked to the span of its webhook."""

    def close(self) -> None:
        """Send what has not been sent."""


class _NoSpan:
    traceparent: str | None = None
    ids: Mapping[str, str] = MappingProxyType({})

    def note(self, attributes: Mapping[str, Value | None]) -> None:
        pass


class NoTraces:
    """Traces nothing."""

    _nothing: AbstractContextManager[Span] = nullcontext(_NoSpan())

    def webhook(self, headers: Mapping[bytes, bytes]) -> AbstractContextManager[Span]:
        """Cover nothing."""
        return self._nothing

    def delivery(self, traceparent: str | None) -> AbstractContextManager[Span]:
        """Cover nothing."""
        return self._nothing

    def close(self) -> None:
        """Do nothing."""


def open_traces(exporter: str | None) -> Traces:
    """Return what traces to an exporter, `otlp` or `console`; None traces nothing.

    Where to and how comes from the standard variables, which the SDK reads by itself. Asked for
    without the extra, it says so once and traces nothing.
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

    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before the name that is ours.
    named = Resource({"service.name": _SERVICE}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=named)
    console = exporter == "console"
    chosen = ConsoleSpanExporter(out=sys.stdout) if console else OTLPSpanExporter()
    provider.add_span_processor(BatchSpanProcessor(chosen))
    return provider


class OpenTelemetryTraces:
    """Traces by OpenTelemetry; nothing global is set, so that several live in one process."""

    def __init__(self, provider: "TracerProvider") -> None:
        """Take the provider, which knows where spans go.

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
        """Cover a webhook, as part of the trace its headers may name."""
        named = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
        parent = self._propagator.extract(named)
        kind = self._api.SpanKind.SERVER
        with self._tracer.start_as_current_span(
            "webhook", parent, kind=kind, record_exception=False, set_status_on_exception=False
        ) as span:
            yield _OpenSpan(span)

    @contextmanager
    def delivery(self, traceparent: str | None) -> Iterator[Span]:
        """Cover one try to deliver: a trace of its own, linked to the webhook's."""
        links = []
        if traceparent is not None:
            stored = self._propagator.extract({"traceparent": traceparent})
            context = self._api.get_current_span(stored).get_span_context()
            links = [self._api.Link(context)] if context.is_valid else []
        # Messages of exceptions may repeat a value, so none is recorded.
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
        """Send what has not been sent."""
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
