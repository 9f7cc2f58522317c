"""Stored answers, looked into: one by its fingerprint, or those that are meant."""

from collections.abc import Callable

import msgspec

from optimizer_state.answer import Answer
from optimizer_state.entries import Entries
from optimizer_state.selection import Entry, Selection
from optimizer_state.store import Store

_FULL = 32


class Found(msgspec.Struct, kw_only=True):
    """The latest stored of those that are meant; `of` is how many there are."""

    entries: list[Entry]
    of: int


class Ambiguous(Exception):
    """Several fingerprints begin so; the message says how many."""


async def one(store: Store, fingerprint: str) -> tuple[Entry, Answer] | None:
    """A stored answer by its fingerprint, or by the beginning of it.

    :raises Ambiguous: if several begin so.
    :raises RedisAway: if Redis is away.
    """
    await store.synchronise_clock()
    entries = Entries(store)
    if len(fingerprint) == _FULL:
        return await entries.get(fingerprint)
    found = [entry async for page in entries.pages(fingerprint) for entry in page.entries]
    if len(found) > 1:
        raise Ambiguous(f"{len(found)} fingerprints begin with {fingerprint}: give more of it.")
    return await entries.get(found[0].fingerprint) if found else None


async def several(
    store: Store, what: Selection, *, limit: int, progress: Callable[[int, int], None] = lambda _, __: None
) -> Found:
    """The answers that are meant, the latest stored first.

    :raises RedisAway: if Redis is away.
    """
    await store.synchronise_clock()
    entries = Entries(store)
    looked, keys = 0, await entries.keys_in_redis()
    kept: list[Entry] = []
    of = 0
    async for page in entries.pages(what.fingerprint or ""):
        chosen = [entry for entry in page.entries if what.takes(entry.fingerprint, entry)]
        of += len(chosen)
        kept = sorted((*kept, *chosen), key=lambda entry: -entry.stored_ms)[:limit]
        looked += page.looked
        progress(min(looked, keys), keys)
    return Found(entries=kept, of=of)
