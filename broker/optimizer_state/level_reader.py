"""Looking at the levels of backends. It changes nothing, so that anybody may look as often as he likes."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from optimizer_config.model import Backend
from optimizer_state.estimates import OTHER, Lesson
from optimizer_state.fleet_view import Look, look_of
from optimizer_state.learned import learned_key, lesson_of
from optimizer_state.levels import Levels, levels_of
from optimizer_state.outlook import Outlook
from optimizer_state.presence import ALIVE_MS, Roster
from optimizer_state.scripts import Step, backend_key
from optimizer_state.store import Store
from optimizer_state.windows import windows_of

_NEVER_HALVED = 2**53


class LevelsReader:
    """Looks at backends of one deployment. Raises `RedisAway`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._roster = Roster(store)

    async def of(self, backends: Sequence[Backend]) -> dict[str, Levels]:
        """The levels of each of these backends, by name, in one round trip (and another to learn Redis' time)."""
        await self._store.synchronise_clock()
        budgets, workers, outlooks = await asyncio.gather(
            self._budgets(backends), self._roster.alive(), self._roster.outlooks()
        )
        alive = Counter(presence.backend for presence in workers)
        return {
            levels.backend: replace(
                levels, workers=alive[levels.backend], outlook=_fresh(outlooks.get(levels.backend), levels.at_ms)
            )
            for levels in budgets
        }

    async def _budgets(self, backends: Sequence[Backend]) -> list[Levels]:
        models = [(backend, model) for backend in backends for model in (*backend.models, OTHER)]
        looks = [self._look(backend) for backend in backends]
        replies = await self._store.run([*looks, *(self._lesson(backend, model) for backend, model in models)])
        learned: dict[str, dict[str, Lesson]] = {backend.name: {} for backend in backends}
        for (backend, model), reply in zip(models, replies[len(looks) :], strict=True):
            lesson = lesson_of(reply)
            if lesson.calls:
                learned[backend.name][model] = lesson
        return [
            replace(levels_of(backend, _look_of(backend, reply)), learned=learned[backend.name])
            for backend, reply in zip(backends, replies, strict=False)
        ]

    def _look(self, backend: Backend) -> Step:
        key = backend_key(self._store.prefix, backend.name)
        return Step("look", key, ("", *(limit.name for limit in backend.limits)))

    def _lesson(self, backend: Backend, model: str) -> Step:
        # With nothing to add up and nothing to halve, this script only reads.
        return Step("learn", learned_key(self._store.prefix, backend.name, model), (_NEVER_HALVED, 0))


def _look_of(backend: Backend, reply: list[Any]) -> Look:
    return look_of(reply, windows_of(backend.limits), backend.concurrency)


def _fresh(outlook: Outlook | None, now_ms: int) -> Outlook | None:
    return outlook if outlook and outlook.told_ms > now_ms - ALIVE_MS else None
