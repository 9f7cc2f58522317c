"""Where a call that has to wait here would be served sooner. Pure.

Workers tell each other until when their backend cannot take more (`Roster.tell_dry`). A call moves only to a live
backend of its route that is ready clearly sooner, so that two dry backends do not pass calls to and fro; back along the
route only while it has never been called, so that a backend that failed it is not asked again in between.
"""

from collections.abc import Mapping

from optimizer_wire.messages import Call

CLEARLY_MS = 1_000


def better_station(
    call: Call, *, here_until_ms: int, dry_until_ms: Mapping[str, int], alive: frozenset[str] | None, now_ms: int
) -> int | None:
    """The station of the route to move to, or None to wait here.

    `here_until_ms`: when this backend can take the call; `dry_until_ms`: the same of others, as far as known; `alive`:
    backends with a live worker, None while nobody knows (then nothing moves).
    """
    if alive is None:
        return None
    first = call.hop + 1 if call.attempts else 0
    stations = [
        (max(dry_until_ms.get(hop.backend, 0), now_ms), index)
        for index, hop in enumerate(call.route)
        if index >= first and index != call.hop and hop.backend in alive
    ]
    ready_ms, station = min(stations, default=(here_until_ms, call.hop))
    return station if ready_ms + CLEARLY_MS <= here_until_ms else None
