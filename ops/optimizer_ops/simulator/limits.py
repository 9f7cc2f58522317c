"""What a provider counts and when it refuses. Pure: the time, in seconds of any monotonic clock, is passed in."""

import math
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from optimizer_ops.simulator.spec import Dimension, Limit, Limits

# Slack of a comparison between sums of floats: a nanosecond, far below what any clock here resolves.
_EPSILON_S = 1e-9


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request was refused: the limit (None: concurrency), its use, and when asking again may help, in seconds."""

    limit: Limit | None
    used: int
    wanted: int
    retry_after_s: float

    @property
    def of_tokens(self) -> bool:
        """Whether a token limit refused it."""
        return self.limit is not None and self.limit.of != "requests"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a request uses of the limits."""

    input_tokens: int
    output_tokens: int

    def of(self, dimension: Dimension) -> int:
        """The part that a limit of this dimension counts."""
        match dimension:
            case "requests":
                return 1
            case "input":
                return self.input_tokens
            case "output":
                return self.output_tokens
            case "tokens":
                return self.input_tokens + self.output_tokens


class Window(Protocol):
    """One limit and its use so far."""

    limit: Limit

    def used(self, now: float) -> int:
        """How much is used at `now`."""

    def wait_s(self, now: float, amount: int) -> float:
        """Seconds until `amount` more is allowed; 0 if now, infinity if never."""

    def take(self, now: float, amount: int) -> None:
        """Use `amount`."""

    def full_in_s(self, now: float) -> float:
        """Seconds until nothing is used any more, what providers call the reset."""


class SlidingWindow:
    """Exact: what was used at t counts in [t, t + per_s)."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._uses: deque[tuple[float, int]] = deque()
        self._sum = 0

    def used(self, now: float) -> int:
        """How much was used in the last `per_s` seconds."""
        uses = self._uses
        while uses and now - uses[0][0] >= self.limit.per_s:
            self._sum -= uses.popleft()[1]
        return self._sum

    def wait_s(self, now: float, amount: int) -> float:
        """Seconds until enough of the oldest uses have left the window."""
        excess = self.used(now) + amount - self.limit.count
        if excess <= 0:
            return 0.0
        for at, used in self._uses:
            excess -= used
            if excess <= 0:
                return max(at + self.limit.per_s - now, _EPSILON_S)
        return math.inf

    def take(self, now: float, amount: int) -> None:
        """Use `amount` at `now`."""
        self._uses.append((now, amount))
        self._sum += amount

    def full_in_s(self, now: float) -> float:
        """Seconds until the newest use leaves the window."""
        return self._uses[-1][0] + self.limit.per_s - now if self.used(now) else 0.0


class TokenBucket:
    """A bucket of `count` that refills evenly over `per_s`; full at first."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._level = float(limit.count)
        self._at: float | None = None

    def _refill(self, now: float) -> float:
        if self._at is not None:
            self._level = min(self.limit.count, self._level + (now - self._at) * self._rate())
        self._at = now
        return self._level

    def _rate(self) -> float:
        return self.limit.count / self.limit.per_s

    def used(self, now: float) -> int:
        """How much is missing from the bucket, in whole pieces."""
        return math.ceil(self.limit.count - self._refill(now) - _EPSILON_S)

    def wait_s(self, now: float, amount: int) -> float:
        """Seconds until the bucket holds `amount`."""
        if amount > self.limit.count:
            return math.inf
        missing = amount - self._refill(now)
        return missing / self._rate() if missing > _EPSILON_S else 0.0

    def take(self, now: float, amount: int) -> None:
        """Take `amount` out."""
        self._level = self._refill(now) - amount

    def full_in_s(self, now: float) -> float:
        """Seconds until the bucket is full."""
        return (self.limit.count - self._refill(now)) / self._rate()


class Limiter:
    """All limits of one backend. A refused request uses nothing."""

    def __init__(self, limits: Limits) -> None:
        make = SlidingWindow if limits.algorithm == "sliding_window" else TokenBucket
        self.windows: tuple[Window, ...] = tuple(make(limit) for limit in limits.windows())
        self.concurrency = limits.concurrency

    def admit(self, now: float, cost: Cost, in_flight: int) -> Refusal | None:
        """Take what the request needs of every limit, or say which one refuses it. `in_flight` counts the others."""
        if self.concurrency is not None and in_flight >= self.concurrency:
            return Refusal(limit=None, used=in_flight, wanted=1, retry_after_s=1.0)
        worst: Refusal | None = None
        for window in self.windows:
            amount = cost.of(window.limit.of)
            wait_s = window.wait_s(now, amount)
            if wait_s > 0 and (worst is None or wait_s > worst.retry_after_s):
                worst = Refusal(window.limit, window.used(now), amount, wait_s)
        if worst is None:
            for window in self.windows:
                window.take(now, cost.of(window.limit.of))
        return worst
