"""What a worker decides by while Redis is away: its share, and what it knows of all that stops calls.

Every look at Redis is copied here, so that a pause, a block or an open breaker outlives the connection. Pure: the
fleet's clock (milliseconds) is passed in.
"""

from collections.abc import Mapping

from optimizer_config.model import Backend
from optimizer_state.breaker import LocalBreaker
from optimizer_state.fleet_view import Look
from optimizer_state.grants import Ask, Wait
from optimizer_state.local_share import LocalShare
from optimizer_state.windows import amounts_by_window, windows_of

# What other workers had in flight at the last look is taken to have ended after this: nobody can say it any more.
OTHERS_END_MS = 10_000


class Alone:
    """A worker on its own."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._windows = windows_of(backend.limits)
        self.look: Look | None = None
        self._others = 0
        self.share = LocalShare(self._windows, backend.max_workers)
        self.breaker = LocalBreaker(backend.breaker)
        self.blocked_until_ms = 0
        self.blocked_reason = ""

    def learn(self, look: Look, in_flight: int = 0, *, complete: bool = True) -> None:
        """Redis was looked at, while this worker had so many calls in flight.

        `complete` unless others may have used what they have not told yet: then the share stays what it was, since what
        they used is not in this look.
        """
        self.look = look
        self._others = max(0, look.view.calls - in_flight)
        if complete:
            self.share.learn(look)
        self.breaker.learn(look.open_until_ms, look.failures)
        self.blocked_until_ms, self.blocked_reason = look.view.blocked_until_ms, look.view.blocked_reason

    def block(self, until_ms: int, reason: str) -> None:
        """The backend said that nobody may start a call before that time."""
        if until_ms > self.blocked_until_ms:
            self.blocked_until_ms, self.blocked_reason = until_ms, reason

    def wait(self, ask: Ask, in_flight: int, workers: int, now_ms: int) -> Wait | None:
        """Why a call may not start now; None if it may. The worker has so many calls in flight."""
        if self.look and self.look.view.mode == "paused":
            return Wait(500, "paused")
        for ms, word in ((self.blocked_until_ms - now_ms, "blocked"), (self.breaker.wait_ms(now_ms), "breaker")):
            if ms > 0:
                return Wait(ms, word)
        return self.wait_for_share(ask, in_flight, workers, now_ms)

    def wait_for_share(self, ask: Ask, in_flight: int, workers: int, now_ms: int) -> Wait | None:
        """Why a call does not fit into this worker's share now; None if it does."""
        concurrency = self.look.view.concurrency if self.look else self._backend.concurrency
        if in_flight >= max(1, concurrency // self.share.reckoned(workers)):
            return Wait(50, "concurrency")
        # Others may be above their share until calls of theirs end that began before.
        if self.look and in_flight + self._others >= concurrency and now_ms < self.look.view.seen_ms + OTHERS_END_MS:
            return Wait(50, "concurrency")
        ms = self.share.wait_ms(self.amounts(ask), workers, now_ms)
        return Wait(ms, "own share") if ms else None

    def amounts(self, ask: Ask) -> Mapping[str, int]:
        """What a call takes of each limit."""
        return amounts_by_window(self._windows, ask.model, ask.amounts)
