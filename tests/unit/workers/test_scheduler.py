"""Which held call is next, and that none is lost: rests, blocked lanes, deadlines, expiry."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from optimizer_wire.messages import Call, Hop, Priority, Waiter
from optimizer_workers.job import Job
from optimizer_workers.scheduler import Scheduler

INTERACTIVE, STANDARD, BATCH = Priority


def job(priority=STANDARD, deadline_ms=1_000, not_before_ms=0, agent="a", model="m", cost=1, look=False, tenant="t"):
    waiter = Waiter("r", "q", deadline_ms, agent, tenant, priority)
    call = Call(1, "f", 1, 1, waiter, {}, (Hop("b", model), Hop("c", "n")))
    return Job(call, 1, False, 1, deadline_ms, look, not_before_ms, cost=cost)


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


def test_earliest_deadline_first():
    """Of calls the earliest deadline is first, then the one held for longest, then the first come."""
    late, early, same, older = job(deadline_ms=900), job(deadline_ms=500), job(deadline_ms=500), job(deadline_ms=500)
    early.held_since_ms = same.held_since_ms = 2
    older.held_since_ms = 1

    assert order(holding(late, early, same, older)) == [older, early, same, late]


def test_agents_of_tenants_are_different():
    """Agents of one name in two tenants share as two agents do: one goes ahead by deadlines for the slack only."""
    early, other = [job(deadline_ms=each) for each in range(7)], job(deadline_ms=990, tenant="other")

    assert order(holding(*early, other)) == [*early[:5], other, *early[5:]]


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


def test_a_blocked_lane_delays_no_other():
    """Calls for a blocked model are passed over until the given time, and count as neither ready nor lost."""
    blocked, free = job(deadline_ms=1, model="m"), job(deadline_ms=2, model="n")
    scheduler = holding(blocked, free)
    scheduler.block_lane("m", 50)

    assert scheduler.ready(49) == 1
    assert scheduler.pop(49) is free
    assert (scheduler.pop(49), len(scheduler), scheduler.wakes_in_ms(10)) == (None, 1, 40)
    assert scheduler.pop(50) is blocked


def test_a_lane_may_be_unblocked():
    """The latest word about a lane holds: a past time opens it."""
    scheduler = holding(job())
    scheduler.block_lane("m", 1_000)
    assert scheduler.next(1) is None

    scheduler.block_lane("m", 0)
    assert scheduler.next(1) is not None


def test_looks_are_not_blocked():
    """A call that is to be looked at first needs no budget: a blocked lane does not hold it up."""
    look = job(look=True)
    scheduler = holding(job(deadline_ms=1), look)
    scheduler.block_lane("m", 50)

    assert scheduler.pop(0) is look


def test_a_certain_call_is_taken_once():
    """A call for which budget was reserved is taken wherever it stands, resting too; one that has gone is not."""
    first, second, resting = job(deadline_ms=1), job(deadline_ms=2), job(not_before_ms=9)
    scheduler = holding(first, second, resting)

    assert [scheduler.take(found) for found in (second, second, resting)] == [True, False, True]
    assert order(scheduler) == [first]


def test_forecast_order_leaves_out_what_rests():
    """The order for forecasts has blocked calls in it, the order of what is ready has not; neither has resting ones."""
    blocked, free, resting = job(deadline_ms=1), job(deadline_ms=2, model="n"), job(not_before_ms=9)
    scheduler = holding(blocked, free, resting)
    scheduler.block_lane("m", 50)

    assert scheduler.in_order(0) == [blocked, free]
    assert scheduler.in_order(0, 1) == [blocked]
    assert scheduler.in_order(0, ready_only=True) == [free]
    assert len(scheduler) == 3


class Holding(RuleBasedStateMachine):
    """Any use of a scheduler: what went in comes out once, or is still held."""

    def __init__(self):
        super().__init__()
        self.scheduler = Scheduler(lambda agent: len(agent[1]))
        self.held = []
        self.taken = []
        self.now_ms = 0
        self.blocked = {}

    @rule(
        priority=st.sampled_from(Priority),
        deadline_ms=st.integers(0, 300),
        rest_ms=st.integers(-5, 9),
        agent=st.sampled_from(["a", "bb", "ccccc"]),
        model=st.sampled_from("mno"),
        cost=st.integers(0, 9),
        look=st.booleans(),
    )
    def push(self, priority, deadline_ms, rest_ms, agent, model, cost, look):
        pushed = job(priority, self.now_ms + deadline_ms, max(0, self.now_ms + rest_ms), agent, model, cost, look)
        self.scheduler.push(pushed)
        self.held.append(pushed)

    @rule(again=st.booleans())
    def pop(self, again):
        expected = next(iter(self.scheduler.in_order(self.now_ms, ready_only=True)), None)
        seen = self.scheduler.next(self.now_ms)
        popped = self.scheduler.pop(self.now_ms)
        assert popped is seen is expected
        ready = [found for found in self.held if self.is_ready(found)]
        assert (popped in ready) == bool(ready)
        if popped is not None:
            mates = [found for found in ready if self.who(found) == self.who(popped)]
            assert popped.deadline_ms == min(found.deadline_ms for found in mates)
            self.held.remove(popped)
            self.taken.append(popped)
        if popped is not None and again:
            self.scheduler.put_back(popped)
            self.held.append(popped)

    def who(self, found):
        return found.call.waiter.agent, found.call.waiter.priority

    def is_ready(self, found):
        open_lane = found.look_first or self.blocked.get(found.hop.model, 0) <= self.now_ms
        return open_lane and found.not_before_ms <= self.now_ms

    @precondition(lambda self: self.taken)
    @rule(which=st.integers(0), used=st.integers(0, 20))
    def correct(self, which, used):
        self.scheduler.correct(self.taken[which % len(self.taken)], used)

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0), charged=st.booleans())
    def take_one(self, which, charged):
        found = self.held.pop(which % len(self.held))
        if charged:
            assert self.scheduler.take(found)
            self.taken.append(found)
        else:
            self.scheduler.remove(found)

    @rule(model=st.sampled_from("mno"), until_ms=st.integers(-3, 20))
    def block(self, model, until_ms):
        self.blocked[model] = self.now_ms + until_ms
        self.scheduler.block_lane(model, self.now_ms + until_ms)

    @rule(ms=st.integers(0, 20))
    def later(self, ms):
        self.now_ms += ms

    @rule()
    def expire(self):
        expired = self.scheduler.take_expired(self.now_ms)
        assert Counter(expired) == Counter(found for found in self.held if found.deadline_ms <= self.now_ms)
        self.held = [found for found in self.held if found.deadline_ms > self.now_ms]

    @rule()
    def begin_all(self):
        expected = self.scheduler.in_order(self.now_ms, ready_only=True)
        assert order(self.scheduler, self.now_ms) == expected
        self.held = [found for found in self.held if found not in expected]
        self.taken += expected

    @rule()
    def stop(self):
        assert Counter(self.scheduler.take_all()) == Counter(self.held)
        self.held = []

    @invariant()
    def counted(self):
        assert len(self.scheduler) == len(self.held)
        assert self.scheduler.ready(self.now_ms) == sum(map(self.is_ready, self.held))
        awake = [found for found in self.held if found.not_before_ms <= self.now_ms]
        assert Counter(self.scheduler.in_order(self.now_ms)) == Counter(awake)


TestNothingIsLost = Holding.TestCase
TestNothingIsLost.__doc__ = "Whatever is done with a scheduler, each call is held or taken, once."
TestNothingIsLost.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_job_knows_its_station():
    """A job knows its station and whether the route goes on; each delivery is an owner of its own."""
    first, last = job(), job()

    assert (first.hop, first.further) == (Hop("b", "m"), True)
    assert first.owner != last.owner
