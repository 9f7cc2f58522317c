"""Ends connections of those who begin to ask and never finish: each would keep one of a process' few connections."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# A request of the dashboard is at most 64 KiB.
PATIENCE_S = 15.0
_ASKING = (h11.IDLE, h11.SEND_BODY)


class PatientProtocol(H11Protocol):
    """Waits for a request, from its first byte to its last, for `PATIENCE_S` to twice that; for an answer, for ever."""

    _timer: asyncio.TimerHandle | None = None
    _before: tuple[object, object] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look."""
        super().connection_made(transport)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        # uvicorn makes a cycle for each request, and ends by itself connections on which nothing is asked.
        now = (self.cycle, self.conn.their_state)
        if now == self._before and now[1] in _ASKING:
            self.transport.abort()
            return
        self._before = now
        self._timer = self.loop.call_later(PATIENCE_S, self._look)
