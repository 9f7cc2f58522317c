"""Who is alive: every worker tells Redis once a second, and every coordinator reads it as a snapshot."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from optimizer_state.store import NOTICE_S, Store

HEARTBEAT_S = 1.0
ALIVE_MS = 5_000
FORGET_MS = 3_600_000
# Everybody has noticed that Redis is back, and said so, after this.
REJOIN_S = NOTICE_S + 2 * HEARTBEAT_S


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
    a worker said so. `line` is of some of those that wait, by deadline: until when it waits, and when it starts. A call
    with an earlier deadline would start then, before it.
    """

    ready_ms: int
    per_call_ms: int = 0
    reason: str = ""
    told_ms: int = 0
    shut_ms: int = 0
    line: tuple[tuple[int, int], ...] = ()


def together(outlooks: Sequence[Outlook], now_ms: int) -> Outlook:
    """The outlook of a backend from those of its workers, who get its calls in turn: what a call has to expect of them.

    Until when nothing starts holds for all of them, since they share one budget. Those of workers that have not spoken
    for a while are left out, unless there are no others.
    """
    fresh = [outlook for outlook in outlooks if now_ms - outlook.told_ms <= ALIVE_MS] or outlooks
    latest = max(fresh, key=lambda outlook: (outlook.shut_ms, outlook.ready_ms))
    ready = [max(outlook.ready_ms, latest.shut_ms, now_ms) for outlook in fresh]
    return replace(
        latest,
        ready_ms=0 if max(ready) <= now_ms else round(sum(ready) / len(ready)),
        told_ms=max(outlook.told_ms for outlook in fresh),
    )


def _outlook(text: str) -> Outlook:
    ready_ms, per_call_ms, told_ms, shut_ms, line, reason = text.split(" ", 5)
    pairs = (pair.split(":") for pair in line.split(",") if pair != "-")
    waiting = tuple((int(deadline_ms), int(start_ms)) for deadline_ms, start_ms in pairs)
    return Outlook(int(ready_ms), int(per_call_ms), reason, int(told_ms), int(shut_ms), waiting)


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
        told_ms = self._store.clock.now_ms()
        line = ",".join(f"{deadline_ms}:{start_ms}" for deadline_ms, start_ms in outlook.line) or "-"
        words = (outlook.ready_ms, outlook.per_call_ms, told_ms, outlook.shut_ms, line, outlook.reason)
        await self._store.command(
            "HSET", self._outlook_key, f"{presence.backend} {presence.worker}", " ".join(str(word) for word in words)
        )

    async def outlooks(self) -> dict[str, Outlook]:
        """How soon each backend can take a call, as its workers last told; a past `ready_ms` means now."""
        told = await self._store.command("HGETALL", self._outlook_key)
        pairs = told.items() if isinstance(told, dict) else zip(told[::2], told[1::2], strict=True)
        now_ms, of_backends, gone = self._store.clock.now_ms(), defaultdict(list), []
        for name, text in pairs:
            outlook = _outlook(text.decode())
            if now_ms - outlook.told_ms > FORGET_MS:
                gone.append(name)
            of_backends[name.decode().split(" ", 1)[0]].append(outlook)
        if gone:
            await self._store.command("HDEL", self._outlook_key, *gone)
        return {backend: together(outlooks, now_ms) for backend, outlooks in of_backends.items()}

    async def alive(self) -> tuple[Presence, ...]:
        """Who was heard of within the last five seconds; right after an outage of Redis, within the last before it."""
        since = self._store.clock.now_ms() - ALIVE_MS - self._store.outage_ms(within_s=REJOIN_S)
        members = await self._store.command("ZRANGE", self._key, since, "+inf", "BYSCORE")
        return tuple(Presence(*member.decode().split(" ", 1)) for member in members)
