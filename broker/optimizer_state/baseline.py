"""The moment that an operator's sums count from: `<prefix>:baseline`, Unix seconds of Redis' clock. Nothing is deleted.

It has no time to live, so that no full Redis evicts it.
"""

from optimizer_state.store import Store


class Baseline:
    """The baseline of one deployment. Every method raises `RedisAway`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key = f"{store.prefix}:baseline"

    async def get(self) -> float | None:
        """The last reset; None if there was none, or it was taken back."""
        found = await self._store.command("GET", self._key)
        return None if found is None else float(found)

    async def reset(self) -> float:
        """Let sums count from now; returns that moment."""
        seconds, microseconds = await self._store.command("TIME")
        now = int(seconds) + int(microseconds) / 1_000_000
        await self._store.command("SET", self._key, f"{now:.3f}")
        return round(now, 3)

    async def clear(self) -> None:
        """Take the reset back."""
        await self._store.command("DEL", self._key)
