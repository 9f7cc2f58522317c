"""Backends that die, refuse, get slow or use up their day: each costs little, and no request fails while another is
there."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
from tests.support.fleet import clients
from tests.support.judge import Call
from tests.support.notes import ANSWERED, Notebook
from tests.support.stack import Simulated, Stack
from tests.support.tap import Tap, shared_stack

CONCURRENCY = 4
ALLOWED = CONCURRENCY + 5
FOR_S = 6.0
PER_SECOND = 8.0


@dataclass
class Case:
    """One bad backend: its spec, what becomes of it in mid-run, and what it costs."""

    turns_bad: dict[str, Any] | None
    headers: str = "none"
    sim: Simulated | None = None
    calls: list[Call] = field(default_factory=list)
    failed: int = 0
    book: Notebook = field(default_factory=Notebook)
    moved: int = 0


def cases() -> dict[str, Case]:
    """What backends do to us. None: the process is killed."""
    return {
        "dead": Case(None),
        "refusing": Case({"fail_rate": 1.0, "fail_with": [429]}),
        "refusing-for-long": Case({"fail_rate": 1.0, "fail_with": [429], "extra_headers": {"retry-after": "30"}}),
        "day-over-groq": Case({"fail_rate": 1.0, "fail_with": ["quota_day"]}, "groq"),
    }


def more_cases() -> dict[str, Case]:
    """Others, for the long run."""
    return {
        "failing": Case({"fail_rate": 1.0, "fail_with": [500]}),
        "overloaded": Case({"fail_rate": 1.0, "fail_with": [503]}),
        "slow": Case({"latency": {"base_s": 30.0}}),
        "hanging": Case({"fail_rate": 1.0, "fail_with": ["hang"]}),
        "day-over-gemini": Case({"fail_rate": 1.0, "fail_with": ["quota_day"]}, "gemini"),
    }


RARE = [pytest.param(name, marks=pytest.mark.slow) for name in more_cases()]
BY_NAME = pytest.mark.parametrize("name", [*cases(), *RARE])


@pytest.fixture(scope="module")
def suffered(tmp_path_factory, amqp_url, redis_url) -> Callable[[str], Case]:
    """Tells what became of a case: a deployment where each bad backend is the first of a route, and a good one the
    second; two workers each."""

    @cache
    def run(make: Callable[[], dict[str, Case]]) -> dict[str, Case]:
        folder = tmp_path_factory.mktemp("failover")
        with shared_stack(folder, amqp_url, redis_url) as stack, Tap(stack.amqp_url, stack.prefix) as tap:
            found = asyncio.run(suffer(stack, make()))
            for message in tap.events():
                if message.key == "optimizer.call.failed" and message.fields.get("backend") in found:
                    found[message.fields["backend"]].failed += 1
        return found

    return lambda name: run(cases if name in cases() else more_cases)[name]


async def suffer(stack: Stack, wanted: dict[str, Case]) -> dict[str, Case]:
    """Ask all routes for some seconds, while their first backends turn bad after one."""
    for name, case in wanted.items():
        spec = {"headers": case.headers, "latency": {"base_s": 0.1}}
        case.sim = stack.simulate(name, spec, concurrency=CONCURRENCY, timeout_s=1.0)
        stack.models[f"route-{name}"] = [name, "good"]
    stack.simulate("good", {"latency": {"base_s": 0.1}}, concurrency=64)
    stack.configure()
    workers = [stack.worker(name) for name in stack.backends for _ in range(2 if name in wanted else 1)]
    coordinator = stack.coordinator()
    await asyncio.to_thread(stack.ready, coordinator, *workers)
    async with AsyncExitStack() as pool:
        fleet = await clients(stack, pool, 3)
        began, bad = time.monotonic(), False
        for i in range(int(FOR_S * PER_SECOND)):
            await asyncio.sleep(began + i / PER_SECOND - time.monotonic())
            for name, case in wanted.items():
                case.book.ask(fleet[i % 3], f"{name} {i}", 60.0, model=f"route-{name}")
            if i >= PER_SECOND and not bad:
                bad = True
                await asyncio.gather(*(turn_bad(case) for case in wanted.values()))
        await asyncio.gather(*(case.book.all() for case in wanted.values()))
    for case in wanted.values():
        case.calls = case.sim.judged()
    return wanted


async def turn_bad(case: Case) -> None:
    """From now on it is bad."""
    if case.turns_bad is None:
        await asyncio.to_thread(case.sim.running.kill)
    else:
        await asyncio.to_thread(case.sim.control, **case.turns_bad)


@BY_NAME
def test_bad_backend_costs_little(suffered, name):
    """It is called before it turns bad; after that it costs at most its concurrency and five failed calls across the
    whole fleet, by its own log and by the events."""
    case = suffered(name)
    bad = [call for call in case.calls if call.status != 200 and not (case.turns_bad is None and call.end is None)]
    print(f"{name}: {len(bad)} failed calls in its log, {case.failed} told, of {len(case.book.notes)} requests")

    assert [call for call in case.calls if call.status == 200]
    assert len(bad) <= ALLOWED
    assert case.failed <= ALLOWED
    assert case.turns_bad is None or bad


@BY_NAME
def test_bad_backend_fails_no_request(suffered, name):
    """Every request is answered, because the route has another backend."""
    outcomes = {note.outcome: note.message for note in suffered(name).book.notes if note.outcome != ANSWERED}

    assert outcomes == {}


@BY_NAME
def test_bad_backend_does_not_hold_requests_up(suffered, name):
    """Half a second after it turned bad requests are answered as fast as before, but for those that it had begun."""
    took = sorted(note.ended - note.asked for note in suffered(name).book.notes)
    print(f"{name}: p50 {took[len(took) // 2]:.2f} s, p90 {took[int(len(took) * 0.9)]:.2f} s, longest {took[-1]:.2f} s")

    assert took[int(len(took) * 0.9)] < 2.0
