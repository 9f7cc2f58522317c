"""How long a backend is left alone after it refused a call. Pure.

A rate limit ends by itself: what the response says, or 1 s doubling to 60 s (the fleet counts the refusals in a row, in
`lua/block.lua`). A day's quota, an empty account or a key that is not accepted do not: the backend is parked, and asked
with a single call when that is over.
"""

from dataclasses import dataclass

from optimizer_backends.outcome import Outcome

# Where the response does not say until when. A day's quota may come back sooner than in a day; one call an hour is
# little to find out.
PARK_S = {Outcome.quota_day: 3600.0, Outcome.billing: 3600.0, Outcome.unauthorized: 300.0}
LONGEST_PARK_S = 24 * 3600.0
SHORTEST_QUOTA_S = 60.0


@dataclass(frozen=True, slots=True)
class Block:
    """Leave the backend alone for `for_s` (None: nobody knows how long, so ever longer) because of `reason`."""

    for_s: float | None
    reason: str


def block_after(outcome: Outcome, retry_after_s: float | None) -> Block | None:
    """What an outcome means for the calls of others, or None if it means nothing to them."""
    if outcome.rate_only:
        return Block(retry_after_s, outcome.value)
    if outcome in PARK_S:
        for_s = PARK_S[outcome]
        if outcome is Outcome.quota_day and retry_after_s is not None:
            for_s = max(SHORTEST_QUOTA_S, retry_after_s)
        return Block(min(for_s, LONGEST_PARK_S), outcome.value)
    return None
