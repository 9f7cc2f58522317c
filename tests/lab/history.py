"""What happened in a test, for the checker: what clients asked and got, and which faults were injected when.

It imports nothing of the product. All times are CLOCK_MONOTONIC of this machine, as `mono` in the request logs.
"""

import hashlib
import json
import math
import os
import time
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

PENDING = "pending"
ANSWERED = "answered"
WRONG = "wrong"


def echo(prompt: str) -> str:
    """How the simulator begins its answer to a prompt."""
    return "echo:" + hashlib.sha256(prompt.encode()).hexdigest()[:16]


@dataclass
class Note:
    """One request: who asked what and when, and how it ended.

    `resolutions` counts how often its caller was told an end; `answer` is how the answer's text began. `cache` is the
    mode it asked for. `route` names the backends that could have served it; empty: all.
    """

    agent: str
    prompt: str
    timeout_s: float
    priority: str = "standard"
    asked: float = field(default_factory=time.monotonic)
    ended: float = math.inf
    outcome: str = PENDING
    backend: str | None = None
    message: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    cache: str = "use"
    answer: str | None = None
    resolutions: int = 0
    route: tuple[str, ...] = ()

    @property
    def question(self) -> str:
        """How a request log names it."""
        return echo(self.prompt).removeprefix("echo:")

    @property
    def left_s(self) -> float:
        """How long before its deadline it ended."""
        return self.deadline - self.ended

    @property
    def deadline(self) -> float:
        """When its caller gives up."""
        return self.asked + self.timeout_s

    def answered(self, text: str, backend: str | None) -> None:
        """Its caller got an answer."""
        self.answer = text[: len(echo(""))]
        self.backend = backend
        self.failed(ANSWERED if self.answer == echo(self.prompt) else WRONG)

    def failed(self, code: str, message: str = "") -> None:
        """Its caller got an error. What came first counts; that more came is counted."""
        self.resolutions += 1
        if self.resolutions == 1:
            self.outcome, self.message, self.ended = code, message, time.monotonic()


@dataclass(frozen=True)
class Fault:
    """One injected fault, and what it may excuse.

    It acted between `at` and `until` (never healed: infinite; a kill is a moment, or the span in which it happened).
    `extra_calls` is how many further upstream calls of each question it may explain. `away` are backends that nobody
    could call meanwhile ("*": all of them), so that a deadline may be missed. `callers` are agents that died with it.
    """

    what: str
    at: float
    until: float
    extra_calls: float = 0
    away: tuple[str, ...] = ()
    callers: tuple[str, ...] = ()


@dataclass
class History:
    """The notes and faults of one test. `seed` is what its random decisions came from."""

    notes: list[Note] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    seed: int | None = None
    wall_offset_s: float = field(default_factory=lambda: time.time() - time.monotonic())

    def fault(
        self,
        what: str,
        at: float | None = None,
        until: float | None = None,
        *,
        extra_calls: float = 0,
        away: Iterable[str] = (),
        callers: Iterable[str] = (),
    ) -> Fault:
        """Note a fault, by default one of this moment."""
        begun = time.monotonic() if at is None else at
        ended = max(begun, time.monotonic()) if until is None else until
        made = Fault(what, begun, ended, extra_calls, tuple(away), tuple(callers))
        self.faults.append(made)
        return made

    def count(self, outcome: str) -> int:
        """How many requests ended so."""
        return sum(note.outcome == outcome for note in self.notes)

    def save(self, path: Path) -> None:
        """Write the notes to a file, for whoever looks into a failure."""
        path.write_text("".join(json.dumps(asdict(note)) + "\n" for note in self.notes))


class NoteFile:
    """The notes of a client in a process of its own, line by line, so that they survive its kill -9."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, note: Note) -> None:
        """Write a note as it is now: once when it is asked, once when it has ended."""
        os.write(self._file, (json.dumps(asdict(note)) + "\n").encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    @staticmethod
    def read(path: Path) -> list[Note]:
        """The last that was written of each note; a torn last line is left out."""
        found: dict[str, Note] = {}
        for line in path.read_text().splitlines() if path.exists() else ():
            try:
                fields = json.loads(line)
            except json.JSONDecodeError:
                continue
            note = Note(**{**fields, "route": tuple(fields["route"])})
            found[note.id] = note
        return list(found.values())
