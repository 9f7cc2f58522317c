"""What could have been answered: the best that anybody who knows the limits could do with the same requests."""

import heapq
from collections.abc import Iterable


def answerable(asked: Iterable[tuple[float, float]], count: int, per_s: float, backends: int, call_s: float) -> int:
    """How many requests, given as (asked, deadline), can be answered in time by so many equal backends that each begin
    at most `count` calls of `call_s` in any window: earliest deadline first, without waste.
    """
    coming = sorted(asked, reverse=True)
    waiting: list[float] = []
    free = [0.0] * (count * backends)  # When each place in a window is free again.
    answered = 0
    now = 0.0
    while coming or waiting:
        now = max(now, free[0], coming[-1][0] if not waiting else now)
        while coming and coming[-1][0] <= now:
            heapq.heappush(waiting, coming.pop()[1])
        while waiting and waiting[0] < now + call_s:
            heapq.heappop(waiting)
        if waiting:
            heapq.heappop(waiting)
            heapq.heapreplace(free, now + per_s)
            answered += 1
    return answered
