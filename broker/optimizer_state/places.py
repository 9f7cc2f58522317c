"""Where calls stand in the lines of their workers, told only while somebody asks.

Who asks leaves a mark; the workers look for it when they exchange their outlooks, and then tell the places of what they
hold, until nobody has asked for a while. So a fleet in which nobody asks pays for one look.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from optimizer_state.presence import Presence
from optimizer_state.scripts import Step
from optimizer_state.store import Store

ASKED_MS = 10_000
TOLD_MS = 2_000
# Beyond these a worker tells nothing: one command must stay small.
MOST_TOLD = 2_000


@dataclass(frozen=True, slots=True)
class Place:
    """How many calls of its worker are expected to start before a call, and when its own is (the fleet's clock)."""

    position: int
    start_ms: int


class Places:
    """The places of one deployment. Raises `RedisAway`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked = f"{store.prefix}:places:asked"

    def _key(self, presence: Presence) -> str:
        return f"{self._store.prefix}:places:{presence.backend} {presence.worker}"

    async def ask(self) -> None:
        """Have the workers tell."""
        await self._store.command("SET", self._asked, 1, "PX", ASKED_MS)

    async def wanted(self) -> bool:
        """Whether somebody asks."""
        return bool(await self._store.command("EXISTS", self._asked))

    async def tell(self, presence: Presence, places: Mapping[str, Place]) -> None:
        """Tell where the calls of a worker stand, by fingerprint."""
        words: list[str | int] = [TOLD_MS]
        for fingerprint, place in list(places.items())[:MOST_TOLD]:
            words += [fingerprint, f"{place.position} {place.start_ms}"]
        await self._store.run([Step("places", self._key(presence), words)])

    async def of(self, fingerprint: str, workers: Iterable[Presence]) -> tuple[Presence, Place] | None:
        """Where a call stands: with the worker that starts it first, if several hold a copy."""
        asked = list(workers)
        steps = [Step("place", self._key(presence), (fingerprint,)) for presence in asked]
        said = await self._store.run(steps) if steps else []
        told = [(presence, _place(words)) for presence, (_, words) in zip(asked, said, strict=True) if words]
        return min(told, key=lambda each: each[1].start_ms, default=None)


def _place(words: bytes) -> Place:
    position, start_ms = words.split()
    return Place(int(position), int(start_ms))
