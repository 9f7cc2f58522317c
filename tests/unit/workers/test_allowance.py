"""What a worker was granted and has not begun."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from optimizer_config.amounts import Amounts
from optimizer_state.budget import Grant, Wait
from optimizer_wire.ids import new_id
from optimizer_workers.allowance import Allowance


class Budget:
    """Grants everything, and knows what is held."""

    def __init__(self) -> None:
        self.held: list[str] = []

    def new_reservation(self) -> str:
        return new_id()

    async def reserve_all(self, asks):
        self.held += [ask.reservation for ask in asks]
        return [Grant(ask.reservation) for ask in asks]

    async def settle(self, grant, _):
        self.held.remove(grant.reservation)


class Repeats:
    """A retry budget that is used up for some seconds."""

    async def wait_ms(self, job):
        return 3_000 if job.retries else 0


class Share:
    """Gives the first of them a place at once, and lets the others wait for an answer."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answered = asyncio.Event()
        self.places = 0

    async def take(self, _):
        self.places += 1
        if self.places > 1:
            self.asked.set()
            await self.answered.wait()
        return 0

    async def give_back(self, _):
        self.places -= 1


async def test_who_stops_while_places_are_asked_for_holds_nothing():
    """A pump that ends with its connection between budget and share gives both back: its worker lives on."""
    budget, share = Budget(), Share()
    parts: Any = (budget, None, share, None)
    job: Any = SimpleNamespace(hop=SimpleNamespace(model="m"), amounts=Amounts(), retries=0)
    reserving = asyncio.ensure_future(Allowance(*parts).reserve([job, job, job]))
    await share.asked.wait()

    reserving.cancel()
    share.answered.set()
    with pytest.raises(asyncio.CancelledError):
        await reserving

    assert (budget.held, share.places) == ([], 0)


async def test_a_repetition_waits_for_the_retry_budget_alone():
    """A repetition that the retry budget has no room for reserves nothing, and calls beside it get what they need."""
    budget = Budget()
    parts: Any = (budget, None, None, Repeats())
    jobs: Any = [SimpleNamespace(hop=SimpleNamespace(model="m"), amounts=Amounts(), retries=n) for n in (0, 1, 0)]

    first, second, third = await Allowance(*parts).reserve(jobs)

    assert second == Wait(3_000, "retries")
    assert [each.reservation for each in (first, third)] == budget.held
