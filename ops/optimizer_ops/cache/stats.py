"""How the cache stands: what is stored, for whom, and how Redis keeps it.

A look at every answer takes about a second for 50,000; `at_most` keys are looked at, and the rest is estimated from
them: Redis hands out keys in the order of a hash of them, so that the first ones are as good a sample as any.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from optimizer_state.entries import Entries
from optimizer_state.selection import Entry
from optimizer_state.store import Store

# Looked at within some tenths of a second.
SAMPLE = 10_000
DIMENSIONS = ("task", "model", "backend", "tenant", "agent", "namespace")
_MOST_NAMES = 50


class Part(msgspec.Struct, kw_only=True):
    """The answers of one task, model, … ; `name` is empty where it is not known, or is the empty namespace."""

    name: str
    answers: int
    memory_bytes: int


class RedisState(msgspec.Struct, kw_only=True):
    """How Redis keeps them. `max_memory_bytes` 0: no limit. Counts are since Redis started."""

    version: str
    used_memory_bytes: int
    max_memory_bytes: int
    policy: str
    evicted: int
    expired: int
    warning: str = ""


class CacheStats(msgspec.Struct, kw_only=True):
    """The stored answers. `exact`: all keys were looked at; else counts are estimated from `looked` of `keys`."""

    at: float
    exact: bool
    keys: int
    looked: int
    answers: int
    memory_bytes: int
    oldest_s: float | None
    newest_s: float | None
    by: dict[str, list[Part]]
    redis: RedisState


async def look(
    store: Store, *, at_most: int | None = SAMPLE, progress: Callable[[int, int], None] = lambda _, __: None
) -> CacheStats:
    """Look at the stored answers; `at_most` None looks at all.

    :raises RedisAway: if Redis goes away.
    """
    await store.synchronise_clock()
    entries = Entries(store)
    keys, tally = await entries.keys_in_redis(), _Tally()
    exact = True
    async for page in entries.pages():
        tally.add(page.looked, page.entries)
        progress(min(tally.looked, keys), keys)
        if at_most is not None and at_most <= tally.looked < keys:
            exact = False
            break
    grow = 1.0 if exact or not tally.looked else keys / tally.looked
    now_ms = store.clock.now_ms()
    return CacheStats(
        at=time.time(),
        exact=exact,
        keys=keys,
        looked=min(tally.looked, keys),
        answers=min(keys, round(tally.answers * grow)),
        memory_bytes=round(tally.memory * grow),
        oldest_s=_age_s(tally.oldest_ms, now_ms),
        newest_s=_age_s(tally.newest_ms, now_ms),
        by={dimension: tally.parts(dimension, grow) for dimension in DIMENSIONS},
        redis=await _redis(store),
    )


class _Tally:
    """Adds up entries."""

    def __init__(self) -> None:
        self.looked = self.answers = self.memory = 0
        self.oldest_ms: int | None = None
        self.newest_ms: int | None = None
        self._by: dict[str, defaultdict[str, list[int]]] = {name: defaultdict(lambda: [0, 0]) for name in DIMENSIONS}

    def add(self, looked: int, entries: Sequence[Entry]) -> None:
        self.looked += looked
        self.answers += len(entries)
        for entry in entries:
            self.memory += entry.memory
            if entry.stored_ms:
                self.oldest_ms = min(self.oldest_ms or entry.stored_ms, entry.stored_ms)
                self.newest_ms = max(self.newest_ms or entry.stored_ms, entry.stored_ms)
            for name, parts in self._by.items():
                part = parts[getattr(entry, name) or ""]
                part[0] += 1
                part[1] += entry.memory

    def parts(self, dimension: str, grow: float) -> list[Part]:
        """The largest ones first."""
        found = [
            Part(name=name, answers=round(answers * grow), memory_bytes=round(memory * grow))
            for name, (answers, memory) in self._by[dimension].items()
        ]
        return sorted(found, key=lambda part: (-part.answers, part.name))[:_MOST_NAMES]


def _age_s(at_ms: int | None, now_ms: int) -> float | None:
    return None if at_ms is None else max(0, now_ms - at_ms) / 1000


async def _redis(store: Store) -> RedisState:
    info: Mapping[str, Any] = {}
    for section in ("server", "memory", "stats"):
        info = {**info, **await store.command("INFO", section)}
    policy, most = str(info.get("maxmemory_policy", "")), int(info.get("maxmemory", 0))
    return RedisState(
        version=str(info.get("redis_version", "")),
        used_memory_bytes=int(info.get("used_memory", 0)),
        max_memory_bytes=most,
        policy=policy,
        evicted=int(info.get("evicted_keys", 0)),
        expired=int(info.get("expired_keys", 0)),
        warning=_warning(policy, most),
    )


def _warning(policy: str, max_memory_bytes: int) -> str:
    if policy.startswith("allkeys"):
        return f"The policy {policy} lets Redis evict budgets and flights too: set maxmemory-policy volatile-lfu."
    if not max_memory_bytes:
        return "Redis has no maxmemory: answers grow until the machine is full. Set one, with volatile-lfu."
    if policy == "noeviction":
        return "With noeviction a full Redis takes no writes, instead of dropping answers: set volatile-lfu."
    return ""
