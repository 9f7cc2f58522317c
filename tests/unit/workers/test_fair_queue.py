"""How the service is shared: among agents by weight and deadline, among priorities 6:3:1, with blocked lanes and
corrections."""

from collections import Counter
from itertools import cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer_wire.messages import Call, Hop, Priority, Waiter
from optimizer_workers import fair_queue
from optimizer_workers.job import Job
from optimizer_workers.scheduler import SHARES, Scheduler

INTERACTIVE, STANDARD, BATCH = Priority


def job(agent="a", cost=1, *, priority=STANDARD, model="m", deadline_ms=0):
    waiter = Waiter("r", "q", deadline_ms, agent, "t", priority)
    return Job(Call(1, "f", 1, 1, waiter, {}, (Hop("b", model),)), 1, False, 1, deadline_ms, cost=cost)


def weighted(weights):
    return Scheduler(lambda agent: weights[agent[1]])


def serve(scheduler, times):
    """The calls of so many services; whoever was served asks again, so that everybody stays backlogged."""
    served = []
    for _ in range(times):
        found = scheduler.pop(0)
        served.append(found)
        waiter = found.call.waiter
        scheduler.push(job(waiter.agent, found.cost, priority=waiter.priority, model=found.hop.model))
    return served


def agents(served):
    return [found.call.waiter.agent for found in served]


def slack_of(scheduler):
    return scheduler._classes[STANDARD].queue.slack


costs = st.lists(st.integers(1, 5_000), min_size=1, max_size=5)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 100), costs, costs), min_size=2, max_size=6),
    st.integers(1, 200),
    st.booleans(),
)
def test_shares_are_by_weight(flows, times, corrected):
    """Backlogged agents are served in proportion to their weights, within the slack and one largest cost, at any
    moment, whatever their deadlines."""
    weights = {str(number): weight for number, (weight, _, _) in enumerate(flows)}
    asked = {str(number): cycle(each) for number, (_, each, _) in enumerate(flows)}
    due = {str(number): cycle(each) for number, (_, _, each) in enumerate(flows)}
    scheduler = weighted(weights)
    for agent, each in asked.items():
        for _ in range(2):
            scheduler.push(job(agent, next(each), deadline_ms=next(due[agent])))
    used, slack = Counter(), slack_of(scheduler)

    for _ in range(times):
        found = scheduler.pop(0)
        agent = found.call.waiter.agent
        used[agent] += found.cost
        if corrected:
            scheduler.correct(found, found.cost)
        slack = max(slack, slack_of(scheduler))
        scheduler.push(job(agent, next(asked[agent]), deadline_ms=next(due[agent])))
        for one, (weight, most, _) in enumerate(flows):
            for other, (weight_too, _, _) in enumerate(flows):
                ahead = used[str(one)] / weight - used[str(other)] / weight_too
                assert ahead <= slack + max(most) / weight + 1e-6


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(2, 30))
def test_equal_agents_are_served_by_deadline(data, count):
    """Equal agents that ask about the same are served by deadline over all, whoever was served before."""
    scheduler = Scheduler()
    held = [
        job(str(agent), 100, deadline_ms=deadline_ms)
        for agent in range(count)
        for deadline_ms in data.draw(st.lists(st.integers(0, 999), min_size=1, max_size=5))
    ]
    for each in data.draw(st.permutations(held)):
        scheduler.push(each)

    served = [scheduler.pop(0).deadline_ms for _ in held]
    assert served == sorted(served)


def test_slack_is_four_usual_calls():
    """The slack follows what calls used of late, as virtual time counts it; a single large call is not usual."""
    scheduler = weighted({"double": 2})
    scheduler.push(job("double", 100))
    assert slack_of(scheduler) == 4 * 50
    for used in (300, 500):
        scheduler.push(job("double", 100))
        scheduler.correct(scheduler.pop(0), used)
    assert slack_of(scheduler) == 4 * 200
    for used in 100 * [100] + [0, 3_200]:
        scheduler.push(job("double", 100))
        scheduler.correct(scheduler.pop(0), used)
    assert 4 * 50 < slack_of(scheduler) < 2 * 4 * 50


def test_a_newcomer_stands_with_the_one_furthest_behind():
    """Who comes while another is ahead by its slack, or by estimates that were repaid, is not put behind it."""
    scheduler = Scheduler()
    for _ in range(5):
        scheduler.push(job("behind", 10, deadline_ms=900))
    for number in range(30):
        scheduler.push(job("hog", 10, deadline_ms=number))
    taken = [scheduler.pop(0) for _ in range(7)]
    for found in taken[:5]:
        scheduler.correct(found, 1)
    scheduler.push(job("new", 10, deadline_ms=800))
    queue = scheduler._classes[STANDARD].queue

    assert queue._flows["t", "new"].tag == min(flow.tag for flow in queue._flows.values())


@pytest.mark.parametrize("cost", [1, 700])
def test_priorities_share_six_three_one(cost):
    """Priorities that all have calls waiting are served 6:3:1, so that none starves."""
    scheduler = Scheduler()
    for priority in Priority:
        scheduler.push(job(cost=cost, priority=priority))
        scheduler.push(job(cost=cost, priority=priority))

    assert Counter(found.call.waiter.priority for found in serve(scheduler, 100)) == {
        INTERACTIVE: 60,
        STANDARD: 30,
        BATCH: 10,
    }
    assert SHARES == {INTERACTIVE: 6, STANDARD: 3, BATCH: 1}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 5_000), min_size=1, max_size=30), st.integers(1, 20), st.integers(0, 60))
def test_nobody_starves(hog_costs, others, served_before):
    """Who comes new, with the latest deadline of all, waits for at most the slack and one call of each other agent,
    however much these hold or have had."""
    scheduler = Scheduler()
    for number in range(others):
        for cost in hog_costs:
            scheduler.push(job(f"hog{number}", cost))
    serve(scheduler, served_before)
    scheduler.push(job("new", 5_000, deadline_ms=9))
    used = Counter()
    while (found := serve(scheduler, 1)[0]).call.waiter.agent != "new":
        used[found.call.waiter.agent] += found.cost
        # One more: a call that is taken as the newcomer comes was charged already.
        assert max(used.values()) <= slack_of(scheduler) + 2 * max(hog_costs)


@pytest.mark.parametrize("urgent", [True, False])
def test_a_hog_delays_by_slack_and_a_call(urgent):
    """Nine tenths of the load from one agent, with earlier deadlines or not, come before a newcomer's call for the
    slack and a call at most; the hog is ahead by it once, not anew before each further call."""
    scheduler = Scheduler()
    for _ in range(90):
        scheduler.push(job("hog", 10, deadline_ms=1 if urgent else 99))
    for found in [scheduler.pop(0) for _ in range(20)]:
        scheduler.correct(found, 10)
    for _ in range(10):
        scheduler.push(job("new", 10, deadline_ms=50))

    served = agents([scheduler.pop(0) for _ in range(16)])
    assert served.index("new") == (4 if urgent else 0)
    assert served.count("new") == (6 if urgent else 10)


def test_idleness_earns_nothing():
    """Who comes back after a while shares from then on, and gets nothing for the time it was away."""
    scheduler = weighted({"busy": 1, "away": 1})
    for _ in range(3):
        scheduler.push(job("busy", 10))
    serve(scheduler, 50)
    for _ in range(3):
        scheduler.push(job("away", 10))

    assert abs(Counter(agents(serve(scheduler, 40)))["away"] - 20) <= 2


def test_priorities_earn_nothing_by_idleness():
    """A priority whose first call comes late shares from then on; what its calls used beyond estimates is charged."""
    scheduler = Scheduler()
    for _ in range(2):
        scheduler.push(job("interactive", 10, priority=INTERACTIVE))
    serve(scheduler, 100)
    for _ in range(2):
        scheduler.push(job("batch", 10, priority=BATCH))
    assert Counter(agents(serve(scheduler, 70))) == {"interactive": 60, "batch": 10}

    served = serve(scheduler, 7)
    scheduler.correct(next(found for found in served if found.call.waiter.agent == "batch"), 70)
    assert Counter(agents(serve(scheduler, 35))) == {"interactive": 35}


def test_priorities_owe_nothing_when_nothing_waits():
    """When nothing is held any more, a large call of a patient priority is not held against it."""
    scheduler = Scheduler()
    scheduler.push(job("batch", 1_000, priority=BATCH))
    scheduler.pop(0)
    for priority in (BATCH, STANDARD):
        for _ in range(2):
            scheduler.push(job(priority.value, 10, priority=priority))

    assert Counter(agents(serve(scheduler, 8))) == {"standard": 6, "batch": 2}


def test_debt_outlasts_a_short_leave():
    """Who had a large call and leaves is not served before the others have caught up, but for the slack."""
    scheduler = Scheduler()
    for _ in range(2):
        scheduler.push(job("small", 10))
    scheduler.push(job("large", 100, deadline_ms=-1))
    assert agents([scheduler.pop(0)]) == ["large"]
    serve(scheduler, 3)

    scheduler.push(job("large", 100, deadline_ms=-1))
    assert agents(serve(scheduler, 14)) == ["small"] * 3 + ["large"] + ["small"] * 10


def test_no_debt_among_nobody():
    """When nothing is held any more, debts end: nobody was kept waiting for them."""
    scheduler = Scheduler()
    scheduler.push(job("large", 100))
    scheduler.pop(0)
    scheduler.push(job("large", 100))
    scheduler.push(job("small", 10))

    assert agents(serve(scheduler, 2)) == ["large", "small"]


def test_few_are_remembered(monkeypatch):
    """Agents without calls are forgotten when nothing is held, and beyond a number."""
    scheduler = Scheduler()
    queue = scheduler._classes[STANDARD].queue
    scheduler.push(job("stays", 1, model="other"))
    scheduler.block_lane("other", 10)
    monkeypatch.setattr(fair_queue, "REMEMBERED", 5)
    for number in range(20):
        scheduler.push(job(f"passes{number}", 10))
        scheduler.pop(0)
    assert len(queue._flows) == len(queue._idle) + 1 == 6

    assert len(queue._taken) == len(queue._time._taken) == 5

    scheduler.pop(10)
    scheduler.push(job("new", 1))
    assert (list(queue._flows), queue._idle, list(queue._lanes)) == ([("t", "new")], [], ["m"])


def test_corrections_are_charged_and_repaid():
    """Who used more than was estimated waits for it, who used less is repaid: shares are of what was used."""
    scheduler = weighted({"under": 1, "over": 1})
    for agent in ("under", "over"):
        for _ in range(3):
            scheduler.push(job(agent, 100))
    used = Counter()
    for _ in range(300):
        found = scheduler.pop(0)
        agent = found.call.waiter.agent
        real = 400 if agent == "under" else 50
        scheduler.correct(found, real)
        scheduler.correct(found, real)
        used[agent] += real
        scheduler.push(job(agent, 100))

    assert abs(used["under"] - used["over"]) <= 500


@pytest.mark.parametrize("took", [1, 4, 9])
def test_put_back_is_as_if_never_taken(took):
    """Calls that were taken and got no budget stand where they stood, before what came meanwhile."""
    scheduler = Scheduler()
    for number in range(3):
        for priority in Priority:
            scheduler.push(job(f"{number}", 10 * (number + 1), priority=priority))
    expected = scheduler.in_order(0)
    for _ in range(3):
        for found in [scheduler.pop(0) for _ in range(took)]:
            scheduler.put_back(found)
        assert scheduler.in_order(0) == expected

    scheduler.push(job("new", 1, priority=INTERACTIVE))
    urgent = [found for found in scheduler.in_order(0) if found.call.waiter.priority is INTERACTIVE]
    assert agents(urgent) == ["0", "1", "2", "new"]
    assert {found.charged for found in expected} == {0}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_put_back_is_exact(data):
    """However many calls are put back, in whatever order, after whatever was served, corrected and blocked: the order
    of all and of the ready ones, and where a newcomer stands, are what they were."""
    scheduler = weighted({"a": 3, "b": 7, "c": 0.7, "new": 1})
    pushed = st.builds(
        job,
        st.sampled_from("abc"),
        st.integers(0, 5_000),
        priority=st.sampled_from(Priority),
        model=st.sampled_from("mno"),
        deadline_ms=st.integers(0, 9),
    )
    for each in data.draw(st.lists(pushed, min_size=1, max_size=30)):
        scheduler.push(each)
    for model, corrected in data.draw(st.lists(st.tuples(st.sampled_from("mno"), st.none() | st.integers(0, 9_000)))):
        found = scheduler.pop(0)
        if found is not None and corrected is not None:
            scheduler.correct(found, corrected)
        scheduler.block_lane(model, data.draw(st.integers(0, 1)))
    expected = [scheduler.in_order(0, ready_only=ready_only) for ready_only in (False, True)]
    times = [held.queue._time.now for held in scheduler._classes.values()] + [scheduler._time.now]

    for _ in range(2):
        taken = [scheduler.pop(0) for _ in range(data.draw(st.integers(0, len(expected[1]))))]
        assert taken == expected[1][: len(taken)]
        for found in data.draw(st.permutations(taken)):
            scheduler.put_back(found)
        assert [scheduler.in_order(0, ready_only=ready_only) for ready_only in (False, True)] == expected
        assert [held.queue._time.now for held in scheduler._classes.values()] + [scheduler._time.now] == times


@pytest.mark.parametrize("share", ["agents", "priorities"])
@pytest.mark.parametrize("backwards", [True, False])
def test_put_back_among_blocked_lanes(share, backwards):
    """Who has blocked calls only while others are taken, and lanes that are blocked before these are put back, stand
    afterwards as if nothing had been taken."""
    other = BATCH if share == "priorities" else STANDARD
    orders = []
    for taken_first in (0, 11):
        scheduler = Scheduler()
        scheduler.push(job("a", 10, model="n", priority=other))
        for number in range(20):
            scheduler.push(job("a", 10, model="m", deadline_ms=number, priority=other))
            scheduler.push(job("c", 10, model="o", deadline_ms=number, priority=other))
        for number in range(30):
            scheduler.push(job("b", 10, model="n", deadline_ms=number))
        scheduler.block_lane("m", 10)
        taken = [scheduler.pop(0) for _ in range(taken_first)]
        scheduler.block_lane("o", 10)
        scheduler.next(0)
        for found in reversed(taken) if backwards else taken:
            scheduler.put_back(found)
        served = [scheduler.pop(0) for _ in range(20)] + [scheduler.pop(10) for _ in range(50)]
        orders.append([(found.call.waiter.agent, found.hop.model) for found in served])

    assert orders[0] == orders[1]


def test_nothing_is_earned_by_leaving():
    """Who was served, left and comes back starts with the others, although its old place is remembered."""
    scheduler = Scheduler()
    for _ in range(2):
        scheduler.push(job("busy", 10))
    scheduler.push(job("back", 10, deadline_ms=-1))
    serve(scheduler, 1)
    for found in scheduler.in_order(0):
        if found.call.waiter.agent == "back":
            assert scheduler.take(found)
    serve(scheduler, 50)
    for _ in range(20):
        scheduler.push(job("back", 10, deadline_ms=1))

    assert abs(Counter(agents([serve(scheduler, 1)[0] for _ in range(40)]))["back"] - 20) <= 3


@pytest.mark.parametrize(("used", "before"), [(300, 0), (600, 6)])
def test_correction_of_a_forgotten_debt(monkeypatch, used, before):
    """A late correction counts from the virtual end of its call: what has passed since is not paid for twice."""
    scheduler = Scheduler()
    late = job("late", 10)
    scheduler.push(late)
    for _ in range(2):
        scheduler.push(job("busy", 10))
    monkeypatch.setattr(fair_queue, "REMEMBERED", 0)
    scheduler.pop(0)
    serve(scheduler, 50)
    assert [agent for _, agent in scheduler._classes[STANDARD].queue._flows] == ["busy"]

    monkeypatch.setattr(fair_queue, "REMEMBERED", 9)
    scheduler.correct(late, used)
    scheduler._classes[STANDARD].queue._usual = 10 * fair_queue._TOKEN
    scheduler.push(job("late", 10, deadline_ms=-1))
    assert agents(serve(scheduler, 20)).index("late") == before


@pytest.mark.parametrize("share", ["agents", "priorities"])
def test_blocked_time_does_not_pass(share):
    """In a lane that opens for one call at a time weights hold; its agents get no credit against others for it."""
    weights = {"double": 2, "single": 1, "free": 1}
    scheduler = weighted(weights)
    fast, slow = (INTERACTIVE, BATCH) if share == "priorities" else (STANDARD, STANDARD)
    for agent, priority, model in (("double", STANDARD, "m"), ("single", slow, "m"), ("free", fast, "n")):
        for _ in range(3):
            scheduler.push(job(agent, 10, priority=priority, model=model))
    served = Counter()
    for now_ms in range(0, 4_000, 10):
        scheduler.block_lane("n", now_ms + 1)
        found = scheduler.pop(now_ms)
        served[found.call.waiter.agent] += 1
        scheduler.push(job(found.call.waiter.agent, 10, priority=found.call.waiter.priority))
        scheduler.block_lane("m", now_ms + 10)
        for _ in range(7):
            free = scheduler.pop(now_ms + 2)
            assert free.call.waiter.agent == "free"
            scheduler.push(job("free", 10, priority=free.call.waiter.priority, model="n"))

    expected = 2 / 3 if share == "agents" else 3 / 4
    assert abs(served["double"] / 400 - expected) < 0.02
    scheduler.block_lane("m", 0)
    after = Counter(agents(serve(scheduler, 40)))
    assert abs(after["free"] - (10 if share == "agents" else 24)) <= 1


def test_an_agent_has_one_share_of_all_lanes():
    """Who asks several models gets no more than who asks one."""
    scheduler = Scheduler()
    for model in "mno":
        scheduler.push(job("many", 10, model=model))
        scheduler.push(job("many", 10, model=model))
    for _ in range(3):
        scheduler.push(job("one", 10))

    assert abs(Counter(agents(serve(scheduler, 200)))["many"] - 100) <= 2
