"""Share quotas: of the fleet's last 100 calls, at most a given share goes to a backend with `max_share`.

Every call of every backend is recorded at its start, in one order for the whole fleet. Calls reach their backends in
a slightly different order, by up to `SLACK` places in either direction, so that any 100 calls as they arrive lie within
120 as they were started: among those no more may be the backend's than its share of 100. Also when fewer calls than
that were made: of the first 30, a share of 0.1 is at most 2.

What is not known is never in the backend's favour: it gets nothing while Redis is away, and after Redis lost its memory
nothing until 119 other calls were made.
"""

from collections import deque

from optimizer_config.model import Backend
from optimizer_state.scripts import Step
from optimizer_state.store import RedisAway, Store

WINDOW = 100
SLACK = 10
ASK_AGAIN_MS = 200


class Share:
    """Takes places in the fleet's order of calls for one backend. Needed only where any backend has a share quota."""

    def __init__(self, store: Store, backend: Backend) -> None:
        self._store = store
        self._key = f"{store.prefix}:{{share}}"
        self._backend = backend.name
        self._share = "" if backend.max_share is None else str(backend.max_share)
        self._epoch = ""
        # Refused, but perhaps recorded, or recorded in vain; of interest only as long as Redis may still hold them.
        self._untold: deque[str] = deque(maxlen=WINDOW + 2 * SLACK)

    async def take(self, reservation: str) -> int:
        """Record a call that is about to start; 0, or in how many ms to ask again. Never raises.

        The same reservation may be asked for again.
        """
        untold = list(self._untold)
        take = Step(
            "share",
            self._key,
            ("take", reservation, self._backend, self._epoch, WINDOW, SLACK, self._share),
        )
        try:
            reply = (await self._store.run([*map(self._giving_back, untold), take]))[-1]
        except RedisAway:
            if not self._share:
                return 0
            self._untold.append(reservation)
            return ASK_AGAIN_MS
        for told in untold:
            if told in self._untold:
                self._untold.remove(told)
        self._epoch = reply[1].decode()
        return 0 if reply[0] == b"taken" else ASK_AGAIN_MS

    async def give_back(self, reservation: str) -> None:
        """The call was not made after all. Never raises."""
        try:
            await self._store.run([self._giving_back(reservation)])
        except RedisAway:
            self._untold.append(reservation)

    def _giving_back(self, reservation: str) -> Step:
        return Step("share", self._key, ("give_back", reservation, self._backend))
