"""How long calls to a backend take. Pure."""

from collections import deque
from statistics import median

KEPT = 32


class Latency:
    """The durations of the last calls, in ms; everything is 0 before anything is known."""

    def __init__(self) -> None:
        self._last_ms: deque[float] = deque(maxlen=KEPT)

    def add(self, ms: float) -> None:
        """A call was answered after so long."""
        self._last_ms.append(ms)

    @property
    def least_ms(self) -> int:
        """The shortest."""
        return int(min(self._last_ms, default=0))

    @property
    def median_ms(self) -> int:
        """What half of them did not exceed."""
        return int(median(self._last_ms)) if self._last_ms else 0

    @property
    def longest_ms(self) -> int:
        """The longest."""
        return int(max(self._last_ms, default=0))
