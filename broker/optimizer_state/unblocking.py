"""Letting a backend be tried before its block or its circuit breaker says so, because an operator knows better."""

from dataclasses import dataclass

from optimizer_state.scripts import Step, backend_key
from optimizer_state.store import Store


@dataclass(frozen=True, slots=True)
class Unblocked:
    """For how many milliseconds a backend would still have been blocked, and its breaker open; 0: it was not."""

    blocked_ms: int
    breaker_ms: int


async def unblock(store: Store, backend: str) -> Unblocked:
    """Lift the block and half-open the breaker of a backend: its next call tries it, alone.

    :raises RedisAway: if nothing could be changed.
    """
    ((_, blocked_ms, breaker_ms),) = await store.run([Step("unblock", backend_key(store.prefix, backend), ())])
    return Unblocked(int(blocked_ms), int(breaker_ms))
