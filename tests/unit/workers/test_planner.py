"""What a worker makes of refusals: whom they block, what it tells the others, and when they are over."""

from dataclasses import dataclass, field

from optimizer_config.model import Backend, Limit
from optimizer_state.budget import FleetView, Level, Wait
from optimizer_wire.messages import VERSION, Call, Hop, Waiter
from optimizer_workers.job import Job
from optimizer_workers.latency import Latency
from optimizer_workers.planner import Planner
from optimizer_workers.scheduler import Scheduler

NOW_MS = 1_000_000
WIDE = Limit("tpm", "tokens", 1_000, 60.0)
NARROW = Limit("rpm[b]", "requests", 10, 60.0, ("b",))
REQUESTS = Limit("rpm", "requests", 10, 60.0)


@dataclass
class Budget:
    fleet_view: FleetView = field(default_factory=FleetView)
    workers_seen: int = 1


@dataclass
class Allowance:
    budget: Budget = field(default_factory=Budget)

    def estimate(self, job):
        pass

    def least(self, _job, _dimension):
        return 1


def job(model="a", deadline_ms=NOW_MS + 60_000):
    waiter = Waiter(f"{model}{deadline_ms}", "q", deadline_ms, "agent", "tenant")
    call = Call(VERSION, "f", 1, 1, waiter, {}, (Hop("x", model),))
    return Job(call, 1, redelivered=False, stage=1, deadline_ms=deadline_ms)


def planner(*limits):
    scheduler, allowance = Scheduler(), Allowance()
    backend = Backend("x", "openai", "http://x", ("a", "b"), limits)
    return Planner(backend, scheduler, Latency(), allowance), scheduler, allowance.budget


def test_a_limit_of_all_models_blocks_all_of_them():
    """While a call waits for a limit that all models share, smaller calls for another model do not pass it."""
    made, scheduler, _ = planner(WIDE)
    scheduler.push(job("b"))
    made.refused(job("a"), Wait(500, "tpm", ((500, 100),)), NOW_MS)

    assert scheduler.next(NOW_MS) is None
    assert scheduler.next(NOW_MS + 501) is not None


def test_a_limit_of_one_model_blocks_that_one():
    """A limit that holds for one model delays no call for another."""
    made, scheduler, _ = planner(NARROW)
    scheduler.push(job("a"))
    made.refused(job("b"), Wait(500, "rpm[b]"), NOW_MS)

    assert scheduler.next(NOW_MS) is not None
    assert made.outlook(NOW_MS).ready_ms == 0


def test_what_is_over_is_forgotten():
    """When a later look shows that a limit was raised or a pause has ended, calls may start, and others hear of it."""
    for limits, wait, seen in (
        ((REQUESTS,), Wait(3_600_000, "rpm"), {"levels": {"rpm": Level(100, 10)}}),
        ((), Wait(500, "paused"), {"mode": ""}),
        ((), Wait(300_000, "breaker"), {"breaker": "closed"}),
    ):
        made, scheduler, budget = planner(*limits)
        scheduler.push(job())
        made.refused(job(), wait, NOW_MS)
        assert made.outlook(NOW_MS + 100).ready_ms > NOW_MS

        budget.fleet_view = FleetView(seen_ms=NOW_MS + 500, **seen)
        assert made.outlook(NOW_MS + 600).ready_ms == 0
        assert scheduler.next(NOW_MS + 600) is not None


def test_who_misses_the_deadline_is_named_with_the_reason():
    """Of calls in line for a limit those that surely start too late are told, with what they wait for."""
    made, scheduler, _ = planner(REQUESTS)
    first, late = job(deadline_ms=NOW_MS + 30_000), job(deadline_ms=NOW_MS + 31_000)
    scheduler.push(first)
    scheduler.push(late)
    made.refused(first, Wait(20_000, "rpm", tuple((20_000 + n * 10_000, 1) for n in range(10))), NOW_MS)
    told = []
    made.plan(NOW_MS, lambda _job, _start: False, lambda missed, why: told.append((missed, why)) or True)

    assert told == []
    late.deadline_ms = NOW_MS + 25_000
    first.deadline_ms = NOW_MS + 15_000
    made.plan(NOW_MS, lambda _job, _start: False, lambda missed, why: told.append((missed, why)) or True)
    assert told == [(first, "rpm")]
