"""Budgets on a real Redis, for tests of them."""

import msgspec

from optimizer_config.amounts import Amounts
from optimizer_config.model import Backend, Limit
from optimizer_state.budget import Ask, Budget, Grant, Wait

RPM = Limit("rpm", "requests", 5, 60.0)


def backend(*limits, concurrency=100, **fields):
    """A backend with these limits."""
    plain = Backend("b", "openai", "http://localhost", ("m", "n"), limits, concurrency)
    return msgspec.structs.replace(plain, **fields)


def key_of(store, part):
    """A key of the budget."""
    return f"{store.prefix}:{{backend:b}}:{part}"


async def slots_of(store, limit):
    """What is used in each slot of a limit's window."""
    window = await store.command("HGETALL", key_of(store, f"window:{limit}"))
    return {int(slot): int(amount) for slot, amount in window.items() if slot not in {b"sum", b"until"}}


async def worker(store, *limits, name="w1", **fields):
    """A worker's budget that Redis knows, without the time that is left for others to tell what they used."""
    budget = Budget(store, backend(*limits, **fields), name)
    await budget.restore()
    await store.command("HDEL", key_of(store, "gate"), "grace")
    return budget


async def granted(budget, name, model="m", **amounts):
    """Reserve a call that is to be granted."""
    verdict = await budget.reserve(ask(name, model, **amounts))
    assert isinstance(verdict, Grant), verdict
    return verdict


async def refused(budget, name, model="m", **amounts):
    """Reserve a call that is to wait."""
    verdict = await budget.reserve(ask(name, model, **amounts))
    assert isinstance(verdict, Wait), verdict
    return verdict


def ask(name, model="m", **amounts):
    """The wish to make a call."""
    return Ask(name, model, Amounts(**amounts))
