"""Row 16: a backend answers everything with 429 and says, or does not say, when to come back."""

import asyncio
import itertools
from typing import Any

import pytest
from tests.lab.history import ANSWERED
from tests.lab.laboratory import Laboratory

CONCURRENCY, WORKERS, STORM_S = 4, 3, 10.0
TOLD_S = 2.0
# Calls that were on their way when the first was refused belong to the same occasion.
OCCASION_S = 0.5


async def storm(lab: Laboratory, spec: dict[str, Any]) -> list[float]:
    """A backend refuses everything for a while; returns when it refused calls, in seconds since the first."""
    sim = lab.simulate("alpha", {"latency": {"base_s": 0.05}, **spec}, concurrency=CONCURRENCY)
    await lab.start(workers=WORKERS)
    (client,) = await lab.clients(1)
    await asyncio.to_thread(sim.control, fail_rate=1.0, fail_with=[429])
    for i in range(60):
        lab.ask(client, f"question {i}", 60)
    await asyncio.sleep(STORM_S)
    await asyncio.to_thread(sim.control, fail_rate=0.0)
    await asyncio.wait_for(lab.all(), 40)
    findings = await lab.verify()
    refused = [call.start for call in sim.judged() if call.status == 429]
    print(findings.summary, [round(at - refused[0], 2) for at in refused])
    assert lab.history.count(ANSWERED) == 60
    return [at - refused[0] for at in refused]


@pytest.mark.slow
@pytest.mark.fault(16)
async def test_storm_with_retry_after(lab: Laboratory):
    """All workers of a backend that says how long to wait leave it alone for so long, and then one call of all of them
    looks whether it is over; every request is answered after the storm."""
    refused = await storm(lab, {"extra_headers": {"retry-after": str(TOLD_S)}})
    first = [at for at in refused if at < OCCASION_S]
    later = [at for at in refused if at >= OCCASION_S]

    assert len(first) <= CONCURRENCY
    assert later
    assert all(b - a >= TOLD_S for a, b in itertools.pairwise([first[-1], *later]))


@pytest.mark.slow
@pytest.mark.fault(16)
async def test_storm_without_a_word(lab: Laboratory):
    """A backend that does not say how long to wait is tried by one call at a time, after 1 s, 2 s, 4 s."""
    refused = await storm(lab, {})
    later = [at for at in refused if at >= OCCASION_S]

    assert len([at for at in refused if at < OCCASION_S]) <= CONCURRENCY
    assert len(later) >= 2
    gaps = [b - a for a, b in itertools.pairwise([0.0, *later])]
    assert all(gap >= 0.9 * 2**i for i, gap in enumerate(gaps))
