"""Row 20: the clocks of machines are wrong by an hour, or jump while everything runs."""

import asyncio
import time

import pytest
from tests.lab.history import ANSWERED
from tests.lab.laboratory import Laboratory
from tests.support.judge import Limit

HOUR_S = 3600.0
COUNT, PER_S = 10, 2.0
DEADLINE_S = 2.0


@pytest.fixture
def wrong_here(monkeypatch):
    """The clock of this process, that of the clients, is an hour behind."""
    true_s, true_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: true_s() - HOUR_S)
    monkeypatch.setattr(time, "time_ns", lambda: true_ns() - int(HOUR_S * 1e9))


@pytest.mark.slow
@pytest.mark.fault(20)
async def test_wrong_clocks_everywhere(lab: Laboratory, wrong_here):
    """Workers an hour ahead, an hour behind, and one whose clock jumps an hour ahead and then two back in mid-run, a
    coordinator an hour ahead and clients an hour behind: every request is answered, no window holds more than its
    limit, and most of it is used."""
    sim = lab.simulate(
        "alpha", {"latency": {"base_s": 0.1}}, limits={"short": {"count": COUNT, "per_s": PER_S}, "concurrency": 8}
    )
    await asyncio.to_thread(lab._lay_trail)
    lab.stack.configure()
    workers = [lab.stack.skewed_worker("alpha", each) for each in (HOUR_S, -HOUR_S, "0,4:3600,8:-3600")]
    coordinators = [lab.stack.coordinator(), lab.stack.skewed_coordinator(HOUR_S)]
    await lab.ready(*workers, *coordinators)
    fleet = await lab.clients(2)
    begun = time.monotonic()
    for i in range(70):
        lab.ask(fleet[i % 2], f"question {i}", 60)
    await asyncio.wait_for(lab.all(), 60)
    took_s = time.monotonic() - begun
    findings = await lab.verify(limits=(Limit("short", "requests", COUNT, PER_S),), service_s=0.1)
    print(findings.summary, f"{took_s:.1f} s for {len(sim.judged())} calls, {70 / COUNT * PER_S:.1f} s at best")

    assert lab.history.count(ANSWERED) == 70
    assert took_s < 1.5 * 70 / COUNT * PER_S + 3


@pytest.mark.slow
@pytest.mark.fault(20)
async def test_deadlines_by_wrong_clocks(lab: Laboratory, wrong_here):
    """With all clocks wrong by an hour, each in its own way, callers of a backend that hangs are told at their
    deadlines, not an hour early or late."""
    lab.simulate("alpha", {"fail_rate": 1.0, "fail_with": ["hang"]}, concurrency=4)
    await asyncio.to_thread(lab._lay_trail)
    lab.stack.configure()
    await lab.ready(lab.stack.skewed_worker("alpha", HOUR_S), lab.stack.skewed_coordinator(-HOUR_S))
    (client,) = await lab.clients(1)
    at = time.monotonic()
    for i in range(4):
        lab.ask(client, f"question {i}", DEADLINE_S)
    await lab.all()
    lab.history.fault("alpha hangs", at, away=["alpha"])
    took = [note.ended - note.asked for note in lab.history.notes]
    print({note.outcome for note in lab.history.notes}, [round(each, 2) for each in took])
    await lab.verify(allowed={"deadline_exceeded"})

    # A call that was surely too late may be told a little earlier.
    assert all(0.5 * DEADLINE_S <= each <= DEADLINE_S + 0.5 for each in took)
