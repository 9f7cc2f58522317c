"""What the calls of each lane (the calls of one model) could not start for, and when. Pure, the clock is passed in.

Only the first in line is refused: what the others waited for is known from when that was.
"""

from collections import Counter, defaultdict, deque

# Between two calls that start one after the other the line is refused anew: that is one shortage.
SAME_MS = 100
# Of each lane; what was longer ago is forgotten.
MOST = 256
PLACES = "concurrency"


class Shortages:
    """Remembers the latest shortages of each lane."""

    def __init__(self) -> None:
        # (since, until or 0 while it lasts, of what), oldest first; they do not overlap.
        self._of: defaultdict[str, deque[tuple[int, int, str]]] = defaultdict(lambda: deque(maxlen=MOST))

    def begin(self, lane: str, what: str, now_ms: int) -> None:
        """Nothing of this lane may start, for lack of `what`."""
        known = self._of[lane]
        since_ms = now_ms
        if known:
            began_ms, ended_ms, before = known[-1]
            if before == what and now_ms - (ended_ms or now_ms) <= SAME_MS:
                known.pop()
                since_ms = began_ms
            elif not ended_ms:
                known[-1] = began_ms, now_ms, before
        known.append((since_ms, 0, what))

    def end(self, lane: str, now_ms: int) -> None:
        """Something of this lane may start."""
        known = self._of.get(lane)
        if known and not known[-1][1]:
            began_ms, _, what = known[-1]
            known[-1] = began_ms, now_ms, what

    def longest(self, lane: str, since_ms: int, now_ms: int) -> str | None:
        """What was missing for most of the time since then; None if there was no time.

        What nobody was refused is a free place: the line waits for one without asking.
        """
        if now_ms <= since_ms:
            return None
        missing: Counter[str] = Counter()
        for began_ms, ended_ms, what in self._of.get(lane, ()):
            missing[what] += max(0, min(ended_ms or now_ms, now_ms) - max(began_ms, since_ms))
        missing[PLACES] += now_ms - since_ms - missing.total()
        return missing.most_common(1)[0][0]
