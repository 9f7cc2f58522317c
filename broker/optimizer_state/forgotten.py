"""Forgetting a tenant in Redis: its answers, the outcomes of its flights, what waits, its turns and its quotas.

No key names a tenant, but every record does, so that all records are looked at (`SCAN`): forgetting is rare, and an
index would be kept up to date with every request. What was asked after a moment of Redis' clock is new, and stays.

`<prefix>:forgotten` (hash: tenant -> that moment) tells the workers, who hold calls that Redis cannot reach.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
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
        """Remove, or only count, what the tenant asked until then and what was answered.

        All questions are gathered first, about 300 bytes for each: `SCAN` may give the keys of one in several parts,
        and a key twice, and a question is to be counted once.
        """
        found = Found()
        boxes: set[str] = set()
        ended: defaultdict[str, set[str]] = defaultdict(set)
        async for key in self._keys():
            base, bracket, rest = key.partition("}")
            kind, _, flight = rest.removeprefix(":").partition(":")
            if is_mailbox(_braced(key)):
                boxes.add(key)
            elif bracket and kind in {"answer", "flight", "done"}:
                ended[base + bracket].update([flight] if kind == "done" else [])
        theirs = (self._tenant, until_ms)
        for some in _parts(boxes):
            mine = [(key, int(_braced(key) in self._mailboxes)) for key in some]
            steps = [Step("mailbox_forget", key, (*theirs, own, int(only_count))) for key, own in mine]
            found.submitted += sum(int(reply[1]) for reply in await self._store.run(steps))
        for some in _parts(ended):
            steps = [Step("forget", key, (*theirs, KEEP_MS, int(only_count), *ended[key])) for key in some]
            _add(found, await self._store.run(steps))
        return found

    async def places(self, *, only_count: bool = False) -> int:
        """Remove, or only count, the tenant's turns of ordering keys and its quotas: names, times and counts."""
        theirs = {key async for key in self._keys() if self._is_place(key)}
        if only_count:
            return len(theirs)
        return sum([int(await self._store.command("UNLINK", *some)) for some in _parts(theirs)])

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

    async def _keys(self) -> AsyncIterator[str]:
        """All keys; what comes or goes meanwhile may be missing, and some keys come twice."""
        cursor = b"0"
        pattern = f"{self._store.prefix}:*"
        while True:
            cursor, keys = await self._store.command("SCAN", cursor, "MATCH", pattern, "COUNT", _AT_ONCE)
            for key in keys:
                yield key.decode()
            if int(cursor) == 0:
                return


def _braced(key: str) -> str:
    """What a key has within its first braces."""
    return key.partition("{")[2].partition("}")[0]


def _parts(keys: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(keys)
    while some := list(islice(rest, _AT_ONCE)):
        yield some


def _add(found: Found, replies: Iterable[Sequence[Any]]) -> None:
    for answers, outcomes, requests, open_flights, *waiters in replies:
        found.answers += answers
        found.outcomes += outcomes
        found.requests += requests
        found.open_flights += open_flights
        found.waiters += map(_waiters.decode, waiters)
