"""A call's way through a worker as steps of its trace: since it came here, the request to the backend, and those who
waited for it in traces of their own.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from optimizer_backends.outcome import Outcome
from optimizer_backends.result import CallResult
from optimizer_config.model import Backend
from optimizer_service import tracing
from optimizer_service.tracing import Step
from optimizer_wire import tracing as names
from optimizer_wire.messages import CALL_TYPE, Waiter
from optimizer_workers.job import Job

_OPERATIONS = {"chat": "chat", "embed": "embeddings"}


def begin_job(job: Job, now_ms: int) -> Step | None:
    """The call is made now: since it came to this worker, under what its message said; None if nothing is traced."""
    if not tracing.traced():
        return None
    call = job.call
    return tracing.begin(
        names.PROCESS_CALL,
        "consumer",
        call.waiter.trace,
        {
            names.MESSAGING_SYSTEM: "rabbitmq",
            names.MESSAGING_DESTINATION: "optimizer.calls",
            names.MESSAGING_OPERATION: CALL_TYPE,
            names.MESSAGING_OPERATION_TYPE: "process",
            names.MESSAGING_ID: call.waiter.id,
            names.BACKEND: job.hop.backend,
            names.TASK: call.task,
            names.PRIORITY: call.waiter.priority.value,
            names.ATTEMPT: call.attempts + job.attempts + 1,
            names.WORK_ID: call.work_id,
        },
        ago_s=max(0, now_ms - job.held_since_ms) / 1000 if job.held_since_ms else 0.0,
    )


def begin_call(job: Job, backend: Backend) -> Step | None:
    """The request goes out to the backend. No text of it is noted."""
    if job.step is None:
        return None
    operation = _OPERATIONS[job.call.op]
    return tracing.begin(
        f"{operation} {job.hop.model}",
        "client",
        job.step.trace,
        {
            names.GEN_AI_OPERATION: operation,
            names.GEN_AI_PROVIDER: backend.name,
            names.GEN_AI_REQUEST_MODEL: job.hop.model,
            names.SERVER_ADDRESS: urlsplit(backend.base_url).hostname,
            names.CALL_ID: job.call_id,
        },
    )


def end_call(step: Step | None, result: CallResult | None) -> None:
    """The backend answered, or (None) the call was given up."""
    if step is None:
        return
    if result is None:
        step.fail(Outcome.cancelled.value)
    else:
        usage = result.usage
        step.note(
            {
                names.HTTP_STATUS: result.status,
                names.OUTCOME: result.outcome.value,
                names.GEN_AI_RESPONSE_MODEL: result.model,
                names.GEN_AI_INPUT_TOKENS: usage and usage.input_tokens,
                names.GEN_AI_OUTPUT_TOKENS: usage and usage.output_tokens,
                names.GEN_AI_FINISH_REASONS: [result.finish_reason] if result.finish_reason else None,
            }
        )
        if not result.outcome.ok:
            step.fail(result.outcome.value)
    step.end()


def link_collapsed(job: Job, waiters: Iterable[Waiter], now_ms: int) -> None:
    """Those who shared the call see in their own traces for how long they waited, and for which call."""
    if job.step is None:
        return
    for waiter in waiters:
        if waiter.id == job.call.waiter.id or not waiter.trace:
            continue
        waited = tracing.begin(
            names.COLLAPSED,
            "internal",
            waiter.trace,
            {names.SOURCE: "collapsed", names.WORK_ID: job.call.work_id, names.MESSAGING_ID: waiter.id},
            ago_s=max(0, now_ms - waiter.since_ms) / 1000,
            links=[job.call_trace],
        )
        if waited is not None:
            waited.end()
