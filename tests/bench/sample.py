"""One stretch of load: how many answers a second, and how long they took."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """Answers per second, and percentiles of their latency in ms; `failed` requests count among neither."""

    per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    answers: int
    failed: int = 0


def sample(latencies_s: Sequence[float], took_s: float, failed: int = 0) -> Sample:
    """Sum up the latencies of a stretch that took so long."""
    ordered = sorted(latencies_s)
    p50, p95, p99 = (percentile(ordered, share) * 1000 for share in (0.5, 0.95, 0.99))
    return Sample(len(ordered) / took_s, p50, p95, p99, len(ordered), failed)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of these sorted values that at least `share` of them do not exceed (nearest rank); NaN of none."""
    if not ordered:
        return math.nan
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]
