"""Where a call may go that cannot stay."""

from optimizer_wire.messages import VERSION, Call, Hop, Waiter
from optimizer_workers.stations import ready_stations, stations

WAITER = Waiter("r", "q", 99_000, "agent", "tenant")
NOW_MS = 10_000


def call(names="abcd", hop=0, failed=()):
    return Call(VERSION, "f", 1, 1, WAITER, {}, tuple(Hop(name, "m") for name in names), hop=hop, failed=tuple(failed))


def found(made, ready=None, alive=None, choose=stations):
    ready = ready or {}
    stations_ = choose(made, ready_ms=lambda backend: ready.get(backend, 0), alive=alive, now_ms=NOW_MS)
    return "".join(made.route[index].backend for index in stations_)


def test_the_order_of_the_route():
    """The rest of the route comes first, in its order, then what was passed by before."""
    assert found(call(hop=1)) == "cda"


def test_never_back_to_a_backend_that_failed_it():
    """A backend that failed the call, and the one it is at, are no stations for it."""
    assert found(call(hop=1, failed="bd")) == "ca"


def test_only_to_the_living():
    """Backends without a worker are left out, if it is known who lives."""
    assert found(call(), alive=frozenset("ac")) == "c"
    assert found(call(), alive=frozenset("a")) == ""


def test_those_that_can_take_it_now_come_first():
    """A backend without budget comes after those that have some; a moment more or less does not matter."""
    assert found(call(), {"b": NOW_MS + 30_000, "c": NOW_MS + 900}) == "cdb"


def test_ready_ones_alone():
    """A call that may as well wait here only goes where it is taken now."""
    assert found(call(), {"b": NOW_MS + 30_000, "d": NOW_MS + 1_500}, choose=ready_stations) == "c"
