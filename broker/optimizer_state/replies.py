"""From the outcome of a flight to the reply of each of its waiters."""

from optimizer_state.answer import Answer
from optimizer_wire.messages import VERSION, Reply, Source, Timings, Waiter


def reply_of(answer: Answer, waiter: Waiter, source: Source, now_ms: int) -> Reply:
    """What to tell one waiter. Only the one who caused the call is charged: a shared answer costs nothing."""
    total_ms = max(0, now_ms - waiter.since_ms) if waiter.since_ms else 0
    call_ms = 0.0 if source == "cache" else answer.call_ms
    return Reply(
        v=VERSION,
        id=waiter.id,
        ok=answer.ok,
        source=source,
        result=answer.result,
        backend=answer.backend,
        model=answer.model,
        task=answer.task,
        usage=answer.usage,
        cost_usd=answer.cost_usd if source == "backend" else 0.0 if answer.ok else None,
        age_s=max(0, now_ms - answer.stored_ms) / 1000 if source == "cache" else None,
        timings=Timings(max(0.0, total_ms - call_ms), call_ms, total_ms),
        attempts=answer.attempts,
        error=answer.error,
    )


def source_for(answer: Answer, waiter: Waiter) -> Source:
    """Whether a waiter of the flight caused the call or joined it."""
    return "backend" if waiter.id == answer.leader else "collapsed"
