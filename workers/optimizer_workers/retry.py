"""What to do after a failed call. Pure.

An outcome that another backend may mend goes at once to the next of the route. Only on the last one is it made again:
after 1, 2 and 4 s, or for as long as anybody waits if the backend only said "slow down".
"""

from dataclasses import dataclass

from optimizer_backends.outcome import Outcome

PAUSES_S = (1.0, 2.0, 4.0)
LONGEST_PAUSE_S = 60.0
SLOW_DOWN = frozenset({Outcome.throttled, Outcome.ramp})


@dataclass(frozen=True, slots=True)
class Failover:
    """Send it to the next backend of the route."""


@dataclass(frozen=True, slots=True)
class Again:
    """Make the call again here, after a pause."""

    after_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Tell the waiters the error."""


def after_failure(
    outcome: Outcome, *, further: bool, retries: int, retry_after_s: float | None, left_s: float
) -> Failover | Again | GiveUp:
    """Decide. `further`: the route goes on; `retries`: repetitions made here; `left_s`: time until the deadline."""
    if further and outcome.failover:
        return Failover()
    if not outcome.retry_here:
        return GiveUp()
    if outcome not in SLOW_DOWN and retries >= len(PAUSES_S):
        return GiveUp()
    pause_s = max(_doubled_s(retries), retry_after_s or 0.0)
    return Again(pause_s) if pause_s < left_s else GiveUp()


def throttle_pause_s(throttles_in_a_row: int, retry_after_s: float | None) -> float:
    """How long a backend that said "slow down" is left alone: what it said, or 1 s doubling to 60 s."""
    if retry_after_s is not None:
        return retry_after_s
    return _doubled_s(throttles_in_a_row - 1)


def _doubled_s(times: int) -> float:
    # Bounded first: a backend may refuse thousands of calls in a row, and 2.0 ** 1024 is an error.
    return min(PAUSES_S[0] * 2.0 ** max(0, min(times, 16)), LONGEST_PAUSE_S)
