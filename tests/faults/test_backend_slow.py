"""Row 15: a backend sleeps, hangs, hangs in mid-answer, or dribbles."""

import asyncio
import math
import time

import pytest
from tests.lab.history import ANSWERED
from tests.lab.laboratory import Laboratory
from tests.support.judge import Limit

CONCURRENCY, FAILURES = 4, 3
TIMEOUT_S, OPEN_S = 1.0, 30.0
BREAKER = {"failures": FAILURES, "within_s": 60.0, "open_s": OPEN_S}
# When a caller on a busy machine hears what was due.
LATE_S = 0.5
WAYS = {
    "hangs": {"fail_rate": 1.0, "fail_with": ["hang"]},
    "hangs after headers": {"fail_rate": 1.0, "fail_with": ["hang_after_headers"]},
    "dribbles": {"fail_rate": 1.0, "fail_with": ["dribble"], "dribble_s": 0.3},
    "sleeps": {"latency": {"base_s": 20.0}},
}


async def slow_beside_a_good_one(lab: Laboratory, way: str, *, for_s: float) -> None:
    """A route of a slow backend and a good one, and beside it a route of another good one."""
    slow = lab.simulate(
        "alpha", {"latency": {"base_s": 0.05}}, concurrency=CONCURRENCY, timeout_s=TIMEOUT_S, breaker=BREAKER
    )
    lab.simulate("beta", {"latency": {"base_s": 0.05}}, concurrency=32)
    lab.simulate("gamma", {"latency": {"base_s": 0.05}}, concurrency=8)
    lab.stack.models = {"pair": ["alpha", "beta"], "other": ["gamma"]}
    await lab.start(workers=2)
    (client,) = await lab.clients(1)
    await lab.ask(client, "warm up", 10, model="pair")
    await asyncio.to_thread(slow.control, **WAYS[way])
    since = time.monotonic()
    number = 0
    while time.monotonic() - since < for_s:
        number += 1
        lab.ask(client, f"pair {number}", 10, model="pair")
        lab.ask(client, f"other {number}", 10, model="other")
        await asyncio.sleep(0.1)
    await lab.all()
    # Each question may be asked once at the slow one and once at the good one.
    lab.history.fault("alpha is slow", since, math.inf, extra_calls=1)
    findings = await lab.verify(limits=(Limit("alpha", "concurrency", CONCURRENCY, backend="alpha"),))
    took = {
        name: sorted(note.ended - note.asked for note in lab.history.notes if note.prompt.startswith(name))
        for name in ("pair", "other")
    }
    tried = sum(call.start > since for call in slow.judged())
    slowest = f"the slowest took {took['pair'][-1]:.2f} s, beside it {took['other'][-1]:.2f} s"
    print(way, findings.summary, f"{tried} tried it, {slowest}")
    assert lab.history.count(ANSWERED) == len(lab.history.notes)
    # Those that ran when the breaker opened, and the failures that opened it.
    assert tried <= CONCURRENCY + FAILURES
    assert took["pair"][-1] < 2 * TIMEOUT_S + LATE_S
    assert took["other"][-1] < TIMEOUT_S


async def deadline_at_the_only_backend(lab: Laboratory, way: str) -> None:
    """A route whose only backend is slow: its callers hear of it by their deadlines."""
    lab.simulate("alpha", WAYS[way], concurrency=CONCURRENCY)
    await lab.start()
    (client,) = await lab.clients(1)
    at = time.monotonic()
    for i in range(8):
        lab.ask(client, f"question {i}", 1.5 + i % 4 * 0.5)
    await lab.all()
    lab.history.fault("alpha is slow", at, away=["alpha"])
    late = [note.ended - note.deadline for note in lab.history.notes]
    print(way, {note.outcome for note in lab.history.notes}, f"at most {max(late):.2f} s after its deadline")
    assert max(late) < LATE_S
    assert lab.history.count(ANSWERED) == 0
    await lab.verify(allowed={"deadline_exceeded", "timeout", "backend_error"})


@pytest.mark.slow
@pytest.mark.fault(15)
@pytest.mark.parametrize("way", WAYS)
async def test_slow_beside_a_good_one(lab: Laboratory, way: str):
    """However a backend is slow: every request of its route is answered by the next one, only so many try it as the
    breaker lets through, and nobody on another route is held up."""
    await slow_beside_a_good_one(lab, way, for_s=6.0)


@pytest.mark.slow
@pytest.mark.fault(15)
@pytest.mark.parametrize("way", WAYS)
async def test_slow_and_alone(lab: Laboratory, way: str):
    """Where there is no other backend, callers are told by their deadlines, whatever the slow one does."""
    await deadline_at_the_only_backend(lab, way)
