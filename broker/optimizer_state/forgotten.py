"""Forgetting a tenant in Redis: its answers, the outcomes of its flights, what waits, its turns and its quotas.

No key names a tenant, but every record does, so that all records are looked at (`SCAN`): forgetting is rare, and an
index would be kept up to date with every request. What was asked after a moment of Redis' clock is new, and stays.

`<prefix>:forgotten` (hash: tenant -> that moment) tells the workers, who hold calls that Redis cannot reach.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from optimizer_state.flights import KEEP_MS
from optimizer_state.mailboxes import address_of, is_mailbox
from optimizer_state.scripts import Step
from optimizer_state.store import Store
from optimizer_wire.messages import Waiter

# No request lives longer (`messages.TimeoutMs`).
_LONGEST_REQUEST_MS = 24 * 3600 * 1000
_AT_ONCE = 500
_waiters = msgspec.msgpack.Decoder(Waiter)


@dataclass(slots=True)
class Found:
    """What there was of a tenant: so many answers, outcomes, submitted requests, and requests that waited (`waiters`).

    `open_flights` counts those whose call a worker holds or runs, and that nobody waits for any more.
    """

    answers: int = 0
    outcomes: int = 0
    submitted: int = 0
    requests: int = 0
    waiters: list[Waiter] = field(default_factory=list)
    open_flights: int = 0

    @property
    def nothing(self) -> bool:
        """Whether there was nothing of the tenant."""
        return not (self.answers or self.outcomes or self.submitted or self.requests or self.open_flights)


class Forgotten:
    """Who was forgotten when. Every method raises `RedisAway` if Redis is away."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key = f"{store.prefix}:forgotten"

    async def mark(self, tenant: str) -> int:
        """Let all workers drop what they hold of a tenant; returns the moment up to which that is so."""
        await self._store.synchronise_clock()
        until_ms = self._store.clock.now_ms()
        await self._store.command("HSET", self._key, tenant, until_ms)
        await self._store.command("PEXPIRE", self._key, _LONGEST_REQUEST_MS)
        return until_ms

    async def all(self) -> dict[str, int]:
        """The moment for each tenant that was forgotten within the last day."""
        found = await self._store.command("HGETALL", self._key)
        return {tenant.decode(): int(until_ms) for tenant, until_ms in found.items()}


class Erasure:
    """Looks for one tenant everywhere in Redis. Every method raises `RedisAway` if Redis is away.

    `users` are its RabbitMQ users, as far as they are known: their mailboxes are its own, whatever is in them.
    """

    def __init__(self, store: Store, tenant: str, users: Collection[str] = ()) -> None:
        self._store = store
        self._tenant = tenant
        self._mailboxes = {address_of(user, tenant) for user in users}

    async def flights(self, until_ms: int, *, only_count: bool = False) -> Found:
        """Remove, or only count, what the tenant asked until then and what was answered."""
        found = Found()
        async for keys in self._scan():
            if steps := self._box_steps(keys, until_ms, only_count=only_count):
                found.submitted += sum(int(reply[1]) for reply in await self._store.run(steps))
            if steps := self._steps(keys, until_ms, only_count=only_count):
                _add(found, await self._store.run(steps))
        return found

    def _box_steps(self, keys: Sequence[str], until_ms: int, *, only_count: bool) -> list[Step]:
        boxes = ((key, key.partition("{")[2].partition("}")[0]) for key in keys)
        return [
            Step("mailbox_forget", key, (self._tenant, until_ms, int(box in self._mailboxes), int(only_count)))
            for key, box in boxes
            if is_mailbox(box)
        ]

    def _steps(self, keys: Sequence[str], until_ms: int, *, only_count: bool) -> list[Step]:
        """One step for each question that one of these keys belongs to."""
        ended: defaultdict[str, list[str]] = defaultdict(list)
        for key in keys:
            base, bracket, rest = key.partition("}")
            kind, _, flight = rest.removeprefix(":").partition(":")
            if bracket and kind in {"answer", "flight", "done"}:
                ended[base + bracket] += [flight] if kind == "done" else []
        return [
            Step("forget", base, (self._tenant, until_ms, KEEP_MS, int(only_count), *flights))
            for base, flights in ended.items()
        ]

    async def places(self, *, only_count: bool = False) -> int:
        """Remove, or only count, the tenant's turns of ordering keys and its quotas: names, times and counts."""
        removed = 0
        async for keys in self._scan():
            if theirs := [key for key in keys if self._is_place(key)]:
                removed += len(theirs) if only_count else int(await self._store.command("UNLINK", *theirs))
        return removed

    def _is_place(self, key: str) -> bool:
        rest = key.removeprefix(f"{self._store.prefix}:")
        if rest.startswith("{turn:"):
            # The hash of the ordering key follows the last colon within the braces.
            return rest.removeprefix("{turn:").partition("}")[0].rpartition(":")[0] == self._tenant
        return any(
            # No tenant's name has a colon or a slash.
            rest.startswith(f"{kind}{self._tenant}{end}")
            for kind, end in (("{quota}:window:tenant:", ":"), ("{quota}:window:agent:", "/"), ("{quota}:mean:", "/"))
        )

    async def _scan(self) -> AsyncIterator[list[str]]:
        cursor = b"0"
        pattern = f"{self._store.prefix}:*"
        while True:
            cursor, keys = await self._store.command("SCAN", cursor, "MATCH", pattern, "COUNT", _AT_ONCE)
            yield [key.decode() for key in keys]
            if int(cursor) == 0:
                return


def _add(found: Found, replies: Iterable[Sequence[Any]]) -> None:
    for answers, outcomes, requests, open_flights, *waiters in replies:
        found.answers += answers
        found.outcomes += outcomes
        found.requests += requests
        found.open_flights += open_flights
        found.waiters += map(_waiters.decode, waiters)
