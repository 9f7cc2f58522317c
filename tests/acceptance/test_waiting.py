"""Waiting instead of 429: what can be answered in time is answered, the rest is told early and never called."""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from tests.support.fleet import clients
from tests.support.ideal import answerable
from tests.support.judge import Call, max_in_window
from tests.support.notes import ANSWERED, Note, Notebook
from tests.support.stack import Stack, wait_until

TOLD = "deadline_exceeded"
CALL_S = 0.3


@dataclass
class Crowd:
    """Agents that ask evenly for a while, of several backends with the same limit."""

    count: int
    per_s: float
    per_second: float
    for_s: float
    deadline_s: float
    agents: int = 100
    backends: int = 3


async def crowd(stack: Stack, wanted: Crowd) -> tuple[list[Note], dict[str, list[Call]]]:
    """Let them ask; returns what became of the requests, and the calls of each backend."""
    window = {"count": wanted.count, "per_s": wanted.per_s}
    spec = {"limits": {"more": [window]}, "latency": {"base_s": CALL_S}}
    sims = [stack.simulate(f"b{i}", spec, limits={"w": window, "concurrency": 32}) for i in range(wanted.backends)]
    await asyncio.to_thread(stack.start, coordinators=2)
    book = Notebook()
    async with AsyncExitStack() as pool:
        fleet = await clients(stack, pool, wanted.agents)
        began = time.monotonic()
        for i in range(int(wanted.per_second * wanted.for_s)):
            await asyncio.sleep(began + i / wanted.per_second - time.monotonic())
            book.ask(fleet[i % wanted.agents], f"question {i}", wanted.deadline_s)
        await book.all()
    book.save(stack.folder / "notes.jsonl")
    return book.notes, {sim.name: sim.judged() for sim in sims}


def check(wanted: Crowd, notes: list[Note], calls: dict[str, list[Call]], share: float) -> None:
    """Nobody sees a 429 or any other error, what can be answered is, the rest is told early and never called."""
    ideal = answerable(
        ((note.asked, note.asked + wanted.deadline_s) for note in notes),
        wanted.count,
        wanted.per_s,
        wanted.backends,
        CALL_S,
    )
    told = [note for note in notes if note.outcome == TOLD]
    answered = [note for note in notes if note.outcome == ANSWERED]
    called = {call.question for own in calls.values() for call in own}
    left = sorted(note.left_s for note in told)
    worst = {name: max_in_window([call.start for call in own], wanted.per_s)[0] for name, own in calls.items()}
    print(f"{len(notes)} asked, {len(answered)} answered, {ideal} can be; {len(told)} told; most in a window {worst}")
    print(f"seconds left when told: least {left[:3]}, median {left[len(left) // 2] if left else None}")

    assert {note.outcome for note in notes} <= {ANSWERED, TOLD}
    assert [call for own in calls.values() for call in own if call.status == 429] == []
    assert max(worst.values()) <= wanted.count
    assert len(answered) >= share * ideal
    assert [note.prompt for note in told if note.question in called] == []
    early = [note for note in told if note.left_s >= 0.25 * wanted.deadline_s]
    assert len(early) >= 0.9 * len(told)
    assert all(note.message for note in told)


async def test_twice_what_backends_allow(stack: Stack):
    """A hundred agents ask twice what three limited backends allow: at least 95 % of what an ideal could answer is
    answered, nobody sees a 429, and nine of ten of the rest are told with a quarter of their time left."""
    wanted = Crowd(count=20, per_s=4.0, per_second=30.0, for_s=9.0, deadline_s=6.0)

    notes, calls = await crowd(stack, wanted)

    check(wanted, notes, calls, 0.95)


@pytest.mark.slow
async def test_twice_what_backends_allow_for_minutes(stack: Stack):
    """The same with deadlines of two minutes and limits per minute, for three minutes."""
    wanted = Crowd(count=60, per_s=60.0, per_second=6.0, for_s=180.0, deadline_s=120.0)

    notes, calls = await crowd(stack, wanted)

    check(wanted, notes, calls, 0.95)


async def test_nothing_waits_at_an_exhausted_backend(stack: Stack):
    """Two equal backends, the first of them used up for long: what waits there moves to the other, as soon as that
    has budget, until all is answered."""
    slow, fast = {"count": 4, "per_s": 60.0}, {"count": 6, "per_s": 2.0}
    first = stack.simulate("first", limits={"w": slow, "concurrency": 16})
    second = stack.simulate("second", limits={"w": fast, "concurrency": 16})
    await asyncio.to_thread(stack.start)
    book = Notebook()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        began = time.monotonic()
        for i in range(28):
            book.ask(client, f"question {i}", 50.0)
        await asyncio.to_thread(wait_until, lambda: len(second.calls()) >= 24, "all calls", 20.0)
        took_s = time.monotonic() - began
        await book.all()
    print(f"{took_s:.1f} s, {len(first.calls())} and {len(second.calls())} calls")

    assert book.count(ANSWERED) == 28
    assert (len(first.calls()), len(second.calls())) == (4, 24)
    # Four windows of six, of which the last begins after three windows.
    assert took_s < 3 * 2.0 * 1.25 + 1.0


async def test_what_waits_moves_to_a_backend_that_comes_later(stack: Stack):
    """Requests that wait for the only live backend of their route go to an equal one as soon as its worker is there."""
    few = {"w": {"count": 2, "per_s": 60.0}, "concurrency": 16}
    stack.simulate("first", limits=few)
    second = stack.simulate("second")
    stack.configure()
    first_worker, coordinator = stack.worker("first"), stack.coordinator()
    await asyncio.to_thread(stack.ready, first_worker, coordinator)
    book = Notebook()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        for i in range(8):
            book.ask(client, f"question {i}", 100.0)
        await asyncio.sleep(1.0)
        late = stack.worker("second")
        await asyncio.to_thread(stack.ready, late)
        await asyncio.to_thread(wait_until, lambda: len(second.calls()) >= 6, "calls of the second", 15.0)
        await book.all()

    assert book.count(ANSWERED) == 8
