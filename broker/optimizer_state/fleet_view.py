"""What a worker saw of its backend's budget when it last looked: all workers' use, and what stops them."""

from dataclasses import dataclass, field

from optimizer_state.grants import BreakerState


@dataclass(frozen=True, slots=True)
class Level:
    """How much of a limit the whole fleet uses: of `count` (as operators set it), `used` in all, `flying` of that."""

    count: int
    used: int = 0
    flying: int = 0

    @property
    def left(self) -> int:
        """What is left."""
        return max(0, self.count - self.used)


@dataclass(frozen=True, slots=True)
class FleetView:
    """The last look at a backend's budget, at `seen_ms` of the fleet's clock (0: never).

    `mode` is what operators set: empty, `paused` or `draining`. `blocked_until_ms` is in the past if nothing blocks.
    """

    seen_ms: int = 0
    mode: str = ""
    blocked_until_ms: int = 0
    blocked_reason: str = ""
    breaker: BreakerState = "closed"
    breaker_until_ms: int = 0
    concurrency: int = 0
    calls: int = 0
    levels: dict[str, Level] = field(default_factory=dict)
