"""Routes: which backends may serve a request, in which order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer_config.model import Backend, Config
from optimizer_coordinator.routing import CLEARLY_MS, Router, Shut, View
from optimizer_wire.errors import BackendUnavailable, UnknownModel
from optimizer_wire.messages import Hop


def backend(name, kind="free"):
    return Backend(name, "openai", "http://x", (f"{name}-large", f"{name}-small", "shared"), kind=kind)


BACKENDS = {name: backend(name) for name in ("a", "b", "c")} | {"paid": backend("paid", "paid")}


def router(*, routes=None, models=None, configured=("a", "b")):
    return Router(Config(backends=BACKENDS, configured=frozenset(configured), routes=routes or {}, models=models or {}))


def view(alive=None, *, aside=(), ready=None, shut=None, now_ms=10_000):
    """A view in which backends are ready in so many ms."""
    return View(
        alive=None if alive is None else frozenset(alive),
        aside=frozenset(aside),
        shut=shut or {},
        ready_ms=lambda backend: now_ms + (ready or {}).get(backend, 0),
        now_ms=now_ms,
    )


def route(model="auto", task="general", op="chat", alive=None, *, aside=(), ready=None, **config):
    """A route as `backend/model` words."""
    hops = router(**config).route(model, task, op, view(alive, aside=aside, ready=ready))
    return [f"{hop.backend}/{hop.model}" for hop in hops]


ROUTES = {"code": ("b", "a/x"), "embed": ("c/e",), "default": ("a", "b")}


@pytest.mark.parametrize(
    ("task", "op", "hops"),
    [
        ("code", "chat", ["b/b-large", "a/x"]),
        ("creative", "chat", ["a/a-large", "b/b-large"]),
        ("code", "embed", ["c/e"]),
    ],
)
def test_by_task(task, op, hops):
    """A task goes its own route or the default one; embeddings have one of their own, whatever the task."""
    assert route(task=task, op=op, routes=ROUTES) == hops


def test_no_route_is_written():
    """Without routes whatever is configured or runs serves, in the order of the catalogue, but nothing that is paid."""
    assert route(configured=("b", "paid"), alive=("c", "paid")) == ["c/c-large", "b/b-large"]


@pytest.mark.parametrize(
    ("model", "hops"),
    [
        ("a", ["a/a-large"]),
        ("a/", ["a/a-large"]),
        ("a/anything", ["a/anything"]),
        ("a/with/slashes", ["a/with/slashes"]),
        ("paid", ["paid/paid-large"]),
        ("b-small", ["b/b-small"]),
        ("shared", ["a/shared", "b/shared", "paid/shared"]),
        ("quick", ["b/b-large", "a/fast"]),
    ],
)
def test_by_model(model, hops):
    """A backend, `backend/model`, a model's own name, or an alias."""
    assert route(model, models={"quick": ("b", "a/fast")}, configured=("a", "b", "paid")) == hops


def test_the_living_come_first():
    """Backends with a live worker come first; configured ones without wait their turn; others are left out."""
    routes = {"default": ("a", "b", "c")}

    assert route(routes=routes, alive=("b",)) == ["b/b-large", "a/a-large"]
    assert route(routes=routes, alive=("c", "b")) == ["b/b-large", "c/c-large", "a/a-large"]
    assert route(routes=routes, alive=None) == ["a/a-large", "b/b-large", "c/c-large"]


@pytest.mark.parametrize(
    ("ready", "order"),
    [
        ({}, "abc"),
        ({"a": CLEARLY_MS}, "abc"),
        ({"a": CLEARLY_MS + 1}, "bca"),
        ({"a": 30_000, "b": 20_000}, "cba"),
        ({"a": 30_000, "b": 29_500, "c": 29_400}, "abc"),
        ({"a": 1_500, "b": 900, "c": 0}, "bca"),
        ({"a": -50_000, "b": -90_000, "c": -99_000}, "abc"),
    ],
)
def test_soonest_first(ready, order):
    """The written order holds, but a backend goes behind one that can take a call more than a second sooner."""
    assert "".join(hop[0] for hop in route(routes={"default": ("a", "b", "c")}, alive="abc", ready=ready)) == order


def test_soonest_of_the_living():
    """A backend without a worker stays behind those that live, however long these need."""
    assert route(routes={"default": ("a", "b")}, alive=("b",), ready={"b": 60_000}) == ["b/b-large", "a/a-large"]


def test_paused_and_draining_backends_get_nothing_new():
    """What operators paused or drain is no part of new routes, unless nothing else of the route lives."""
    routes = {"default": ("a", "b")}

    assert route(routes=routes, alive="ab", aside="a") == ["b/b-large"]
    assert route(routes=routes, alive="ab", aside="ab") == ["a/a-large", "b/b-large"]
    assert route(routes=routes, alive="a", aside="a") == ["a/a-large", "b/b-large"]
    assert route("a", routes=routes, alive="ab", aside="a") == ["a/a-large"]


SHUT = Shut(70_000, "rpm")


@pytest.mark.parametrize(
    ("alive", "shut", "found"),
    [
        ("ab", {"a": SHUT, "b": SHUT}, {"a", "b"}),
        ("ab", {"a": SHUT}, None),
        # The other one has no worker now, and may have one again soon.
        ("a", {"a": SHUT}, {"a", "b"}),
        ("", {"a": SHUT, "b": SHUT}, None),
        (None, {"a": SHUT, "b": SHUT}, None),
        ("abc", {"a": SHUT, "b": SHUT}, {"a", "b"}),
    ],
)
def test_shut_routes(alive, shut, found):
    """A route is shut if every backend of it that lives is; where none lives, nobody knows."""
    told = router(routes={"default": ("a", "b")}).shut("auto", "general", "chat", view(alive, shut=shut))

    assert (None if told is None else set(told)) == found
    if alive == "a":
        assert told["b"].until_ms < SHUT.until_ms


def test_routes_and_their_backends():
    """Routes and aliases by name; without routes, what is configured and costs nothing."""
    assert router(routes={"default": ("a", "a/x", "b")}, models={"quick": ("c",)}).routes() == {
        "default": ("a", "b"),
        "quick": ("c",),
    }
    assert router(configured=("b", "paid")).routes() == {"auto": ("b",)}
    assert router(configured=()).routes() == {}


def test_no_station_twice():
    """A station that a route names twice is asked once."""
    assert route(routes={"default": ("a", "a/a-large", "b", "a")}) == ["a/a-large", "b/b-large"]


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("paidd", "Did you mean 'paid'"),
        ("b-smal", "Did you mean 'b-small'"),
        ("quik", "Did you mean 'quick'"),
        ("zzzzzz", "Name an alias, a backend, or backend/model"),
        ("nobody/b-small", "No backend, alias or model is called"),
    ],
)
def test_unknown_model(model, hint):
    """An unknown name is refused with the nearest known one, at the door and on the way."""
    with pytest.raises(UnknownModel, match=hint):
        router(models={"quick": ("a",)}).check(model)
    with pytest.raises(UnknownModel, match=hint):
        router(models={"quick": ("a",)}).route(model, "general", "chat", view())


def test_long_names_are_cut():
    """An unknown name of any length is shown by its beginning."""
    with pytest.raises(UnknownModel) as caught:
        router().check("x" * 200)

    assert len(str(caught.value)) < 200


def test_nothing_runs():
    """Where nothing runs and nothing is configured to, the error says what to start."""
    with pytest.raises(BackendUnavailable, match=r"No worker of c is running; start one with: optimizer worker c"):
        route("c", alive=())
    with pytest.raises(BackendUnavailable, match="No worker of any backend is running"):
        route(configured=(), alive=())


entries = st.sampled_from(["a", "b", "c", "a/x", "b/x", "c/x", "paid"])


@settings(max_examples=200, deadline=None)
@given(st.lists(entries, min_size=1), st.none() | st.sets(st.sampled_from(sorted(BACKENDS))))
def test_any_route(written, alive):
    """A route has only what is written, once each, the living before the others, each in the written order."""
    try:
        hops = router(routes={"default": tuple(written)}).route("auto", "general", "chat", view(alive or None))
    except BackendUnavailable:
        assert not {entry.partition("/")[0] for entry in written} & ({"a", "b"} | (alive or set()))
        return
    written_hops = list(
        dict.fromkeys(Hop(*entry.split("/")) if "/" in entry else Hop(entry, f"{entry}-large") for entry in written)
    )
    lives = [hop for hop in hops if not alive or hop.backend in alive]
    assert list(hops[: len(lives)]) == lives
    for part in (lives, list(hops[len(lives) :])):
        assert part == [hop for hop in written_hops if hop in part]
    assert len(set(hops)) == len(hops)
