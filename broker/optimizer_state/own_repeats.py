"""The rule of the fleet's retry budget, for the calls of one worker: `lua/retries.lua` without Redis.

Pure: milliseconds of a clock that never jumps are passed in.
"""

import math
from collections import deque

from optimizer_config.model import RetrySettings

# Calls are told of up to so late, and repetitions reach their backend up to so late: calls leave the window that much
# earlier, repetitions that much later. In a short window it is a quarter.
LATE_MS = 500


class OwnRepeats:
    """The calls that one worker began and the repetitions that it made, within the last window."""

    def __init__(self, settings: RetrySettings) -> None:
        self.within_ms = round(settings.within_s * 1000)
        self.late_ms = min(LATE_MS, self.within_ms // 4)
        self._share = settings.share
        # Alone, one is enough to repeat a lone request; `least` for each worker would be a multiple of it.
        self._least = min(1, settings.least)
        self._calls: deque[tuple[float, int]] = deque()
        self._repeats: dict[str, float] = {}

    def called(self, number: int, now_ms: float) -> None:
        """So many calls began."""
        self._calls.append((now_ms, number))
        self._forget(now_ms)

    def repeated(self, reservation: str, now_ms: float) -> None:
        """A repetition was allowed."""
        self._repeats.setdefault(reservation, now_ms)

    def repeats(self, now_ms: float) -> dict[str, float]:
        """The repetitions that still count, and when they were allowed."""
        self._forget(now_ms)
        return dict(self._repeats)

    def wait_ms(self, now_ms: float) -> int:
        """0 if this worker may repeat a call now by what it knows of itself; else in how many ms to ask again."""
        self._forget(now_ms)
        if len(self._repeats) + 1 <= max(self._least, math.floor(self._share * self._begun(now_ms) + 1e-9)):
            return 0
        oldest = min(self._repeats.values(), default=now_ms)
        return max(1, math.ceil(oldest + self.within_ms + self.late_ms - now_ms))

    def _begun(self, now_ms: float) -> int:
        return sum(number for at, number in self._calls if at > now_ms - self.within_ms + self.late_ms)

    def _forget(self, now_ms: float) -> None:
        while self._calls and self._calls[0][0] <= now_ms - self.within_ms:
            self._calls.popleft()
        since = now_ms - self.within_ms - self.late_ms
        self._repeats = {name: at for name, at in self._repeats.items() if at > since}
