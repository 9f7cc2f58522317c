"""What to do after a failed call. Pure.

An outcome that another backend may mend goes at once to another one of the route; one that only says "slow down" goes
where it is served now, or waits here for budget again. Only on the last backend a failed call is made again, after the
configured pauses (1, 2 and 4 s).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from optimizer_backends.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Failover:
    """Send it to another backend of the route."""


@dataclass(frozen=True, slots=True)
class Requeue:
    """Send it where it is served now, or let it wait here for budget."""


@dataclass(frozen=True, slots=True)
class Again:
    """Make the call again here, after a pause."""

    after_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Tell the waiters the error."""


def after_failure(
    outcome: Outcome, *, further: bool, retries: int, pauses_s: Sequence[float], left_s: float, useful: bool = True
) -> Failover | Requeue | Again | GiveUp:
    """Decide. `further`: another backend may take it; `retries`: repetitions made here; `left_s`: time that is left.

    `useful`: False if the backend said that to ask it again makes no sense.
    """
    if outcome.rate_only:
        return Requeue()
    if further and outcome.failover:
        return Failover()
    if not outcome.retry_here or not useful or retries >= len(pauses_s):
        return GiveUp()
    pause_s = pauses_s[retries]
    return Again(pause_s) if pause_s < left_s else GiveUp()
