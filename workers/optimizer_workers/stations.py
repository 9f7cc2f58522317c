"""Which stations of a route may take a call that cannot stay where it is. Pure.

The order of the route is the preference; a backend that can take the call now goes before one that cannot. A backend
that failed the call (`Call.failed`) is not asked again; one that only refused it for its rate may be.
"""

from collections.abc import Callable

from optimizer_state.outlook import CLEARLY_MS
from optimizer_wire.messages import Call


def stations(call: Call, *, ready_ms: Callable[[str], int], alive: frozenset[str] | None, now_ms: int) -> list[int]:
    """The other stations that a call may go to, the best first; those behind it on the route before those passed by.

    `ready_ms` says when a backend can take a call; `alive` are the backends with a live worker, None while nobody
    knows: then every one counts.
    """
    here = call.route[call.hop].backend
    able = [
        index
        for index, hop in enumerate(call.route)
        if hop.backend != here and hop.backend not in call.failed and (alive is None or hop.backend in alive)
    ]
    soon = now_ms + CLEARLY_MS
    return sorted(able, key=lambda index: (max(0, ready_ms(call.route[index].backend) - soon), index < call.hop, index))


def ready_stations(
    call: Call, *, ready_ms: Callable[[str], int], alive: frozenset[str] | None, now_ms: int
) -> list[int]:
    """Of these, the ones that can take the call now."""
    found = stations(call, ready_ms=ready_ms, alive=alive, now_ms=now_ms)
    return [index for index in found if ready_ms(call.route[index].backend) <= now_ms + CLEARLY_MS]
