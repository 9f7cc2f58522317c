"""What one coordinator let through itself, and its share of each quota while Redis is away. Pure."""

import math
from collections import deque
from collections.abc import Mapping

from optimizer_state.local_share import SHARE_WHEN_ALONE
from optimizer_state.windows import Window


class LocalQuota:
    """The admissions of one coordinator, by window, as long as they count."""

    def __init__(self) -> None:
        self._let_through: dict[str, deque[tuple[float, int]]] = {}

    def add(self, windows: Mapping[Window, int], now_ms: float) -> None:
        """A request was let through, which takes so much of each window."""
        for window, amount in windows.items():
            self._counting(window, now_ms).append((now_ms, amount))

    def wait_ms(self, window: Window, amount: int, coordinators: int, now_ms: float) -> int:
        """How long until this coordinator may let through so much on its own; 0 is now.

        The share is at least one request, or nothing would ever pass.
        """
        share = max(amount, math.floor(SHARE_WHEN_ALONE * window.count / max(1, coordinators)))
        counting = self._counting(window, now_ms)
        over = sum(used for _, used in counting) + amount - share
        for at_ms, used in counting:
            if over <= 0:
                break
            over -= used
            if over <= 0:
                ends_ms = window.period(now_ms)[1] if window.reset else at_ms + window.window_ms
                return max(1, math.ceil(ends_ms - now_ms))
        return 0

    def _counting(self, window: Window, now_ms: float) -> deque[tuple[float, int]]:
        since_ms = window.period(now_ms)[0] if window.reset else now_ms - window.window_ms
        found = self._let_through.setdefault(window.name, deque())
        while found and found[0][0] < since_ms:
            found.popleft()
        return found
