"""What a trace is called and how it travels: W3C Trace Context in an AMQP header, names of the semantic conventions.

The names of the conventions for messaging and for generative models are still in development; they are pinned here and
nowhere else (version 1.44 of the conventions, as in `opentelemetry-semantic-conventions` 0.66b2). Imports nothing of
OpenTelemetry: whoever traces is handed these strings.
"""

import re
from collections.abc import Mapping

# https://www.w3.org/TR/trace-context/#traceparent-header: version, trace id, parent id, flags; no id is all zeros.
TRACEPARENT = "traceparent"
_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

# ── names of spans ───────────────────────────────────────────────────────────────────────────────────────────────────

ASK = "ask optimizer"
PROCESS_REQUEST = "process optimizer.requests"
PROCESS_CALL = "process optimizer.calls"
COLLAPSED = "wait for a shared call"

# ── names of attributes ──────────────────────────────────────────────────────────────────────────────────────────────

MESSAGING_SYSTEM = "messaging.system"
MESSAGING_DESTINATION = "messaging.destination.name"
MESSAGING_OPERATION = "messaging.operation.name"
MESSAGING_OPERATION_TYPE = "messaging.operation.type"
MESSAGING_ID = "messaging.message.id"
GEN_AI_OPERATION = "gen_ai.operation.name"
GEN_AI_PROVIDER = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL = "gen_ai.request.model"
GEN_AI_RESPONSE_MODEL = "gen_ai.response.model"
GEN_AI_INPUT_TOKENS = "gen_ai.usage.input_tokens"
GEN_AI_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
GEN_AI_FINISH_REASONS = "gen_ai.response.finish_reasons"
SERVER_ADDRESS = "server.address"
HTTP_STATUS = "http.response.status_code"
ERROR_TYPE = "error.type"

# Our own.
AGENT = "optimizer.agent"
TASK = "optimizer.task"
PRIORITY = "optimizer.priority"
RESULT = "optimizer.result"
SOURCE = "optimizer.answered_from"
BACKEND = "optimizer.backend"
OUTCOME = "optimizer.outcome"
ATTEMPT = "optimizer.attempt"
WORK_ID = "optimizer.work_id"
CALL_ID = "optimizer.call_id"


def traceparent_in(headers: Mapping[str, object] | None) -> str:
    """The trace that a message belongs to; empty if it says none, or nothing that could be one."""
    said = headers.get(TRACEPARENT) if headers else None
    return said if isinstance(said, str) and _FORM.fullmatch(said) else ""


def traceparent_headers(trace: str) -> dict[str, str] | None:
    """The AMQP headers of a message that belongs to a trace; None without one."""
    return {TRACEPARENT: trace} if trace else None
