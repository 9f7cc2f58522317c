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


@dataclass(frozen=True, slots=True)
class Outlook:
    """How soon a backend can take a call: one that arrives now starts at `ready_ms` (Unix milliseconds of the fleet's
    clock; past means now), and each further one `per_call_ms` later.

    `shut_ms`: until when surely no call at all starts there, however urgent; 0 if that is not sure. `reason` is what it
    waits for: the name of a limit, or a word such as `breaker`, `blocked`, `paused`; empty for none. `told_ms` is when
    a worker said so.
    """

    ready_ms: int
    per_call_ms: int = 0
    reason: str = ""
    told_ms: int = 0
    shut_ms: int = 0


def _outlook(text: str) -> Outlook:
    ready_ms, per_call_ms, told_ms, shut_ms, reason = text.split(" ", 4)
    return Outlook(int(ready_ms), int(per_call_ms), reason, int(told_ms), int(shut_ms))


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
        await self._store.command("ZREM", self._key, f"{presence.backend} {presence.worker}")

    async def tell(self, backend: str, outlook: Outlook) -> None:
        """Tell how soon a backend can take a call."""
        told_ms = self._store.clock.now_ms()
        words = (outlook.ready_ms, outlook.per_call_ms, told_ms, outlook.shut_ms, outlook.reason)
        await self._store.command("HSET", self._outlook_key, backend, " ".join(str(word) for word in words))

    async def outlooks(self) -> dict[str, Outlook]:
        """How soon each backend can take a call, as its workers last told; a past `ready_ms` means now."""
        told = await self._store.command("HGETALL", self._outlook_key)
        pairs = told.items() if isinstance(told, dict) else zip(told[::2], told[1::2], strict=True)
        return {backend.decode(): _outlook(text.decode()) for backend, text in pairs}

    async def alive(self) -> tuple[Presence, ...]:
        """Who was heard of within the last five seconds."""
        since = self._store.clock.now_ms() - ALIVE_MS
        members = await self._store.command("ZRANGE", self._key, since, "+inf", "BYSCORE")
        return tuple(Presence(*member.decode().split(" ", 1)) for member in members)
