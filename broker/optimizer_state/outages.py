"""When Redis was away, as one process noticed it. Pure: the time (seconds that only go forward) is passed in."""

import math

# Outages with less than this between them are one: a short one does not end what the long one before it asks for.
TOGETHER_S = 10.0


class Outages:
    """The last outage: when it began, and when it ended."""

    def __init__(self) -> None:
        self._away = False
        self._left_s = self._back_s = -math.inf

    def left(self, now_s: float) -> None:
        """Redis is away from now on."""
        self._away = True
        if now_s - self._back_s > TOGETHER_S:
            self._left_s = now_s

    def back(self, now_s: float) -> None:
        """Redis is back."""
        self._away, self._back_s = False, now_s

    def missed(self, now_s: float) -> None:
        """Redis was away and is back, and only now this is noticed: others may still take it to be away."""
        if not self._away:
            self.left(now_s)
            self.back(now_s)

    def length_ms(self, within_s: float, now_s: float) -> int:
        """How long the last outage took, if it ended within the last so many seconds; else, and in an outage, 0."""
        if not self.rest_ms(within_s, now_s):
            return 0
        return max(1, round((self._back_s - self._left_s) * 1000))

    def rest_ms(self, within_s: float, now_s: float) -> int:
        """How much is left of so many seconds after the last outage; in an outage 0."""
        ended = not self._away and math.isfinite(self._back_s)
        return max(0, math.ceil((self._back_s + within_s - now_s) * 1000)) if ended else 0
