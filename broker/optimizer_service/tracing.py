"""Traces for OpenTelemetry: off unless they are configured, and nothing is imported then.

A `Step` is a span that may begin in one place and end in another. Without tracing there is none, and what came in a
message goes on in the next one as it is: our processes are no gap in somebody else's trace.
"""

import logging
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from optimizer_config.errors import ConfigError
from optimizer_config.tracing import TracingSettings
from optimizer_service.logs import logger
from optimizer_wire.tracing import ERROR_TYPE, TRACEPARENT

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanKind, Tracer

Kind = Literal["client", "consumer", "internal"]
Attributes = Mapping[str, Any]
# What is still to be sent when a process stops may hold it up for so long.
LAST_S = 3.0

_tracer: "Tracer | None" = None


class Step:
    """A span that has begun. `trace` is what goes into messages that follow from it."""

    __slots__ = ("_span", "trace")

    def __init__(self, span: "Span") -> None:
        self._span = span
        known = span.get_span_context()
        self.trace = f"00-{known.trace_id:032x}-{known.span_id:016x}-{known.trace_flags:02x}"

    def note(self, attributes: Attributes) -> None:
        """Add what is known by now; None is left out."""
        self._span.set_attributes({name: value for name, value in attributes.items() if value is not None})

    def fail(self, code: str) -> None:
        """It came to an error of this code."""
        from opentelemetry.trace import StatusCode

        self._span.set_attribute(ERROR_TYPE, code)
        self._span.set_status(StatusCode.ERROR)

    def end(self) -> None:
        """It is over."""
        self._span.end()


def traced() -> bool:
    """Whether anything is traced: else nobody has to say what a step was."""
    return _tracer is not None


def begin(
    name: str,
    kind: Kind,
    trace: str,
    attributes: Attributes,
    *,
    ago_s: float = 0.0,
    links: Iterable[str] = (),
) -> Step | None:
    """Begin a step under what a message said (`trace`), or a new trace; None if nothing is traced.

    `ago_s`: it began so many seconds ago. `links` are other steps that it has to do with.
    """
    if _tracer is None:
        return None
    from opentelemetry.trace import Link

    span = _tracer.start_span(
        name,
        context=_context(trace),
        kind=_kinds()[kind],
        attributes={key: value for key, value in attributes.items() if value is not None},
        links=[Link(_span_context(link)) for link in links if link],
        start_time=time.time_ns() - round(ago_s * 1e9),
    )
    return Step(span)


def _kinds() -> "dict[Kind, SpanKind]":
    from opentelemetry.trace import SpanKind

    return {"client": SpanKind.CLIENT, "consumer": SpanKind.CONSUMER, "internal": SpanKind.INTERNAL}


def _context(trace: str) -> Any:
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({TRACEPARENT: trace} if trace else {}, Context())


def _span_context(trace: str) -> Any:
    from opentelemetry.trace import get_current_span

    return get_current_span(_context(trace)).get_span_context()


def use(provider: "TracerProvider | None") -> None:
    """Trace with this provider from now on, or (None) not at all."""
    global _tracer  # noqa: PLW0603 - as with metrics, a process has one
    _tracer = provider.get_tracer("optimizer", version("fleet-optimizer")) if provider else None


class _Told(logging.Handler):
    """What OpenTelemetry complains of, in our log: as a line like any other, and not again while it is the same."""

    def __init__(self, process: str, instance: str) -> None:
        super().__init__(logging.WARNING)
        self._log = logger(process).bind(instance=instance)
        self._last = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Log it."""
        reason = record.getMessage()
        if reason != self._last:
            self._last = reason
            self._log.warning("traces are not taken", reason=reason)


class Tracing:
    """The tracing of a process, from its start to its end."""

    def __init__(self, settings: TracingSettings, process: str, instance: str) -> None:
        """Begin to trace, if that is configured.

        :raises ConfigError: if it is, and the libraries for it are not installed.
        """
        self._provider = _provider(settings, process, instance) if settings.on else None
        if self._provider is not None:
            tell = logging.getLogger("opentelemetry")
            tell.handlers, tell.propagate = [_Told(process, instance)], False
        use(self._provider)

    def stop(self) -> None:
        """Send what is left, for at most a few seconds. It blocks."""
        use(None)
        if self._provider is not None:
            with suppress(Exception):  # whatever a collector does, it is no reason to fail at the end
                self._provider.force_flush(round(LAST_S * 1000))
                self._provider.shutdown()


def _provider(settings: TracingSettings, process: str, instance: str) -> "TracerProvider":
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError:
        raise ConfigError(
            'Traces are configured, but OpenTelemetry is not installed: pip install "fleet-optimizer[otel]", or take '
            "[tracing] and OTEL_EXPORTER_OTLP_ENDPOINT away."
        ) from None
    named = {"service.name": f"optimizer-{process}", "service.instance.id": instance}
    provider = TracerProvider(
        # What the SDK's own variables say of sampling holds, unless the configuration says something.
        sampler=None if settings.sample is None else ParentBased(TraceIdRatioBased(settings.sample)),
        resource=Resource.create(named | {"service.version": version("fleet-optimizer")}),
    )
    # Without an address of ours the exporter reads its own variables: endpoint, headers, certificates.
    address = f"{settings.endpoint.rstrip('/')}/v1/traces" if settings.endpoint else None
    timeout_s = None if "OTEL_EXPORTER_OTLP_TIMEOUT" in os.environ else LAST_S
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=address, timeout=timeout_s)))
    return provider
