"""Routes: which backends may serve a request, in which order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer_config.model import Backend, Config
from optimizer_coordinator.routing import Router
from optimizer_wire.errors import BackendUnavailable, UnknownModel
from optimizer_wire.messages import Hop


def backend(name, kind="free"):
    return Backend(name, "openai", "http://x", (f"{name}-large", f"{name}-small", "shared"), kind=kind)


BACKENDS = {name: backend(name) for name in ("a", "b", "c")} | {"paid": backend("paid", "paid")}


def router(*, routes=None, models=None, configured=("a", "b")):
    return Router(Config(backends=BACKENDS, configured=frozenset(configured), routes=routes or {}, models=models or {}))


def route(model="auto", task="general", op="chat", alive=None, **config):
    """A route as `backend/model` words."""
    hops = router(**config).route(model, task, op, None if alive is None else frozenset(alive))
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
        router(models={"quick": ("a",)}).route(model, "general", "chat", None)


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
        hops = router(routes={"default": tuple(written)}).route("auto", "general", "chat", alive and frozenset(alive))
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
