"""A request as a span in the agent's own tracing, if it has one: what happens to it then belongs to that trace.

The agent sets OpenTelemetry up, or not. This only looks whether it has: an agent that has not even imported it pays for
one look into a dictionary, and nothing is imported here.
"""

import asyncio
import sys
from concurrent.futures import Future
from typing import Any

from optimizer_wire import tracing as names
from optimizer_wire.errors import OptimizerError
from optimizer_wire.messages import Question, Request, kind_of


def traced(question: Question, future: "asyncio.Future[Any] | Future[Any]") -> str:
    """Begin the span of a request, under the one that is current now; it ends with the future.

    Returns its `traceparent`; empty if the agent traces nothing, or does not trace this.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None or not isinstance(question, Request):
        return ""
    attributes = {
        names.MESSAGING_SYSTEM: "rabbitmq",
        names.MESSAGING_DESTINATION: "optimizer.requests",
        names.MESSAGING_OPERATION: kind_of(question),
        names.MESSAGING_OPERATION_TYPE: "send",
        names.MESSAGING_ID: question.id,
        names.AGENT: question.agent,
        names.PRIORITY: question.priority.value,
    }
    span = trace.get_tracer("optimizer_client").start_span(names.ASK, kind=trace.SpanKind.CLIENT, attributes=attributes)
    known = span.get_span_context()
    if not known.is_valid:
        return ""
    future.add_done_callback(lambda ended: _end(span, ended, trace))
    return f"00-{known.trace_id:032x}-{known.span_id:016x}-{known.trace_flags:02x}"


def _end(span: Any, ended: "asyncio.Future[Any] | Future[Any]", trace: Any) -> None:
    """The request has an answer or an error; whatever is odd about it, nobody may come to harm here."""
    error = None if ended.cancelled() else ended.exception()
    if ended.cancelled() or error is not None:
        span.set_attribute(names.ERROR_TYPE, error.code if isinstance(error, OptimizerError) else "cancelled")
        span.set_status(trace.StatusCode.ERROR)
    else:
        reply = ended.result()
        for name, field in (
            (names.SOURCE, "source"),
            (names.BACKEND, "backend"),
            (names.GEN_AI_RESPONSE_MODEL, "model"),
        ):
            if (value := getattr(reply, field, None)) is not None:
                span.set_attribute(name, value)
    span.end()
