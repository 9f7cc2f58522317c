"""Where a call that has to wait here would be served sooner. Pure.

A call moves only to a live backend of its route that takes it clearly sooner, so that two backends in the same state do
not pass calls to and fro; never to one that failed it. Of several that are about as soon, the route's order decides.
"""

from collections.abc import Callable

from optimizer_state.outlook import CLEARLY_MS
from optimizer_wire.messages import Call


def better_station(
    call: Call, *, here_start_ms: int, ready_ms: Callable[[str], int], alive: frozenset[str] | None, now_ms: int
) -> int | None:
    """The station of the route to move to, or None to wait here.

    `here_start_ms`: when it would start here; `ready_ms`: when a backend would start a call that is sent there now (see
    `Loads`); `alive`: backends with a live worker, None while nobody knows (then nothing moves).
    """
    if alive is None:
        return None
    barred = {call.route[call.hop].backend, *call.failed}
    ready = {
        index: max(ready_ms(hop.backend), now_ms)
        for index, hop in enumerate(call.route)
        if hop.backend in alive and hop.backend not in barred
    }
    sooner = {index: at_ms for index, at_ms in ready.items() if at_ms + CLEARLY_MS <= here_start_ms}
    soon_ms = min(sooner.values(), default=0) + CLEARLY_MS
    return next((index for index, at_ms in sooner.items() if at_ms <= soon_ms), None)
