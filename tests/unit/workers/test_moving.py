"""Where a call that has to wait would be served sooner."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.forecasts import expected_starts

from optimizer_state.outlook import Outlook
from optimizer_state.outlooks import Loads
from optimizer_wire.messages import Call, Hop, Waiter
from optimizer_workers.forecast import Line, Supply
from optimizer_workers.moving import CLEARLY_MS, better_station

EVERYBODY = frozenset("abc")


def call(hop=0, failed=(), names="abc"):
    """A call on the route a, b, c."""
    route = tuple(Hop(name, "m") for name in names)
    waiter = Waiter("id", "to", 0, "agent", "tenant")
    return Call(1, "f", 1, 1, waiter, {}, route, hop=hop, failed=failed)


@pytest.mark.parametrize(
    ("hop", "failed", "here", "ready", "alive", "station"),
    [
        (0, "", 5_000, {}, EVERYBODY, 1),
        (0, "", 5_000, {"b": 9_000}, EVERYBODY, 2),
        (0, "", 5_000, {"b": 9_000, "c": 4_500}, EVERYBODY, None),
        (0, "", 5_000, {"b": 4_000, "c": 9_000}, EVERYBODY, 1),
        (0, "", 5_000, {"b": 4_001, "c": 9_000}, EVERYBODY, None),
        (0, "", 1_999, {}, EVERYBODY, None),
        (0, "", 5_000, {}, frozenset("ac"), 2),
        (0, "", 5_000, {}, None, None),
        (2, "", 5_000, {}, EVERYBODY, 0),
        (2, "a", 5_000, {}, EVERYBODY, 1),
        (2, "ab", 5_000, {}, EVERYBODY, None),
    ],
)
def test_where_to(hop, failed, here, ready, alive, station):
    """To the live backend that is ready clearly sooner, also back along the route, but not to one that failed it."""
    moved = better_station(
        call(hop, tuple(failed)),
        here_start_ms=here,
        ready_ms=lambda backend: ready.get(backend, 0),
        alive=alive,
        now_ms=1_000,
    )

    assert moved == station


@pytest.mark.parametrize(("b", "c", "station"), [(2_000, 1_000, 1), (2_001, 1_000, 2)])
def test_the_route_is_the_preference(b, c, station):
    """Of backends that are about as soon the first of the route is taken, unless another is clearly sooner."""
    ready = {"b": b, "c": c}

    assert better_station(call(), here_start_ms=9_000, ready_ms=ready.get, alive=EVERYBODY, now_ms=0) == station


def test_not_where_it_failed():
    """A call goes neither to a backend that failed it nor to another model of the one it is at."""
    moved = better_station(
        call(0, failed=("b",), names="abac"), here_start_ms=9_000, ready_ms=lambda _: 0, alive=EVERYBODY, now_ms=0
    )

    assert moved == 3


def one_pass(here, outlooks, calls, *, per_call_ms, now_ms=1_000):
    """Move what is better off elsewhere, in the order of service; where each call is in the end, and the loads then."""
    loads = Loads()
    loads.learn(outlooks, now_ms)
    where = Counter()
    for _ in range(calls):
        kept_start_ms = max(outlooks[here].ready_ms, now_ms) + where[here] * per_call_ms
        found = better_station(
            call("abc".index(here)),
            here_start_ms=kept_start_ms,
            ready_ms=lambda backend: loads.ready_ms(backend, now_ms),
            alive=EVERYBODY,
            now_ms=now_ms,
        )
        target = here if found is None else "abc"[found]
        where[target] += 1
        if found is not None:
            loads.add(target, now_ms)
    return where, {name: max(told.ready_ms, now_ms) + where[name] * told.per_call_ms for name, told in outlooks.items()}


@given(st.integers(1_000, 60_000), st.integers(0, 3_000))
def test_equals_do_not_pass_calls_to_and_fro(ready_ms, per_call_ms):
    """Where all backends are dry for equally long, the first call in line moves nowhere, from none of them."""
    outlooks = {name: Outlook(ready_ms, per_call_ms, "rpm", 1_000) for name in "abc"}
    for here in "abc":
        assert one_pass(here, outlooks, 1, per_call_ms=per_call_ms)[0] == {here: 1}


@settings(max_examples=200)
@given(
    st.lists(st.integers(0, 30_000), min_size=3, max_size=3),
    st.integers(1, 3_000),
    st.integers(1, 120),
    st.sampled_from("abc"),
)
def test_one_pass_spreads(ready_ms, per_call_ms, calls, here):
    """After a pass no backend that got calls is behind another by more than one call's time and the clear margin."""
    outlooks = dict(
        zip("abc", (Outlook(each, per_call_ms, "rpm", 1_000) for each in ready_ms), strict=True),
    )
    where, loads = one_pass(here, outlooks, calls, per_call_ms=per_call_ms)

    assert where.total() == calls
    for name in where:
        assert loads[name] - min(loads.values()) <= per_call_ms + CLEARLY_MS
    again = {name: Outlook(loads[name], per_call_ms, "rpm", 2_000) for name in "abc"}
    for back in where:
        last_ms = loads[back] - per_call_ms
        fresh = Loads()
        fresh.learn(again, 2_000)
        moved = better_station(
            call("abc".index(back)),
            here_start_ms=last_ms - 1,  # the margin itself is clear enough
            ready_ms=lambda backend, fresh=fresh: fresh.ready_ms(backend, 2_000),
            alive=EVERYBODY,
            now_ms=0,
        )
        assert moved is None


@pytest.mark.parametrize("workers", [1, 5])
def test_passes_come_to_rest(workers):
    """Two equal dry backends, all calls at one: a pass of every worker shares them out, and then nothing moves.

    For this a call is looked at with only those in line before it that stay, and a worker reckons that its mates do as
    it does.
    """
    supply = Supply(count=60, window_ms=60_000, frees=tuple((1_000 * second, 1) for second in range(1, 61)))
    held = {("a", mate): 20 for mate in range(workers)} | {("b", mate): 0 for mate in range(workers)}
    rounds = []
    for now_ms in range(10_000, 18_000, 1_000):
        told = {
            name: Outlook(
                now_ms + expected_starts([1] * (held[name, 0] + 1), supply, workers)[-1], 1_000, "rpm", now_ms
            )
            for name in "ab"
        }
        after = Counter(held)
        for (name, mate), calls in held.items():
            loads = Loads()
            loads.learn(told, now_ms)
            line = Line.expected(supply, workers)
            for _ in range(calls):
                station = better_station(
                    call("ab".index(name), names="ab"),
                    here_start_ms=now_ms + line.start_ms(1),
                    ready_ms=lambda backend, loads=loads, now_ms=now_ms: loads.ready_ms(backend, now_ms),
                    alive=EVERYBODY,
                    now_ms=now_ms,
                )
                if station is None:
                    line.start(1)
                else:
                    target = "ab"[station]
                    loads.add(target, now_ms, workers)
                    after[name, mate] -= 1
                    after[target, mate] += 1
        held = dict(after)
        rounds.append(sum(calls for (name, _), calls in held.items() if name == "a"))

    assert abs(rounds[0] - 10 * workers) <= workers
    assert set(rounds) == {rounds[0]}
