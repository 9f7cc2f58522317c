"""The stored answers, as an operator looks through them: all keys are looked at (`SCAN`), a part at a time.

Nothing is kept beside the answers to find them by: an index would cost every request something for what is done rarely.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import msgspec

from optimizer_state.answer import Answer, unpacked
from optimizer_state.scripts import Step
from optimizer_state.selection import Entry
from optimizer_state.store import Store

_KEYS_AT_ONCE = 2_000
_ENTRIES_AT_ONCE = 250
_BYTES_AT_ONCE = 2_000_000
_MOST_UNLINKED = 1_000

_decoder = msgspec.msgpack.Decoder(list[Entry])


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the look: so many keys of Redis were looked at, and these answers were among them."""

    looked: int
    entries: Sequence[Entry]


class Entries:
    """The stored answers of one deployment. Every method raises `RedisAway`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def keys_in_redis(self) -> int:
        """How many keys this Redis holds in all, of whatever kind: how long a look takes."""
        return int(await self._store.command("DBSIZE"))

    async def pages(self, fingerprint: str = "", *, named_only: bool = False) -> AsyncIterator[Page]:
        """All answers, or those whose fingerprint begins so. What is stored or goes meanwhile may be there or not.

        With `named_only` no answer is read: six times as fast, and nothing is known of them but their fingerprints.
        """
        cursor, pattern = b"0", f"{_escaped(self._store.prefix)}:{{{fingerprint}*}}:answer"
        left = await self.keys_in_redis()
        while True:
            cursor, keys = await self._store.command(
                "SCAN", cursor, "MATCH", pattern, "COUNT", _KEYS_AT_ONCE, "TYPE", "string"
            )
            last = int(cursor) == 0
            looked = left if last else min(left, _KEYS_AT_ONCE)
            left -= looked
            yield Page(looked, [_named(key) for key in keys] if named_only else await self._of(keys))
            if last:
                return

    async def _of(self, keys: Sequence[bytes]) -> list[Entry]:
        found: list[Entry] = []
        while keys:
            part = keys[:_ENTRIES_AT_ONCE]
            step = Step("entries", f"{self._store.prefix}:answers", (_BYTES_AT_ONCE, *part))
            looked, packed = (await self._store.run([step]))[0]
            found += _decoder.decode(packed)
            keys = keys[int(looked) :]
        return found

    async def get(self, fingerprint: str) -> tuple[Entry, Answer] | None:
        """One stored answer, by its whole fingerprint; None if there is none."""
        key = self._key(fingerprint)
        entries = await self._of([key.encode()])
        blob = await self._store.command("GET", key)
        return (entries[0], unpacked(blob)) if entries and blob else None

    async def remove(self, fingerprints: Sequence[str]) -> int:
        """Remove the answers of these fingerprints; returns how many there were."""
        removed = 0
        for start in range(0, len(fingerprints), _MOST_UNLINKED):
            keys = map(self._key, fingerprints[start : start + _MOST_UNLINKED])
            removed += int(await self._store.command("UNLINK", *keys))
        return removed

    def _key(self, fingerprint: str) -> str:
        return f"{self._store.prefix}:{{{fingerprint}}}:answer"


def _named(key: bytes) -> Entry:
    return Entry(fingerprint=key.decode().rpartition("{")[2].partition("}")[0])


def _escaped(prefix: str) -> str:
    """A prefix in a pattern, where some characters would mean others."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^" else letter for letter in prefix)
