"""Which calls a worker sends back when one agent fills its window."""

from collections import Counter

from optimizer_wire.messages import VERSION, Call, Hop, Priority, Waiter
from optimizer_workers.crowding import hindmost
from optimizer_workers.job import Job

NUMBER = iter(range(10_000))


def job(agent, deadline_ms=1_000, priority=Priority.STANDARD, *, look_first=False):
    waiter = Waiter(str(next(NUMBER)), "q", deadline_ms, agent, "tenant", priority)
    call = Call(VERSION, "f", 1, 1, waiter, {}, (Hop("b", "m"),))
    return Job(call, 1, redelivered=False, stage=1, deadline_ms=deadline_ms, look_first=look_first)


def sent_back(jobs, window=100):
    return Counter(each.call.waiter.agent for each in hindmost(jobs, window))


def test_a_window_that_is_not_full_stays():
    """While the window has room, nothing stands behind it, and nothing is sent back."""
    assert sent_back([job("hog") for _ in range(79)]) == {}


def test_the_largest_agent_gives_half_of_the_window_back():
    """An agent that fills the window keeps half of it; others keep all of theirs."""
    assert sent_back([job("hog") for _ in range(90)] + [job("small") for _ in range(10)]) == {"hog": 40}


def test_many_agents_are_no_crowd():
    """A window that is full of many agents' calls stays as it is."""
    assert sent_back([job(f"agent-{number % 10}") for number in range(100)]) == {}


def test_the_last_deadlines_go():
    """Of the agent's calls those with the latest deadlines are sent back."""
    jobs = [job("hog", deadline_ms=number) for number in range(100)]

    assert {each.deadline_ms for each in hindmost(jobs, 100)} == set(range(50, 100))


def test_each_priority_has_its_own_window():
    """A crowd in one priority moves nothing of another."""
    jobs = [job("hog", priority=Priority.BATCH) for _ in range(100)]
    jobs += [job("hog", priority=Priority.INTERACTIVE) for _ in range(20)]

    assert {each.call.waiter.priority for each in hindmost(jobs, 100)} == {Priority.BATCH}


def test_what_is_only_looked_at_stays():
    """Calls that need no budget to find out what became of them are not sent back."""
    assert sent_back([job("hog", look_first=True) for _ in range(100)]) == {}
