"""Who is alive: every worker tells Redis once a second, and every coordinator reads it as a snapshot."""

from dataclasses import dataclass

from optimizer_state.store import Store

HEARTBEAT_S = 1.0
ALIVE_MS = 5_000
FORGET_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Presence:
    """A worker that lives, and the backend it serves."""

    backend: str
    worker: str


class Roster:
    """The workers of one deployment, in a sorted set by when each was last heard of. Raises `RedisAway`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key = f"{store.prefix}:workers"
        self._dry_key = f"{store.prefix}:dry"

    async def beat(self, presence: Presence) -> None:
        """Tell that a worker lives."""
        now_ms = self._store.clock.now_ms()
        await self._store.command("ZADD", self._key, now_ms, f"{presence.backend} {presence.worker}")
        await self._store.command("ZREMRANGEBYSCORE", self._key, "-inf", now_ms - FORGET_MS)

    async def leave(self, presence: Presence) -> None:
        """Tell that a worker has stopped."""
        await self._store.command("ZREM", self._key, f"{presence.backend} {presence.worker}")

    async def tell_dry(self, backend: str, until_ms: int) -> None:
        """Tell until when a backend can take no more calls."""
        await self._store.command("HSET", self._dry_key, backend, until_ms)

    async def dry(self) -> dict[str, int]:
        """Until when each backend can take no more calls, as its workers last told; past times mean that it can."""
        told = await self._store.command("HGETALL", self._dry_key)
        pairs = told.items() if isinstance(told, dict) else zip(told[::2], told[1::2], strict=True)
        return {backend.decode(): int(until_ms) for backend, until_ms in pairs}

    async def alive(self) -> tuple[Presence, ...]:
        """Who was heard of within the last five seconds."""
        since = self._store.clock.now_ms() - ALIVE_MS
        members = await self._store.command("ZRANGE", self._key, since, "+inf", "BYSCORE")
        return tuple(Presence(*member.decode().split(" ", 1)) for member in members)
