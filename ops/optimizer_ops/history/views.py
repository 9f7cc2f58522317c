"""What can be read from the history, as the command line, the dashboard and the HTTP API show it.

Money is in US dollars here, times are Unix seconds, durations milliseconds; a share is between 0 and 1. None means that
nobody knows, which is never shown as 0.
"""

from typing import Any, Literal

import msgspec

Dimension = Literal["agent", "backend", "model", "task", "tenant"]


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over a span of time. `requests` = `hits` + `collapsed` + those who led a call, or were refused.

    `unpriced` calls were answered and nobody knows their price, `saved_unpriced` requests neither that of their answer.
    `calls_unknown` have no end, since they run or were lost with their worker.
    """

    requests: int = 0
    hits: int = 0
    collapsed: int = 0
    answered: int = 0
    errors: int = 0
    calls: int = 0
    calls_answered: int = 0
    calls_failed: int = 0
    calls_unknown: int = 0
    throttled: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    saved_usd: float = 0.0
    saved_unpriced: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None

    @property
    def saved_calls(self) -> int:
        """Requests that needed no call of their own."""
        return self.hits + self.collapsed

    @property
    def hit_rate(self) -> float | None:
        """The share of requests that needed no call of their own."""
        return self.saved_calls / self.requests if self.requests else None

    @property
    def error_rate(self) -> float | None:
        """The share of ended requests that ended with an error."""
        ended = self.answered + self.errors
        return self.errors / ended if ended else None


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """The sums of one agent, backend, model, task or tenant; `name` is empty where it does not apply."""

    name: str
    totals: Totals


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """The sums of one step of a timeline that begins at `at`."""

    at: float
    totals: Totals


class AgentProfile(msgspec.Struct, frozen=True, kw_only=True):
    """An agent as it was seen: since when, until when, and what it asks for (in the span that was asked for)."""

    agent: str
    tenant: str
    first_seen: float
    last_seen: float
    last_error: float | None
    last_error_code: str | None
    totals: Totals
    tasks: dict[str, int]
    backends: dict[str, int]
    health: Literal["well", "failing", "silent"]


class RequestRow(msgspec.Struct, frozen=True, kw_only=True):
    """One request, as in the table of the same name."""

    id: str
    asked: float
    ended: float | None
    tenant: str
    agent: str
    op: str
    task: str
    priority: str
    fingerprint: str | None
    flight: str | None
    source: str | None
    backend: str
    model: str
    outcome: str
    message: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    saved_usd: float | None
    wait_ms: float | None
    call_ms: float | None
    total_ms: float | None
    age_s: float | None
    prompt_chars: int | None
    tags: dict[str, str] | None


class CallRow(msgspec.Struct, frozen=True, kw_only=True):
    """One upstream call, as in the table of the same name. `outcome` None: it runs, or its worker died."""

    id: str
    request_id: str
    agent: str
    task: str
    backend: str
    model: str
    worker: str
    attempt: int | None
    started: float
    ended: float | None
    outcome: str | None
    status: int | None
    error_code: str | None
    message: str | None
    waiters: int | None
    waited_for: str | None
    waited_ms: float | None
    input_tokens: int | None
    output_tokens: int | None
    usage: dict[str, Any] | None
    cost_usd: float | None
    price_version: str | None
    wait_ms: float | None
    call_ms: float | None


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """One other event."""

    id: str
    at: float
    type: str
    source: str
    request_id: str | None
    agent: str | None
    backend: str | None
    outcome: str | None
    error_code: str | None
    retry_after_s: float | None
    message: str | None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a request's way: when, what, where, and how long after the request was asked."""

    at: float
    after_ms: float
    what: str
    where: str
    detail: str


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """One request's whole way: itself, the calls that were made for it, the steps in order, and why it took so long."""

    request: RequestRow
    calls: list[CallRow]
    steps: list[Step]
    verdict: str


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """How the recorder does: `beat` is when it last wrote, `newest` the time of the newest event that it wrote."""

    instance: str
    beat: float
    newest: float | None
    recorded: int
    waiting: int
    lost: int


class AlertRow(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is (`until` None) or was wrong."""

    id: str
    name: str
    subject: str
    severity: str
    since: float
    until: float | None
    value: float | None
    threshold: float | None
    message: str
