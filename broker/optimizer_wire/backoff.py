"""How long to wait before the next attempt to connect."""

import random


def backoff_s(attempt: int, *, base_s: float = 0.25, cap_s: float = 15.0) -> float:
    """Seconds to wait before connecting again: full jitter (AWS Architecture Blog, 2015), doubling up to `cap_s`."""
    return random.uniform(0, min(cap_s, base_s * 2 ** min(attempt, 16)))
