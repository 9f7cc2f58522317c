"""Agents that note what became of every request, to be held against the request logs of the backends."""

import asyncio
import json
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.support.fleet import echo
from tests.support.judge import Call

from optimizer_client import AsyncOptimizer, OptimizerError

PENDING = "pending"
ANSWERED = "answered"


@dataclass
class Note:
    """One request: who asked what and when, and how it ended. Times are CLOCK_MONOTONIC, as `mono` in request logs."""

    agent: str
    prompt: str
    timeout_s: float
    priority: str = "standard"
    asked: float = field(default_factory=time.monotonic)
    ended: float = math.inf
    outcome: str = PENDING
    backend: str | None = None
    message: str = ""

    @property
    def question(self) -> str:
        """How a request log names it."""
        return echo(self.prompt).removeprefix("echo:")

    @property
    def left_s(self) -> float:
        """How long before its deadline it ended."""
        return self.asked + self.timeout_s - self.ended


class Notebook:
    """Asks, and keeps a note of each request."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, client: AsyncOptimizer, prompt: str, timeout_s: float, **options: Any) -> asyncio.Task[None]:
        """Ask without waiting for the answer. A wrong answer is noted as `wrong`, an error by its code."""
        note = Note(client.agent, prompt, timeout_s, options.get("priority", "standard"))
        self.notes.append(note)
        task = asyncio.ensure_future(self._asked(client, note, options))
        self._tasks.add(task)
        return task

    async def _asked(self, client: AsyncOptimizer, note: Note, options: dict[str, Any]) -> None:
        try:
            reply = await client.chat(note.prompt, timeout=note.timeout_s, **options)
        except OptimizerError as error:
            note.outcome, note.message = error.code, str(error)
        except asyncio.CancelledError:
            note.outcome = "cancelled"
            raise
        else:
            note.outcome = ANSWERED if reply.text.startswith(echo(note.prompt)) else "wrong"
            note.backend = reply.backend
        finally:
            note.ended = time.monotonic()

    async def all(self) -> None:
        """Wait until every request has ended."""
        await asyncio.gather(*self._tasks)

    async def drop(self) -> None:
        """Cancel what has not ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def save(self, path: Path) -> None:
        """Write the notes to a file, for whoever looks into a failure."""
        path.write_text("".join(json.dumps(asdict(note)) + "\n" for note in self.notes))

    def count(self, outcome: str) -> int:
        """How many requests ended so."""
        return sum(note.outcome == outcome for note in self.notes)


def waits(notes: Iterable[Note], calls: Iterable[Call]) -> list[float]:
    """How long each request waited from being asked until its call reached a backend, in seconds; only those called."""
    reached: dict[str | None, float] = {}
    for call in calls:
        reached.setdefault(call.question, call.start)
    return [reached[note.question] - note.asked for note in notes if note.question in reached]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
