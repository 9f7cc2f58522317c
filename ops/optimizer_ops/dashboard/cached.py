"""Answers that are kept for a moment, so that many viewers cost one look."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

_KEPT = 256
# A question is asked again after a second, or after as many times as long as the answer took: never all the time.
FRESH_S = 1.0
_REST = 3.0


class Cached:
    """Asks each question once at a time, and again when its answer is a second old. Errors are kept as answers are."""

    def __init__(self) -> None:
        self._answers: OrderedDict[Hashable, _Answer] = OrderedDict()

    async def get(self, key: Hashable, ask: Callable[[], Awaitable[T]], *, fresh_s: float = FRESH_S) -> T:
        """The answer to the question of this name, at most so old (seconds); raises what asking raised."""
        answer = self._answers.get(key)
        if answer is None or answer.until <= time.monotonic():
            answer = self._answers[key] = _Answer(ask, fresh_s)
            self._answers.move_to_end(key)
            while len(self._answers) > _KEPT:
                self._answers.popitem(last=False)
        # Who asked first may leave; the others still wait for the answer.
        given: T = await asyncio.shield(answer.task)
        return given

    def forget(self) -> None:
        """Ask everything anew: something was changed."""
        self._answers.clear()


class _Answer:
    """An answer that comes or is there, and until when it is good."""

    def __init__(self, ask: Callable[[], Awaitable[Any]], fresh_s: float) -> None:
        self.until = float("inf")
        self.task = asyncio.ensure_future(self._asked(ask, fresh_s))
        # If all who asked have left, nobody else looks at the error.
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _asked(self, ask: Callable[[], Awaitable[T]], fresh_s: float) -> T:
        began = time.monotonic()
        try:
            return await ask()
        finally:
            now = time.monotonic()
            self.until = now + max(fresh_s, _REST * (now - began))
