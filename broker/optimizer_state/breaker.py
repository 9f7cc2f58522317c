"""A backend's circuit breaker as one worker knows it, for the time while Redis is away: the rules of `lua/settle.lua`.

While Redis is there it decides, and every look at it is copied here. Pure: the fleet's clock (milliseconds) is passed
in.
"""

from collections.abc import Iterable

from optimizer_config.model import BreakerSettings
from optimizer_state.grants import BreakerChange, BreakerState, Health


def state_of(open_until_ms: int | None, now_ms: float) -> BreakerState:
    """What a breaker that is open until then lets through: everything, nothing, or one call."""
    if open_until_ms is None:
        return "closed"
    return "open" if open_until_ms > now_ms else "half_open"


class LocalBreaker:
    """So many failures within a time open it; after a while one call is let through, and decides."""

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._failures: list[float] = []
        self._probe: str | None = None
        self.open_until_ms: int | None = None

    def learn(self, open_until_ms: int | None, failures: Iterable[float]) -> None:
        """Take over what the fleet knows."""
        self.open_until_ms, self._failures, self._probe = open_until_ms, list(failures), None

    def state(self, now_ms: float) -> BreakerState:
        """What it lets through: everything, nothing, or one call."""
        return state_of(self.open_until_ms, now_ms)

    def wait_ms(self, now_ms: float) -> int:
        """How long until a call may start; 0 is now."""
        if self.open_until_ms is None:
            return 0
        return max(round(self.open_until_ms - now_ms), 100 if self._probe else 0)

    def probe(self, reservation: str) -> None:
        """This is the call that decides."""
        self._probe = reservation

    def settle(self, reservation: str, health: Health, ended_ms: float) -> BreakerChange | None:
        """A call has ended."""
        if self.open_until_ms is not None:
            return self._decide(health, ended_ms) if reservation == self._probe else None
        if health != "ill" or not self._settings.failures:
            return None
        since = ended_ms - self._settings.within_s * 1000
        self._failures = [*(at for at in self._failures if at > since), ended_ms]
        failures = len(self._failures)
        return self._open(ended_ms, failures) if failures >= self._settings.failures else None

    def _decide(self, health: Health, ended_ms: float) -> BreakerChange | None:
        self._probe = None
        if health == "ill":
            return self._open(ended_ms, 1)
        if health == "unknown":
            return None
        self.open_until_ms, self._failures = None, []
        return BreakerChange("closed")

    def _open(self, at_ms: float, failures: int) -> BreakerChange:
        for_ms = round(self._settings.open_s * 1000)
        self.open_until_ms, self._failures, self._probe = round(at_ms) + for_ms, [], None
        return BreakerChange("open", failures, for_ms)
