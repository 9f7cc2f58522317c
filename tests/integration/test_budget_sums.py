"""The sum that a sliding window keeps of its slots, on a real Redis: at any time what adding them up would give."""

import asyncio
import random

import pytest
from tests.support.budgets import granted, key_of, slots_of, worker

from optimizer_config.amounts import Amounts, Remaining
from optimizer_config.model import Limit
from optimizer_state.budget import Ask, Grant, Settled
from optimizer_state.scripts import source

# Slots of 2, 5 and 16.7 ms, so that they leave all the time.
LIMITS = (
    Limit("a", "tokens", 3_000, 0.12),
    Limit("b", "requests", 40, 0.3),
    Limit("c", "input_tokens", 10_000, 1.0),
)
# For each limit, at one moment: the sum that is kept, if it is said to be right (else -1), and that of its slots.
BOTH = """
local both = {}
for i = 1, #ARGV, 2 do
  local fields, window, counted = redis.call('HGETALL', base .. ':window:' .. ARGV[i]), {}, 0
  for field = 1, #fields, 2 do window[fields[field]] = tonumber(fields[field + 1]) end
  for slot, amount in pairs(window) do
    if tonumber(slot) and (tonumber(slot) + 61) * ARGV[i + 1] > now then counted = counted + amount end
  end
  both[#both + 1] = {window['until'] and window['until'] > now and window.sum or -1, counted}
end
return both
"""


async def both(store):
    """Of each limit the sum that is kept, and that of its slots."""
    library = source("look").partition("\n-- Everything about a budget")[0]
    words = [word for limit in LIMITS for word in (limit.name, limit.per_s * 1000 / 60)]
    return await store.command("EVAL", library + BOTH, 1, key_of(store, "")[:-1], *words)


@pytest.mark.parametrize("number", range(3))
async def test_the_sum_is_that_of_the_slots(store, number):
    """However calls are reserved, written, given back and settled, the kept sum is that of what counts."""
    dice = random.Random(number)
    budget = await worker(store, *LIMITS)
    held, checked = [], 0
    for step in range(600):
        if dice.random() < 0.5:
            verdict = await budget.reserve(Ask(f"{step}", "m", Amounts(1, dice.randrange(200), dice.randrange(50))))
            if isinstance(verdict, Grant):
                held.append(verdict)
                if dice.random() < 0.5:
                    budget.written(verdict)
        elif held:
            grant = held.pop(dice.randrange(len(held)))
            ago_ms = dice.choice((None, 0.0, 5.0, 80.0, 150.0, 900.0))
            left = [Remaining("input_tokens", 1.0, dice.randrange(10_000))] if dice.random() < 0.2 else []
            await budget.settle(grant, Settled(ago_ms, Amounts(1, dice.randrange(300), 5), "well", left))
        if dice.random() < 0.1:
            await budget.remind()
        if dice.random() < 0.2:
            await asyncio.sleep(dice.choice((0.001, 0.01, 0.05)))
        for kept, counted in await both(store):
            assert kept in {-1, counted}, step
            checked += kept > 0

    assert checked > 300


async def test_an_empty_window_leaves_nothing(store):
    """When all that was used has left, a look at the window leaves nothing of it in Redis."""
    budget = await worker(store, Limit("a", "tokens", 100, 0.12))
    for name in "ab":
        await budget.settle(await granted(budget, name, input_tokens=10), Settled(1, Amounts(1, 10)))
    assert sum((await slots_of(store, "a")).values()) == 20
    await asyncio.sleep(0.3)
    await granted(budget, "c", input_tokens=10)

    assert await store.command("EXISTS", key_of(store, "window:a")) == 0
