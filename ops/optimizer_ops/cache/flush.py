"""Flushing stored answers while the fleet runs.

::

    mark (nothing that was asked before is stored any more) ─► wait until that holds everywhere ─► look at all, remove

Once it returns, no request is answered from what was flushed: it is gone, and no worker stores it again, also if its
call was on its way. A request that joins such a call still gets its answer, which is new.
"""

import time
from collections.abc import Callable

import msgspec

from optimizer_state.entries import Entries
from optimizer_state.flushes import Flushes
from optimizer_state.selection import Entry, Selection
from optimizer_state.store import Store


class FlushTally(msgspec.Struct, kw_only=True):
    """What was removed, or would be (`dry_run`): `answers` out of `of` that were looked at.

    `memory_bytes` is what they took in Redis; 0 where no answer had to be read.
    """

    what: Selection
    older_than_s: int | None
    dry_run: bool
    answers: int = 0
    of: int = 0
    memory_bytes: int = 0
    took_s: float = 0.0


# How many keys of how many were looked at.
Progress = Callable[[int, int], None]


def _silent(_: int, __: int) -> None:
    pass


async def flush(
    store: Store,
    what: Selection,
    *,
    older_than_s: int | None = None,
    dry_run: bool = False,
    progress: Progress = _silent,
) -> FlushTally:
    """Remove the answers that are meant (and were stored so long ago), or count them.

    :raises RedisAway: if Redis goes away; what was removed by then stays removed.
    """
    began = time.monotonic()
    tally = FlushTally(what=what, older_than_s=older_than_s, dry_run=dry_run)
    await store.synchronise_clock()
    # What is on its way is younger than any age: nothing is to be said to workers then.
    marked = not dry_run and older_than_s is None
    asked_until_ms = await _mark(store, what) if marked else None
    stored_until_ms = None if older_than_s is None else store.clock.now_ms() - older_than_s * 1000

    def meant(entry: Entry) -> bool:
        if asked_until_ms is not None and entry.since_ms > asked_until_ms:
            return False
        return (stored_until_ms is None or entry.stored_ms <= stored_until_ms) and what.takes(entry.fingerprint, entry)

    entries = Entries(store)
    looked, keys = 0, await entries.keys_in_redis()
    async for page in entries.pages(what.fingerprint or "", named_only=what.by_name and older_than_s is None):
        chosen = [entry for entry in page.entries if meant(entry)]
        tally.of += len(page.entries)
        tally.memory_bytes += sum(entry.memory for entry in chosen)
        tally.answers += len(chosen)
        if not dry_run:
            await entries.remove([entry.fingerprint for entry in chosen])
        looked += page.looked
        progress(min(looked, keys), keys)
    tally.took_s = round(time.monotonic() - began, 3)
    return tally


async def _mark(store: Store, what: Selection) -> int:
    flushes = Flushes(store)
    until_ms = await flushes.mark(what)
    await flushes.passed(until_ms)
    return until_ms
