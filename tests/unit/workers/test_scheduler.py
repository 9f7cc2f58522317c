"""Which held call is next: by priority, then by deadline, but never one that rests."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer_wire.messages import Call, Hop, Priority, Waiter
from optimizer_workers.job import Job
from optimizer_workers.scheduler import Scheduler

INTERACTIVE, STANDARD, BATCH = Priority


def job(priority=STANDARD, deadline_ms=1_000, not_before_ms=0, hop=0):
    waiter = Waiter("r", "q", deadline_ms, "agent", "tenant", priority)
    call = Call(1, "f", 1, 1, waiter, {}, (Hop("b", "m"), Hop("c", "n")), hop=hop)
    return Job(call, 1, redelivered=False, stage=1, deadline_ms=deadline_ms, not_before_ms=not_before_ms)


def holding(*jobs):
    scheduler = Scheduler()
    for held in jobs:
        scheduler.push(held)
    return scheduler


def order(scheduler, now_ms=0):
    """All calls in the order in which they are begun."""
    taken = []
    while (found := scheduler.pop(now_ms)) is not None:
        taken.append(found)
    return taken


def test_priority_before_deadline():
    """The most urgent priority first, the earliest deadline within it; the first come among equals."""
    batch, late, early, same, urgent = (
        job(BATCH, 1),
        job(STANDARD, 900),
        job(STANDARD, 500),
        job(STANDARD, 500),
        job(INTERACTIVE, 5_000),
    )

    assert order(holding(batch, late, early, same, urgent)) == [urgent, early, same, late, batch]


def test_resting_calls():
    """A call that rests is passed over until its time, whatever its priority."""
    urgent, patient = job(INTERACTIVE, not_before_ms=100), job(BATCH)
    scheduler = holding(urgent, patient)

    assert scheduler.next(99) is patient
    assert scheduler.next(100) is urgent
    assert len(scheduler) == 2


@pytest.mark.parametrize(
    ("rests", "now_ms", "wakes_in_ms"), [((), 5, None), ((0,), 5, 0), ((50, 20), 5, 15), ((50, 20), 100, 0)]
)
def test_when_to_look_again(rests, now_ms, wakes_in_ms):
    """The next look is due when the first resting call wakes; without calls there is none."""
    assert holding(*(job(not_before_ms=rest) for rest in rests)).wakes_in_ms(now_ms) == wakes_in_ms


def test_expired():
    """Calls whose deadline has passed are taken out, each once, and the others stay."""
    dead, alive = job(deadline_ms=100), job(deadline_ms=101)
    scheduler = holding(dead, alive)

    assert scheduler.take_expired(99) == []
    assert scheduler.take_expired(100) == [dead]
    assert scheduler.take_expired(100) == []
    assert scheduler.take_all() == [alive]
    assert len(scheduler) == 0


def test_one_call_may_be_removed():
    """A call is removed by identity: an equal one stays."""
    one, twin = job(), job()
    scheduler = holding(one, twin)
    scheduler.remove(twin)

    assert order(scheduler) == [one]


jobs = st.builds(job, st.sampled_from(Priority), st.integers(0, 50), st.integers(0, 50))


@settings(max_examples=150, deadline=None)
@given(st.lists(jobs, max_size=20), st.integers(0, 50))
def test_any_calls(held, now_ms):
    """What is begun is what does not rest, sorted; what rests stays."""
    scheduler = holding(*held)
    begun = order(scheduler, now_ms)

    keys = [(j.call.waiter.priority.rank, j.deadline_ms) for j in begun]
    assert keys == sorted(keys)
    assert {id(j) for j in begun} == {id(j) for j in held if j.not_before_ms <= now_ms}
    assert len(scheduler) == len(held) - len(begun)


def test_job_knows_its_station():
    """A job knows its station and whether the route goes on; each delivery is an owner of its own."""
    first, last = job(hop=0), job(hop=1)

    assert (first.hop, first.further) == (Hop("b", "m"), True)
    assert (last.hop, last.further) == (Hop("c", "n"), False)
    assert first.owner != last.owner
