"""For how long the broker is given to confirm what was published: one clock for all, no timer for each message."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from optimizer_wire.broker_errors import Blocked, Unconfirmed

LOOK_S = 0.1


class Alarms(Protocol):
    """A connection whose broker may raise an alarm: `blocked` says why, `unblocked_at` when the last one ended."""

    blocked: str | None
    unblocked_at: float


@dataclass(frozen=True, slots=True)
class _Awaited:
    confirmation: "asyncio.Future[None]"
    began: float
    timeout_s: float
    blocked_s: float


class ConfirmWatch:
    """Ends confirmations that do not come with `Unconfirmed`, or `Blocked` if the broker has an alarm; `LOOK_S` late
    at most.
    """

    def __init__(self, connection: Alarms) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._awaited: list[_Awaited] = []
        self._looks = False

    def add(self, confirmation: "asyncio.Future[None]", timeout_s: float, blocked_s: float) -> None:
        """Wait for so long: `timeout_s` while the broker could read it, `blocked_s` while it has an alarm."""
        self._awaited.append(_Awaited(confirmation, self._loop.time(), timeout_s, blocked_s))
        if not self._looks:
            self._looks = True
            self._loop.call_later(LOOK_S, self._look)

    def _look(self) -> None:
        self._looks = False
        self._awaited = [each for each in self._awaited if not each.confirmation.done()]
        now = self._loop.time()
        for each in self._awaited:
            if error := self._due(each, now):
                each.confirmation.set_exception(error)
        if self._awaited:
            self._looks = True
            self._loop.call_later(LOOK_S, self._look)

    def _due(self, each: _Awaited, now: float) -> Unconfirmed | None:
        blocked = self._connection.blocked
        if blocked:
            late = now - each.began >= each.blocked_s
            return Blocked(f"RabbitMQ takes no messages for now: {blocked}.") if late else None
        # From when on the broker could have read it.
        since = max(each.began, self._connection.unblocked_at)
        late = now - since >= each.timeout_s
        return Unconfirmed(f"RabbitMQ did not confirm within {each.timeout_s:g} s.") if late else None
