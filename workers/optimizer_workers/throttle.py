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


def block_after(outcome: Outcome, retry_after_s: float | None, reset_s: float | None = None) -> Block | None:
    """What an outcome means for the calls of others, or None if it means nothing to them.

    `reset_s`: in how many seconds the backend's own day begins anew, if it is configured.
    """
    if outcome.rate_only:
        return Block(retry_after_s, outcome.value)
    if outcome in PARK_S:
        for_s = PARK_S[outcome]
        if outcome is Outcome.quota_day:
            told_s = reset_s if retry_after_s is None else retry_after_s
            for_s = for_s if told_s is None else max(SHORTEST_QUOTA_S, told_s)
        return Block(min(for_s, LONGEST_PARK_S), outcome.value)
    return None
