"""What was flushed from the cache, and until when: an answer that was asked for before is not stored after it.

`<prefix>:flushed` (hash: selection as JSON -> a moment of Redis' clock). A flush writes its moment, which is a little
ahead, waits until it has passed, and then removes the answers that are stored. Whoever stores an answer has read this
hash within the last two seconds, or the answer is not stored (`lua/complete.lua`): so nothing that was asked before the
flush is stored once the flush removes.

No key of one script may be in two places of a cluster: that is why the script does not read the hash itself. It has no
time to live, so that no full Redis evicts it; what is a day old goes with the next flush.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from optimizer_state.answer import Answer
from optimizer_state.selection import Selection
from optimizer_state.store import Store

# What was read is used for so long; `complete.lua` takes twice as much.
FRESH_S = 1.0
# The moment of a flush: later than any read that `complete.lua` still takes, and than what clocks may differ.
AHEAD_MS = 2_500
_AGAIN_S = 0.02
# No request lives longer (`messages.TimeoutMs`).
_LONGEST_REQUEST_MS = 24 * 3600 * 1000

_decoder = msgspec.json.Decoder(Selection)


@dataclass(frozen=True, slots=True)
class Flushed:
    """What was flushed until when, as it was read from Redis at `read_ms` (both on Redis' clock)."""

    read_ms: int = 0
    moments: Mapping[Selection, int] = field(default_factory=dict)

    def until_ms(self, fingerprint: str, answer: Answer) -> int:
        """Until when an answer like this was flushed; -1 if it never was."""
        return max((until for what, until in self.moments.items() if what.takes(fingerprint, answer)), default=-1)


class Flushes:
    """The flushes of one deployment. Every method raises `RedisAway`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key = f"{store.prefix}:flushed"
        self._known = Flushed()
        self._known_at = float("-inf")
        self._reading = asyncio.Lock()

    async def mark(self, what: Selection) -> int:
        """Let no answer be stored that is asked until a moment from now; returns that moment."""
        now_ms = await self._now_ms()
        moments = (await self._read()).moments
        until_ms = now_ms + AHEAD_MS
        await self._store.command("HSET", self._key, msgspec.json.encode(what), until_ms)
        if old := [what for what, until in moments.items() if until < now_ms - _LONGEST_REQUEST_MS]:
            await self._store.command("HDEL", self._key, *map(msgspec.json.encode, old))
        return until_ms

    async def passed(self, until_ms: int) -> None:
        """Wait until a moment has passed: from now on no answer that was asked before it is stored."""
        await asyncio.sleep(max(0, until_ms - await self._now_ms()) / 1000)
        # It is Redis' clock that says when.
        while await self._now_ms() <= until_ms:  # noqa: ASYNC110
            await asyncio.sleep(_AGAIN_S)

    async def current(self) -> Flushed:
        """What was flushed, as it was read at most a second ago."""
        if time.monotonic() - self._known_at > FRESH_S:
            async with self._reading:
                if time.monotonic() - self._known_at > FRESH_S:
                    asked = time.monotonic()
                    self._known, self._known_at = await self._read(), asked
        return self._known

    async def _read(self) -> Flushed:
        read_ms = await self._now_ms()
        found = await self._store.command("HGETALL", self._key)
        return Flushed(read_ms, {_decoder.decode(what): int(until_ms) for what, until_ms in found.items()})

    async def _now_ms(self) -> int:
        seconds, microseconds = await self._store.command("TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000
