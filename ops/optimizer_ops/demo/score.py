"""What the agents got, and what the events told. Pure: times are passed in.

Each answer is checked: the simulators answer with a mark that only the right question has.
"""

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field

import msgspec

from optimizer_client import Reply
from optimizer_ops.demo.backends import EMBEDDING_SIZE
from optimizer_ops.demo.questions import Question
from optimizer_ops.simulator.answers import embeddings
from optimizer_ops.simulator.question import echo_of, read_embed
from optimizer_wire import events
from optimizer_wire.events import Event

_FEED_LENGTH = 40
_TOLERANCE = 1e-6


def is_right(question: Question, reply: Reply) -> bool:
    """Whether the answer is the one to this question."""
    if question.op == "chat":
        return reply.text.split(" ", 1)[0] == f"echo:{echo_of(question.text)}"
    body = msgspec.json.encode({"model": "any", "input": [question.text]})
    expected = embeddings(read_embed(body), EMBEDDING_SIZE)["data"][0]["embedding"]
    got = reply.embeddings
    return (
        len(got) == 1
        and len(got[0]) == len(expected)
        and all(abs(left - right) < _TOLERANCE for left, right in zip(got[0], expected, strict=True))
    )


@dataclass(slots=True)
class FeedLine:
    """Something that happened, `times` times in a row, the last time at `at_s` seconds."""

    at_s: float
    text: str
    style: str
    times: int = 1


class Feed:
    """The last things that happened. The same thing again counts up its line."""

    def __init__(self) -> None:
        self._lines: deque[FeedLine] = deque(maxlen=_FEED_LENGTH)

    def add(self, at_s: float, text: str, style: str = "") -> None:
        """Note one more thing; `style` is a colour."""
        for line in self._lines:
            if line.text == text and at_s - line.at_s < 10:
                line.at_s = at_s
                line.times += 1
                self._lines.remove(line)
                self._lines.append(line)
                return
        self._lines.append(FeedLine(at_s, text, style))

    def last(self, count: int) -> list[FeedLine]:
        """The last lines, oldest first."""
        return list(self._lines)[-count:] if count > 0 else []


@dataclass(slots=True)
class Score:
    """The counts of one run. Latencies are milliseconds as the agents saw them, by the source of the answer.

    `headline` is the news that was asked about last.
    """

    asked: Counter[Question] = field(default_factory=Counter)
    headline: Question | None = None
    latencies_ms: dict[str, list[float]] = field(default_factory=lambda: {"backend": [], "cache": [], "collapsed": []})
    wrong: list[Question] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    cost_usd: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    unpriced: int = 0
    feed: Feed = field(default_factory=Feed)
    _busy: Counter[str] = field(default_factory=Counter)
    _shared: Counter[Question] = field(default_factory=Counter)
    _price: dict[Question, float] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """How many requests were made."""
        return self.asked.total()

    @property
    def repeats_share(self) -> float:
        """The share of requests that asked what was asked before: what could be saved at best."""
        return 1.0 - len(self.asked) / self.requests if self.asked else 0.0

    @property
    def answered(self) -> int:
        """How many of them got an answer, wrong ones included."""
        return sum(len(times) for times in self.latencies_ms.values())

    @property
    def waiting(self) -> int:
        """How many have neither an answer nor an error."""
        return self.requests - self.answered - self.errors.total()

    def count(self, source: str) -> int:
        """How many answers came from there: `cache`, `collapsed` or `backend`."""
        return len(self.latencies_ms[source])

    @property
    def all_latencies_ms(self) -> list[float]:
        """The latencies of all answers."""
        return [ms for times in self.latencies_ms.values() for ms in times]

    @property
    def total_cost_usd(self) -> float:
        """What the calls cost that were made."""
        return sum(self.cost_usd.values())

    @property
    def saved_cost_usd(self) -> float:
        """What the shared answers would have cost, each at the price of the call that gave it."""
        return sum(times * self._price.get(question, 0.0) for question, times in self._shared.items())

    def ask(self, question: Question, *, news: bool = False) -> None:
        """A request is made; with `news`, many others are asking the same."""
        self.asked[question] += 1
        if news:
            self.headline = question

    def answer(self, question: Question, reply: Reply, latency_ms: float) -> None:
        """A request got its answer."""
        self.latencies_ms.setdefault(reply.source, []).append(latency_ms)
        if reply.shared:
            self._shared[question] += 1
        elif reply.cost_usd is not None:
            self._price[question] = reply.cost_usd
        if not is_right(question, reply):
            self.wrong.append(question)

    def fail(self, code: str) -> None:
        """A request ended with an error."""
        self.errors[code] += 1

    def calls_of(self, worker: str) -> int:
        """How many calls a worker has begun and not ended, by its events; `worker` is their source."""
        return self._busy[worker]

    def hear(self, event: Event, at_s: float) -> None:
        """Take an event: who is busy, what it cost, and what is worth telling."""
        if event.type == events.CALL_STARTED:
            self._busy[event.source] += 1
        elif event.type in {events.CALL_FINISHED, events.CALL_FAILED}:
            self._busy[event.source] -= 1
            self._pay(event)
        else:
            self._tell(event, at_s)

    def _pay(self, event: Event) -> None:
        if event.cost_usd is not None:
            self.cost_usd[event.backend or ""] += event.cost_usd
        elif event.type == events.CALL_FINISHED:
            self.unpriced += 1

    def _tell(self, event: Event, at_s: float) -> None:
        if event.type == events.RETRY:
            to = (event.message or "").removeprefix("next: ")
            self.feed.add(at_s, f"{event.backend}: {event.outcome}, next {to}", "yellow")
        elif event.type == events.RATE_LIMIT and event.outcome == "waiting":
            self.feed.add(at_s, f"{event.backend}: budget used up, calls wait", "cyan")
        elif event.type == events.RATE_LIMIT:
            self.feed.add(at_s, f"{event.backend}: refused with {event.status}", "red")
        elif event.type == events.ERROR:
            self.feed.add(at_s, f"{event.backend or 'coordinator'}: {event.error_code}", "red")
        elif event.type == events.WORKER_STARTED:
            self.feed.add(at_s, f"{event.backend}: a worker is ready", "green")


def percentile(values: list[float], share: float) -> float | None:
    """The nearest-rank percentile, for example of 0.95; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, -(-len(ordered) * round(share * 1000) // 1000) - 1))]
