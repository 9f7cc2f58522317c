"""Who is alive: every worker tells Redis once a second, and every coordinator reads it as a snapshot."""

from collections import defaultdict
from dataclasses import dataclass, replace

from optimizer_state.outlook import Outlook, in_words, read, together
from optimizer_state.store import NOTICE_S, Store

HEARTBEAT_S = 1.0
ALIVE_MS = 5_000
FORGET_MS = 3_600_000
# Who has missed a heartbeat is dead, busy, or without Redis.
SILENT_MS = 1_500
MOST_SILENT = 20
# Everybody has noticed that Redis is back, and said so, after this.
REJOIN_S = NOTICE_S + 2 * HEARTBEAT_S


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
        self._outlook_key = f"{store.prefix}:outlooks"

    async def beat(self, presence: Presence) -> None:
        """Tell that a worker lives."""
        now_ms = self._store.clock.now_ms()
        await self._store.command("ZADD", self._key, now_ms, f"{presence.backend} {presence.worker}")
        await self._store.command("ZREMRANGEBYSCORE", self._key, "-inf", now_ms - FORGET_MS)

    async def leave(self, presence: Presence) -> None:
        """Tell that a worker has stopped."""
        name = f"{presence.backend} {presence.worker}"
        await self._store.command("ZREM", self._key, name)
        await self._store.command("HDEL", self._outlook_key, name)

    async def tell(self, presence: Presence, outlook: Outlook) -> None:
        """Tell how soon a worker's backend can take a call."""
        told = replace(outlook, told_ms=self._store.clock.now_ms())
        await self._store.command("HSET", self._outlook_key, f"{presence.backend} {presence.worker}", in_words(told))

    async def outlooks(self) -> dict[str, Outlook]:
        """How soon each backend can take a call, as its workers last told; a past `ready_ms` means now."""
        told = await self._store.command("HGETALL", self._outlook_key)
        now_ms, of_backends, gone = self._store.clock.now_ms(), defaultdict(list), []
        for name, text in told.items():
            outlook = read(text.decode())
            if now_ms - outlook.told_ms > FORGET_MS:
                gone.append(name)
            of_backends[name.decode().split(" ", 1)[0]].append(outlook)
        if gone:
            await self._store.command("HDEL", self._outlook_key, *gone)
        return {backend: together(outlooks, now_ms) for backend, outlooks in of_backends.items()}

    async def heard_ms(self, presence: Presence) -> int | None:
        """When a worker was last heard of; None if it never was, or has left."""
        heard = await self._store.command("ZSCORE", self._key, f"{presence.backend} {presence.worker}")
        return None if heard is None else round(float(heard))

    async def silent(self) -> tuple[Presence, ...]:
        """Who was not heard of when it should have been, and has not left, within the last hour: the latest 20."""
        until = f"({self._store.clock.now_ms() - SILENT_MS}"
        members = await self._store.command(
            "ZRANGE", self._key, until, "-inf", "BYSCORE", "REV", "LIMIT", 0, MOST_SILENT
        )
        return tuple(Presence(*member.decode().split(" ", 1)) for member in members)

    async def alive(self) -> tuple[Presence, ...]:
        """Who was heard of within the last five seconds; right after an outage of Redis, within the last before it."""
        since = self._store.clock.now_ms() - ALIVE_MS - self._store.outage_ms(within_s=REJOIN_S)
        members = await self._store.command("ZRANGE", self._key, since, "+inf", "BYSCORE")
        return tuple(Presence(*member.decode().split(" ", 1)) for member in members)
