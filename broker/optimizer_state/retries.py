"""The fleet's retry budget: repetitions of calls stay a small share of all calls, so that nobody hammers what is ill.

In the last `within_s` seconds the whole fleet may have repeated at most `share` of the calls that it started (the
repetitions among them), or `least` calls if that is more. While Redis is away each worker keeps the share by its own
calls.
"""

import time
from collections.abc import Callable
from itertools import count

from optimizer_config.model import RetrySettings
from optimizer_state.own_repeats import OwnRepeats
from optimizer_state.scripts import Step
from optimizer_state.store import RedisAway, Store
from optimizer_wire.ids import new_id

# More calls may begin meanwhile, which allow more repetitions.
LONGEST_WAIT_MS = 1_000


class Retries:
    """One worker's view of the fleet's retry budget."""

    def __init__(
        self, store: Store, settings: RetrySettings, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._key = f"{store.prefix}:{{retries}}"
        self._settings = settings
        self._own = OwnRepeats(settings)
        self._monotonic = monotonic
        self._name = new_id()
        self._tellings = count(1)

    async def count_calls(self, number: int) -> None:
        """So many calls began since the last time; to be told a few times a second. Never raises."""
        self._own.called(number, self._now_ms())
        told = f"{self._name}.{next(self._tellings)}"
        try:
            await self._store.run([Step("retries", self._key, ("count", self._own.within_ms, number, told))])
        except RedisAway:
            # It may have been counted. Told again it might count twice; forgotten it only costs repetitions.
            return

    async def ask(self, reservation: str) -> int:
        """Whether a call may be repeated now: 0, or in how many ms to ask again. Never raises.

        To be asked right before the repetition starts. Once allowed, the same reservation stays so for `within_s`.
        """
        now_ms = self._now_ms()
        own = self._own.repeats(now_ms)
        if reservation in own:
            return 0
        words = (self._own.within_ms, self._own.late_ms, str(self._settings.share), self._settings.least, reservation)
        known = [part for name, at in own.items() for part in (name, round(now_ms - at))]
        try:
            reply = (await self._store.run([Step("retries", self._key, ("ask", *words, *known))]))[0]
            wait_ms = 0 if reply[0] == b"granted" else int(reply[1])
        except RedisAway:
            wait_ms = self._own.wait_ms(now_ms)
        if not wait_ms:
            self._own.repeated(reservation, now_ms)
        return min(wait_ms, LONGEST_WAIT_MS)

    def _now_ms(self) -> float:
        return self._monotonic() * 1000
