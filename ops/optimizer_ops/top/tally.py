"""What events tell, as rates over the last seconds. Pure: the clock (seconds that only go forward) is passed in."""

from collections import Counter, deque
from collections.abc import Callable
from typing import Literal

import msgspec

from optimizer_wire import events
from optimizer_wire.events import Event

SPAN_S = 10.0
FEED = 50
Kind = Literal["hit", "collapsed", "miss", "started", "answered", "failed", "error"]
_KINDS: dict[str, Kind] = {
    events.CACHE_HIT: "hit",
    events.COLLAPSED: "collapsed",
    events.CACHE_MISS: "miss",
    events.CALL_STARTED: "started",
    events.CALL_FINISHED: "answered",
    events.CALL_FAILED: "failed",
    events.ERROR: "error",
}


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """So many a second, over the last `SPAN_S` seconds. `hits` and `collapsed` are requests without a call."""

    requests: float = 0.0
    hits: float = 0.0
    collapsed: float = 0.0
    calls: float = 0.0
    answered: float = 0.0
    failed: float = 0.0
    errors: float = 0.0


class Tally:
    """Counts events for as long as they count, and keeps the latest."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._since = now()
        self._seen: deque[tuple[float, Kind, str, str]] = deque()
        self.latest: deque[Event] = deque(maxlen=FEED)

    def add(self, event: Event) -> None:
        """An event has come."""
        self.latest.append(event)
        kind = _KINDS.get(event.type)
        if kind == "hit" and event.work_id is not None:
            return  # found by a worker: that request was counted when it missed
        if kind is not None:
            self._seen.append((self._now(), kind, event.agent or "", event.backend or ""))

    def all(self) -> Rates:
        """The rates of the whole fleet."""
        return self._rates(Counter(kind for _, kind, _, _ in self._fresh()))

    def by_agent(self) -> dict[str, Rates]:
        """The rates of each agent, the busiest first."""
        rates = self._by(2)
        return dict(sorted(rates.items(), key=lambda item: (-item[1].requests, -item[1].calls, item[0])))

    def by_backend(self) -> dict[str, Rates]:
        """The rates of each backend."""
        return self._by(3)

    def _by(self, part: Literal[2, 3]) -> dict[str, Rates]:
        counts: dict[str, Counter[str]] = {}
        for seen in self._fresh():
            if seen[part]:
                counts.setdefault(seen[part], Counter())[seen[1]] += 1
        return {name: self._rates(count) for name, count in counts.items()}

    def _fresh(self) -> deque[tuple[float, Kind, str, str]]:
        while self._seen and self._seen[0][0] < self._now() - SPAN_S:
            self._seen.popleft()
        return self._seen

    def _rates(self, count: Counter[str]) -> Rates:
        # What has listened for less than the span has seen less.
        span_s = min(SPAN_S, max(1.0, self._now() - self._since))
        return Rates(
            requests=(count["hit"] + count["collapsed"] + count["miss"]) / span_s,
            hits=count["hit"] / span_s,
            collapsed=count["collapsed"] / span_s,
            calls=count["started"] / span_s,
            answered=count["answered"] / span_s,
            failed=count["failed"] / span_s,
            errors=count["error"] / span_s,
        )
