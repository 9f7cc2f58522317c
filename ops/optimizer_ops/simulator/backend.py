"""One backend: from an arrived request to the plan of its answer. No socket and no await; the shell is `server.py`.

The steps, in order: key, body, model, size, limits, fault, answer.
"""

import hashlib
import os
import time
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from optimizer_ops.simulator import answers, errors, headers, streams
from optimizer_ops.simulator.answers import Answer
from optimizer_ops.simulator.errors import Failure
from optimizer_ops.simulator.faults import FaultScript, LatencyDice
from optimizer_ops.simulator.limits import Cost, Limiter, Refusal
from optimizer_ops.simulator.question import BadRequest, Protocol, Question, read_chat, read_embed
from optimizer_ops.simulator.request_log import Entry, RequestLog
from optimizer_ops.simulator.spec import SimulatorSpec

Op = Literal["chat", "messages", "embeddings", "models"]


@dataclass(slots=True)
class Plan:
    """What will be answered to one request, and how. `fault` is `ok` or what the wire does to the answer."""

    entry: Entry
    protocol: Protocol
    ident: str
    failure: Failure | None = None
    refusal: Refusal | None = None
    question: Question | None = None
    answer: Answer | None = None
    fault: str = "ok"
    latency_s: float = 0.0
    admitted: bool = field(default=False)


class Backend:
    """The state of one simulated backend: its script, what it counted, what it logged."""

    def __init__(self, spec: SimulatorSpec, log: RequestLog) -> None:
        self.log = log
        self.spec = spec
        self.in_flight = 0
        self.working = 0
        self._seq = 0
        self._pid = os.getpid()
        self._salt = os.urandom(6).hex()
        self._limiter = Limiter(spec.limits)
        self._script = FaultScript(spec)
        self._dice = LatencyDice(spec.latency, spec.seed)

    def configure(self, spec: SimulatorSpec) -> None:
        """Follow another spec from now on. Only what changed starts anew: windows, failure script, dice."""
        old, self.spec = self.spec, spec
        if spec.limits != old.limits:
            self._limiter = Limiter(spec.limits)
        if (spec.fail, spec.fail_repeat, spec.fail_rate, spec.fail_with, spec.seed) != (
            old.fail,
            old.fail_repeat,
            old.fail_rate,
            old.fail_with,
            old.seed,
        ):
            self._script = FaultScript(spec)
        if (spec.latency, spec.seed) != (old.latency, old.seed):
            self._dice = LatencyDice(spec.latency, spec.seed)

    def arrive(self, op: Op) -> Entry:
        """Note the moment of arrival, before anything of the body is read."""
        at, mono = time.time(), time.monotonic()
        self._seq += 1
        self.in_flight += 1
        return Entry(
            seq=self._seq,
            pid=self._pid,
            backend=self.spec.name,
            at=at,
            mono=mono,
            op=op,
            in_flight=self.in_flight,
        )

    def plan(self, entry: Entry, body: bytes, key: str | None) -> Plan:
        """Decide the answer and write the start line."""
        protocol: Protocol = "anthropic" if entry.op == "messages" else "openai"
        plan = Plan(entry, protocol, f"{self._salt}{entry.seq:08x}")
        try:
            plan.question = self._read(entry.op, body, protocol)
        except BadRequest as error:
            plan.failure = errors.invalid(str(error))
        self._describe(entry, plan.question, body)
        self.log.start(entry)
        if self.spec.api_key is not None and key != self.spec.api_key:
            plan.failure = errors.failure_of(401)
        if plan.failure is None and plan.question is not None:
            self._judge(plan, plan.question)
        return plan

    def finish(self, plan: Plan, status: int | None, outcome: str) -> None:
        """Write the end line. `status` is what was sent, None if nothing was."""
        entry = plan.entry
        self.in_flight -= 1
        if plan.admitted:
            self.working -= 1
        entry.ended_at, entry.ended_mono = time.time(), time.monotonic()
        entry.status, entry.outcome = status, outcome
        if plan.answer is not None and outcome == "answered":
            entry.completion_tokens = plan.answer.completion_tokens
        self.log.end(entry)

    def body_of(self, plan: Plan) -> bytes:
        """The JSON of the planned answer."""
        return msgspec.json.encode(self._content(plan))

    def events_of(self, plan: Plan) -> list[bytes] | None:
        """The planned answer as events, if it is to be streamed."""
        question, answer = plan.question, plan.answer
        if plan.failure is not None or question is None or answer is None or not question.stream:
            return None
        if plan.protocol == "anthropic":
            return streams.anthropic_events(question, answer, plan.ident)
        return streams.openai_events(question, answer, plan.ident, int(plan.entry.at), self.spec.headers)

    def headers_of(self, plan: Plan) -> list[tuple[str, str]]:
        """The provider's headers for the planned answer, as of now."""
        style = self.spec.headers
        lines = list(self.spec.extra_headers.items())
        if style != "none":
            entry = plan.entry
            now = time.monotonic()
            tokens = entry.prompt_tokens + (plan.answer.completion_tokens if plan.answer else 0)
            lines += headers.rate_headers(
                style,
                headers.Moment(self._limiter.windows, now, time.time(), plan.ident, tokens, now - entry.mono),
            )
        if plan.failure is not None and plan.failure.retry_after_s is not None:
            refusal = plan.refusal or Refusal(None, 0, 1, plan.failure.retry_after_s)
            lines += headers.retry_headers(style, refusal)
        return lines

    def _read(self, op: str, body: bytes, protocol: Protocol) -> Question | None:
        if op == "models":
            return None
        return read_embed(body) if op == "embeddings" else read_chat(body, protocol)

    def _describe(self, entry: Entry, question: Question | None, body: bytes) -> None:
        if body:
            entry.body_sha = hashlib.sha256(body).hexdigest()[:16]
        if question is not None:
            entry.model = question.model
            entry.question = question.echo
            entry.stream = question.stream
            entry.prompt_tokens = question.prompt_tokens

    def _judge(self, plan: Plan, question: Question) -> None:
        """Fill in the answer, or why there is none."""
        spec = self.spec
        if spec.models and question.model not in spec.models:
            plan.failure = errors.unknown_model(question.model)
            return
        if spec.max_context_tokens is not None and question.prompt_tokens > spec.max_context_tokens:
            plan.failure = errors.NAMED["context_too_long"]
            return
        answer = answers.answer_to(question, spec.answer_tokens) if question.op == "chat" else Answer("", 0, cut=False)
        output = answer.completion_tokens * question.choices
        if spec.charge_max_tokens and question.max_tokens is not None:
            output = question.max_tokens
        refusal = self._limiter.admit(time.monotonic(), Cost(question.prompt_tokens, output), self.working)
        if refusal is not None:
            plan.refusal, plan.failure = refusal, errors.refused(refusal, question.model)
            return
        plan.admitted = True
        self.working += 1
        plan.answer = answer
        plan.latency_s = self._dice.draw_s()
        self._deal(plan, question)

    def _deal(self, plan: Plan, question: Question) -> None:
        """Let the script spoil the answer."""
        fault = self._script.deal()
        if fault == "stream_error" and not question.stream:
            fault = 500
        if isinstance(fault, int):
            plan.failure = errors.failure_of(fault)
        elif fault in errors.NAMED:
            plan.failure = errors.NAMED[fault]
        else:
            plan.fault = fault

    def _content(self, plan: Plan) -> Any:
        question, answer = plan.question, plan.answer
        if plan.failure is not None:
            return errors.body(plan.failure, plan.protocol, self.spec.headers, plan.ident, plan.refusal)
        if question is None or answer is None:
            return answers.models(self.spec.models or ("simulated-1",))
        if question.op == "embed":
            return answers.embeddings(question, self.spec.embedding_size)
        if plan.protocol == "anthropic":
            return answers.anthropic_message(question, answer, plan.ident)
        return answers.openai_chat(question, answer, plan.ident, int(plan.entry.at))
