"""The simulated backends and what is written for them."""

from optimizer_config import load
from optimizer_config.catalogue import catalogue
from optimizer_ops.demo.backends import BACKENDS, KEY_VARIABLE, ROUTES, optimizer_toml
from optimizer_ops.simulator.spec import parse_spec


def _configured(tmp_path):
    path = tmp_path / "optimizer.toml"
    urls = {backend.name: f"http://127.0.0.1:{9000 + n}" for n, backend in enumerate(BACKENDS)}
    path.write_text(optimizer_toml(urls, {"prefix": "demo-1"}, "sqlite:////tmp/history.db"))
    return load(str(path), {})


def test_the_configuration_is_valid(tmp_path):
    """The optimizer reads it without a complaint or a warning."""
    config = _configured(tmp_path)

    assert config.warnings == ()
    assert (config.prefix, config.history_url) == ("demo-1", "sqlite:////tmp/history.db")
    assert config.configured == {backend.name for backend in BACKENDS}
    assert config.routes == ROUTES


def test_the_simulators_enforce_what_the_optimizer_is_told(tmp_path):
    """Windows and concurrency are the same on both sides: a 429 would show a mistake."""
    config = _configured(tmp_path)

    for backend in BACKENDS:
        limits = parse_spec(backend.spec()).limits
        told = config.backends[backend.name]
        assert [(limit.count, limit.per_s) for limit in limits.windows()] == [
            (limit.count, limit.per_s) for limit in told.limits
        ]
        assert limits.concurrency == told.concurrency


def test_the_prices_are_those_of_a_provider(tmp_path):
    """Each counts as paid, with the prices of the provider that it imitates, and no real key is ever looked at."""
    config = _configured(tmp_path)

    for backend in BACKENDS:
        told = config.backends[backend.name]
        assert (told.kind, told.prices, told.api_key_env) == ("paid", backend.style, KEY_VARIABLE)
        assert backend.name not in catalogue()


def test_there_are_enough_of_them():
    """At least three backends with different limits, at least five workers, both protocols."""
    assert len({backend.windows for backend in BACKENDS}) >= 3
    assert sum(backend.workers for backend in BACKENDS) >= 5
    assert {backend.api for backend in BACKENDS} == {"openai", "anthropic"}


def test_every_backend_has_a_short_window_and_one_of_a_minute():
    """The summary shows them in two columns."""
    assert all(len(backend.windows) == 2 and backend.windows[1].per_s == 60 for backend in BACKENDS)
