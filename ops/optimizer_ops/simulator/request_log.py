"""The append-only record of what reached a backend, and when. The judge of windows and calls reads nothing else.

One JSON object a line: a `start` line when a request has arrived, an `end` line when its answer is about to be sent or
its client went away. Each line is one unbuffered write, so the file tells the truth whoever is killed. There is no
prompt text in it.
"""

import os
from collections import deque
from pathlib import Path
from typing import Any

import msgspec

_KEPT = 200_000
"""How many requests are kept in memory; the file keeps all."""


class Entry(msgspec.Struct, kw_only=True):
    """One request. Times: `at` and `ended_at` are Unix seconds, `mono` and `ended_mono` CLOCK_MONOTONIC seconds.

    `call_id` is what its sender calls it (`X-Client-Request-Id`).
    """

    seq: int
    pid: int
    backend: str
    at: float
    mono: float
    op: str
    call_id: str | None = None
    model: str | None = None
    body_sha: str | None = None
    question: str | None = None
    stream: bool = False
    prompt_tokens: int = 0
    in_flight: int = 0
    ended_at: float | None = None
    ended_mono: float | None = None
    status: int | None = None
    outcome: str | None = None
    completion_tokens: int = 0


class _Start(msgspec.Struct, frozen=True):
    event: str
    pid: int
    seq: int
    backend: str
    at: float
    mono: float
    op: str
    model: str | None
    body_sha: str | None
    question: str | None
    stream: bool
    prompt_tokens: int
    in_flight: int
    call_id: str | None


class _End(msgspec.Struct, frozen=True):
    event: str
    pid: int
    seq: int
    backend: str
    at: float | None
    mono: float | None
    status: int | None
    outcome: str | None
    completion_tokens: int


class RequestLog:
    """Entries of one backend in memory and, if a path is given, lines in a file that several backends may share."""

    def __init__(self, path: Path | None = None) -> None:
        self.entries: deque[Entry] = deque(maxlen=_KEPT)
        self._encoder = msgspec.json.Encoder()
        self._file: int | None = None
        if path is not None:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def start(self, entry: Entry) -> None:
        """Record that a request arrived."""
        self.entries.append(entry)
        if self._file is not None:
            e = entry
            who = (e.pid, e.seq, e.backend, e.at, e.mono, e.op, e.model, e.body_sha, e.question)
            self._write(_Start("start", *who, e.stream, e.prompt_tokens, e.in_flight, e.call_id))

    def end(self, entry: Entry) -> None:
        """Record how it ended; the entry holds it already."""
        if self._file is not None:
            e = entry
            how = (e.ended_at, e.ended_mono, e.status, e.outcome, e.completion_tokens)
            self._write(_End("end", e.pid, e.seq, e.backend, *how))

    def close(self) -> None:
        """Close the file; memory stays."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def since(self, seq: int) -> list[Entry]:
        """The entries in memory after number `seq`."""
        return [entry for entry in self.entries if entry.seq > seq]

    def stats(self) -> dict[str, Any]:
        """Counts over what is in memory."""
        statuses: dict[str, int] = {}
        outcomes: dict[str, int] = {}
        calls: dict[str, int] = {}
        for entry in self.entries:
            outcome = entry.outcome or "in_flight"
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
            if entry.status is not None:
                statuses[str(entry.status)] = statuses.get(str(entry.status), 0) + 1
            if entry.question is not None:
                calls[entry.question] = calls.get(entry.question, 0) + 1
        return {
            "requests": len(self.entries),
            "statuses": statuses,
            "outcomes": outcomes,
            "questions": len(calls),
            "most_calls_of_a_question": max(calls.values(), default=0),
            "max_in_flight": max((entry.in_flight for entry in self.entries), default=0),
            "prompt_tokens": sum(entry.prompt_tokens for entry in self.entries),
            "completion_tokens": sum(entry.completion_tokens for entry in self.entries),
        }

    def _write(self, line: msgspec.Struct) -> None:
        if self._file is not None:
            os.write(self._file, self._encoder.encode(line) + b"\n")
