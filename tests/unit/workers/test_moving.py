"""Where a call that has to wait would be served sooner."""

import pytest

from optimizer_wire.messages import Call, Hop, Waiter
from optimizer_workers.moving import better_station

EVERYBODY = frozenset("abc")


def call(hop=0, attempts=0):
    """A call on the route a, b, c."""
    route = tuple(Hop(name, "m") for name in "abc")
    return Call(1, "f", 1, 1, Waiter("id", "to", 0, "agent", "tenant"), {}, route, hop=hop, attempts=attempts)


@pytest.mark.parametrize(
    ("hop", "attempts", "here", "dry", "alive", "station"),
    [
        (0, 0, 5_000, {}, EVERYBODY, 1),
        (0, 0, 5_000, {"b": 9_000}, EVERYBODY, 2),
        (0, 0, 5_000, {"b": 9_000, "c": 4_500}, EVERYBODY, None),
        (0, 0, 5_000, {"b": 3_900, "c": 3_000}, EVERYBODY, 2),
        (0, 0, 1_500, {}, EVERYBODY, None),
        (0, 0, 5_000, {}, frozenset("ac"), 2),
        (0, 0, 5_000, {}, None, None),
        (2, 0, 5_000, {}, EVERYBODY, 0),
        (2, 1, 5_000, {}, EVERYBODY, None),
        (1, 1, 5_000, {}, EVERYBODY, 2),
    ],
)
def test_where_to(hop, attempts, here, dry, alive, station):
    """To the live backend that is ready clearly sooner; back along the route only if it was never called."""
    moved = better_station(call(hop, attempts), here_until_ms=here, dry_until_ms=dry, alive=alive, now_ms=1_000)

    assert moved == station
