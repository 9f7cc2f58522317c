"""How soon each backend could take a call that is sent there now. Pure.

Outlooks come a few times a second. In between, a process that sends calls adds what it has sent itself, so that it
spreads them over several backends and does not send them all to the one that looked best.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from optimizer_state.outlook import TRUSTED_MS, Outlook

# A deadline that is later by this is worth to go before.
LATER_MS = 200
NEVER_MS = 1 << 62
# A call is on its way for so long at most, before the worker that it was sent to reckons with it.
TRANSIT_MS = 100
# Words of backends that an operator has taken out: nothing is sent there.
_OUT = frozenset({"paused", "draining"})


class Loads:
    """The outlooks as told last, and the calls that this process has sent since they were told."""

    def __init__(self) -> None:
        self._outlooks: Mapping[str, Outlook] = {}
        self._sent_ms: dict[str, deque[int]] = {}

    def learn(self, outlooks: Mapping[str, Outlook], now_ms: int) -> None:
        """Take what was told last; what was sent before an outlook was told is part of it."""
        heard = {
            backend: outlook
            for backend, outlook in self._outlooks.items()
            if backend not in outlooks or outlook.told_ms > outlooks[backend].told_ms
        }
        outlooks = self._outlooks = {**outlooks, **heard}
        for backend in list(self._sent_ms):
            outlook = outlooks.get(backend)
            known_ms = max(now_ms - TRUSTED_MS, 0 if outlook is None else outlook.told_ms - TRANSIT_MS)
            sent = self._sent_ms[backend]
            while sent and sent[0] <= known_ms:
                sent.popleft()
            if not sent:
                del self._sent_ms[backend]

    def hear(self, backend: str, ready_ms: int, now_ms: int) -> None:
        """What came from a backend tells how soon one more call would start there, before it says so itself."""
        known = self._outlooks.get(backend, Outlook(0))
        if now_ms > known.told_ms:
            self._outlooks = {**self._outlooks, backend: replace(known, ready_ms=ready_ms, told_ms=now_ms)}

    def add(self, backend: str, now_ms: int, calls: int = 1) -> None:
        """This process has just sent so many calls there; more than one if its like probably do the same now."""
        self._sent_ms.setdefault(backend, deque()).extend([now_ms] * calls)

    def ready_ms(self, backend: str, now_ms: int) -> int:
        """When a call that is sent there now would start: now if nothing is known, `NEVER_MS` if it is taken out."""
        return self._after_what_was_sent(backend, now_ms, lambda outlook: outlook.ready_ms)

    def in_line_ms(self, backend: str, deadline_ms: int, now_ms: int) -> int:
        """When a call with this deadline would start there: before those in line whose deadlines are later."""
        outlook = self._outlooks.get(backend)
        line = () if outlook is None else outlook.line
        later = (start_ms for other_ms, start_ms in line if other_ms > deadline_ms + LATER_MS)
        start_ms = next(later, None)
        if start_ms is None:
            return self.ready_ms(backend, now_ms)
        return self._after_what_was_sent(backend, now_ms, lambda _: start_ms)

    def _after_what_was_sent(self, backend: str, now_ms: int, start_ms: Callable[[Outlook], int]) -> int:
        outlook = self._outlooks.get(backend)
        if outlook is None or now_ms - outlook.told_ms > TRUSTED_MS:
            return now_ms
        if outlook.reason in _OUT:
            return NEVER_MS
        return max(start_ms(outlook), now_ms) + len(self._sent_ms.get(backend, ())) * outlook.per_call_ms
