"""The fleet's clock: Unix milliseconds of the Redis server, as every process computes them.

Deadlines cross machines, and machines' clocks differ (by an hour, in the worst of our tests). Each process therefore
counts with its own monotonic clock, and learns only the offset from Redis. Before it ever reached Redis it takes its
own wall clock; while Redis is away it keeps the last offset.
"""

import time
from collections.abc import Callable


class FleetClock:
    """Unix milliseconds of the Redis server."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._monotonic = monotonic
        self._offset_ms = (wall() - monotonic()) * 1000

    def now_ms(self) -> int:
        """Now."""
        return int(self._monotonic() * 1000 + self._offset_ms)

    def learn(self, redis_ms: float, asked_s: float, answered_s: float) -> None:
        """Take over Redis' time, read between two instants of the monotonic clock (seconds)."""
        self._offset_ms = redis_ms - (asked_s + answered_s) / 2 * 1000
