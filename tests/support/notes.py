"""Agents that note what became of every request, to be held against the request logs of the backends."""

import asyncio
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.lab.history import ANSWERED, History, Note
from tests.support.judge import Call

from optimizer_client import AsyncOptimizer, OptimizerError

CANCELLED = "cancelled"

__all__ = ["ANSWERED", "CANCELLED", "Note", "Notebook", "percentile", "waits"]


class Notebook:
    """Asks, and keeps a note of each request."""

    def __init__(self, history: History | None = None) -> None:
        self.history = history or History()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def notes(self) -> list[Note]:
        """What was asked so far."""
        return self.history.notes

    def ask(self, client: AsyncOptimizer, prompt: str, timeout_s: float, **options: Any) -> asyncio.Task[None]:
        """Ask without waiting for the answer. A wrong answer is noted as `wrong`, an error by its code."""
        note = Note(client.agent, prompt, timeout_s, options.get("priority", "standard"))
        note.id = options.setdefault("request_id", note.id)
        note.cache = options.get("cache", note.cache)
        self.notes.append(note)
        task = asyncio.ensure_future(self._asked(client, note, options))
        self._tasks.add(task)
        return task

    async def _asked(self, client: AsyncOptimizer, note: Note, options: dict[str, Any]) -> None:
        try:
            reply = await client.chat(note.prompt, timeout=note.timeout_s, **options)
        except OptimizerError as error:
            note.failed(error.code, str(error))
        except asyncio.CancelledError:
            note.failed(CANCELLED)
            raise
        else:
            note.answered(reply.text, reply.backend)

    async def all(self, timeout_s: float | None = None) -> None:
        """Wait until every request has ended, or for so long: what is pending then has no end."""
        if self._tasks:
            ended, _ = await asyncio.wait(self._tasks, timeout=timeout_s)
            await asyncio.gather(*ended)

    async def drop(self) -> None:
        """Cancel what has not ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def save(self, path: Path) -> None:
        """Write the notes to a file, for whoever looks into a failure."""
        self.history.save(path)

    def count(self, outcome: str) -> int:
        """How many requests ended so."""
        return self.history.count(outcome)


def waits(notes: Iterable[Note], calls: Iterable[Call]) -> list[float]:
    """How long each request waited from being asked until its call reached a backend, in seconds; only those called."""
    reached: dict[str | None, float] = {}
    for call in calls:
        reached.setdefault(call.question, call.start)
    return [reached[note.question] - note.asked for note in notes if note.question in reached]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
