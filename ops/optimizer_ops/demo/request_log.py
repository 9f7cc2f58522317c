"""What reached a backend, read from the request log that its simulator appends to. Nothing else is believed."""

from bisect import insort
from collections import Counter
from pathlib import Path

import msgspec

from optimizer_ops.demo.backends import SimulatedBackend, Window
from optimizer_ops.demo.windows import in_last_window, most_at_once, most_in_any_window

_ASKED = frozenset({"chat", "messages", "embeddings"})


class Line(msgspec.Struct, frozen=True):
    """A line of the log, as far as it is looked at. `mono` is in seconds, of one clock for all processes."""

    event: str
    pid: int
    seq: int
    mono: float
    op: str = ""
    question: str | None = None
    prompt_tokens: int = 0
    status: int | None = None
    outcome: str | None = None
    completion_tokens: int = 0


class BackendRecord:
    """All calls that one backend saw."""

    def __init__(self, backend: SimulatedBackend) -> None:
        self.backend = backend
        self.arrivals: list[float] = []
        self.endings: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.questions: Counter[str] = Counter()
        self.input_tokens = 0
        self.output_tokens = 0
        self._open: dict[tuple[int, int], Line] = {}

    @property
    def calls(self) -> int:
        """How many calls arrived, refused and failed ones included."""
        return len(self.arrivals)

    @property
    def in_flight(self) -> int:
        """How many calls have not ended."""
        return len(self._open)

    @property
    def errors(self) -> int:
        """How many calls were answered with an error, 429 apart."""
        return sum(count for status, count in self.statuses.items() if status >= 400 and status != 429)

    @property
    def throttled(self) -> int:
        """How many calls were refused with 429."""
        return self.statuses[429]

    @property
    def unanswered(self) -> int:
        """How many calls ended without an answer, because their caller was gone."""
        return len(self.endings) - self.statuses.total()

    def feed(self, line: Line) -> None:
        """Take one line, in the order of the log."""
        key = (line.pid, line.seq)
        if line.event == "start" and line.op in _ASKED:
            self._open[key] = line
            insort(self.arrivals, line.mono)
            if line.question is not None:
                self.questions[line.question] += 1
        elif line.event == "end" and (start := self._open.pop(key, None)) is not None:
            self.endings.append(line.mono)
            if line.status is not None:
                self.statuses[line.status] += 1
            if line.outcome == "answered":
                self.input_tokens += start.prompt_tokens
                self.output_tokens += line.completion_tokens

    def tightest(self, now: float) -> tuple[Window, int]:
        """The window of which the largest share is used now, and how much is used of it."""
        used = [(window, in_last_window(self.arrivals, window.per_s, now)) for window in self.backend.windows]
        return max(used, key=lambda pair: pair[1] / pair[0].count)

    def most(self, window: Window) -> int:
        """The most calls in any such window since the beginning."""
        return most_in_any_window(self.arrivals, window.per_s)

    def most_at_once(self) -> int:
        """The most calls under way at one moment."""
        return most_at_once(self.arrivals, self.endings)


class LogTail:
    """Reads what was appended since the last look. A line that is still being written waits for the next look."""

    def __init__(self, path: Path, record: BackendRecord) -> None:
        self._path = path
        self._record = record
        self._offset = 0
        self._decoder = msgspec.json.Decoder(Line)

    def read(self) -> None:
        """Feed the record with all new lines. A log that does not exist yet is empty."""
        try:
            with self._path.open("rb") as log:
                log.seek(self._offset)
                whole, newline, _ = log.read().rpartition(b"\n")
        except FileNotFoundError:
            return
        self._offset += len(whole) + len(newline)
        for line in whole.splitlines():
            self._record.feed(self._decoder.decode(line))
