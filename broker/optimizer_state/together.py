"""Round trips shared by those who ask at the same time: while one is on its way, the next is gathered."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class _Asked(Generic[Item]):
    items: Sequence[Item]
    answers: asyncio.Future[list[Any]]


class Together(Generic[Item]):
    """Hands what is asked to `work` in one piece; it answers each item, in order.

    An error of `work` goes to everybody it worked for, and to those who have waited behind it: whoever is slow once is
    not asked again at the cost of the same callers.
    """

    def __init__(self, work: Callable[[list[Item]], Awaitable[list[Any]]]) -> None:
        self._work = work
        self._gathered: list[_Asked[Item]] = []
        self._working: asyncio.Task[None] | None = None

    async def run(self, items: Sequence[Item]) -> list[Any]:
        """The answers to some items. To be cancelled here does not stop the work: it is others' too."""
        asked = _Asked(items, asyncio.get_running_loop().create_future())
        self._gathered.append(asked)
        if self._working is None:
            self._working = asyncio.ensure_future(self._run())
        return await asked.answers

    async def idle(self) -> None:
        """Wait until nothing is on its way, also what nobody waits for any more."""
        if self._working is not None:
            await asyncio.wait([self._working])

    async def _run(self) -> None:
        try:
            while self._gathered:
                batch, self._gathered = self._gathered, []
                await self._answer(batch)
        finally:
            self._working = None

    async def _answer(self, batch: list[_Asked[Item]]) -> None:
        try:
            answers = iter(await self._work([item for asked in batch for item in asked.items]))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is its callers'
            behind, self._gathered = self._gathered, []
            for asked in (*batch, *behind):
                if not asked.answers.done():
                    asked.answers.set_exception(error)
            return
        for asked in batch:
            own = [next(answers) for _ in asked.items]
            if not asked.answers.done():
                asked.answers.set_result(own)
