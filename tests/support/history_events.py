"""Events of a fleet over days, as its processes would have told them, written by the recorder's own hand."""

import random
from collections.abc import Iterator

from optimizer_ops.history.database import migrate, open_engine
from optimizer_ops.recorder.store import HistoryStore
from optimizer_wire import events
from optimizer_wire.events import Event, event
from optimizer_wire.messages import Priority, Timings, Usage

NASTY = "<script>alert(1)</script>"
LONG = "researcher-" + "x" * 289
_AGENTS = ("quality", "planner", "reviewer", "summariser", "translator", NASTY, LONG)
_BACKENDS = (("alpha", "sim-large", 0.004), ("beta", "sim-small", 0.0006))
_TASKS = ("code", "reasoning", "general")
_BATCH = 500


def seed(url: str, now: float, *, requests: int = 600, days: float = 9.0) -> None:
    """Make a history of so many requests, spread over the days before now, the more the nearer."""
    engine = open_engine(url, create=True)
    migrate(engine)
    store = HistoryStore(engine, "seed")
    told = list(_events(random.Random(7), now, requests, days))
    for begin in range(0, len(told), _BATCH):
        store.record(told[begin : begin + _BATCH], 0)
    engine.dispose()


def _events(chance: random.Random, now: float, requests: int, days: float) -> Iterator[Event]:
    for number in range(requests):
        at = now - 5 - days * 86_400 * (1 - (number + 1) / requests) ** 2
        yield from _request(chance, number, at)


def _request(chance: random.Random, number: int, at: float) -> Iterator[Event]:
    agent = chance.choices(_AGENTS, (9, 6, 5, 3, 2, 1, 1))[0]
    backend, model, usd = chance.choices(_BACKENDS, (1, 3))[0]
    identifier, flight = f"seed-{number:06}", f"flight-{number:06}"
    who = {
        "request_id": identifier,
        "agent": agent,
        "tenant": "default",
        "op": "chat",
        "task": chance.choice(_TASKS),
        "priority": Priority.STANDARD,
        "tags": {"project": NASTY} if agent == NASTY else {},
    }
    used = Usage(input_tokens=chance.randint(200, 3_000), output_tokens=chance.randint(20, 600))
    lot, call_ms = chance.random(), chance.lognormvariate(6.3, 0.6)
    if lot < 0.38:
        yield event(
            events.CACHE_HIT,
            "coordinator/seed",
            **who,
            time=at,
            fingerprint=f"f{number % 40}",
            backend=backend,
            model=model,
            answered_from="cache",
            usage=used,
            cost_usd=0.0,
            saved_usd=usd,
            age_s=60.0,
            timings=Timings(total_ms=2.0),
        )
        return
    about = who | {"work_id": f"{flight}.1", "fingerprint": f"f{number % 40}"}
    yield event(events.CACHE_MISS, "coordinator/seed", **about, time=at, prompt_chars=1_200)
    if lot > 0.85:
        other = who | {"request_id": f"{identifier}-b", "work_id": f"{flight}.1"}
        yield event(events.COLLAPSED, "coordinator/seed", **other, time=at + 0.05, fingerprint=f"f{number % 40}")
    call = about | {"call_id": f"call-{number:06}", "backend": backend, "model": model, "attempt": 1}
    yield event(events.CALL_STARTED, f"worker/{backend}", **call, time=at + 0.04)
    ended = at + 0.04 + call_ms / 1000
    timings = Timings(wait_ms=40.0, call_ms=call_ms, total_ms=call_ms + 40)
    if lot < 0.42:
        why = {"error_code": "backend_unavailable", "message": "Alpha said 503."}
        failed = call | why | {"outcome": "overloaded", "status": 503, "timings": timings}
        yield event(events.CALL_FAILED, f"worker/{backend}", **failed, time=ended)
        yield event(events.ERROR, f"worker/{backend}", **about, backend=backend, **why, time=ended + 0.01)
        return
    yield event(
        events.CALL_FINISHED,
        f"worker/{backend}",
        **call,
        time=ended,
        outcome="answered",
        status=200,
        waiters=1,
        usage=used,
        cost_usd=usd,
        price_version="seed",
        timings=timings,
    )
