"""Limits and backends: the forms in which they are written, and what they mean over the catalogue."""

import pytest

from optimizer_config.load import load
from optimizer_config.model import Limit


@pytest.fixture
def backend(tmp_path):
    """The backend groq of a file that says this about it."""

    def read(text, name="groq"):
        file = tmp_path / "optimizer.toml"
        file.write_text(text)
        return load(str(file), {}).backends[name]

    return read


UNITS = {"r": "requests", "t": "tokens", "it": "input_tokens", "ot": "output_tokens"}
PERIODS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("period", PERIODS)
def test_shorthand(backend, unit, period):
    """`<what>p<period>`: requests, tokens, input or output tokens per second, minute, hour or day."""
    name = f"{unit}p{period}"
    groq = backend(f"[backends.groq]\nlimits = {{ {name} = 1_000.0 }}")

    assert groq.limits == (Limit(name, UNITS[unit], 1000, PERIODS[period]),)


def test_any_window(backend):
    """A limit of any length has a name of its own, or gets one."""
    groq = backend(
        """
        [backends.groq]
        limits = { burst = { count = 5, per_s = 10 }, big = { count = 9, per_s = 0.5, dimension = "tokens" } }
        """
    )
    listed = backend("[[backends.groq.limits]]\ncount = 2\nper_s = 1.5\nsource = 'console'\nas_of = '2026-11'")

    assert groq.limits == (Limit("burst", "requests", 5, 10.0), Limit("big", "tokens", 9, 0.5))
    assert listed.limits == (Limit("requests-per-1.5s", "requests", 2, 1.5, (), "console", "2026-11"),)


def test_limits_of_some_models(backend):
    """A table of the list may be narrowed to models; its limits carry them in their names."""
    groq = backend(
        """
        [[backends.groq.limits]]
        rpm = 30
        concurrency = 3
        [[backends.groq.limits]]
        models = ["a", "b"]
        rpm = 10
        tpm = 20
        """
    )

    assert [(limit.name, limit.models) for limit in groq.limits] == [
        ("rpm", ()),
        ("rpm[a,b]", ("a", "b")),
        ("tpm[a,b]", ("a", "b")),
    ]
    assert groq.concurrency == 3


def test_written_limits_replace_those_of_the_catalogue(backend):
    """A paid account must not be held to the free tier's day; the concurrency alone changes nothing else."""
    paid = backend("[backends.groq]\nlimits = { rpm = 1000 }")
    wide = backend("[backends.groq]\nlimits = { concurrency = 99 }")
    direct = backend("[backends.groq]\nconcurrency = 7\nlimits = { concurrency = 99 }")

    assert [(limit.name, limit.count) for limit in paid.limits] == [("rpm", 1000)]
    assert paid.concurrency == 8
    assert wide.concurrency == 99
    assert {"rpm", "rpd", "tpm", "tpd"} <= {limit.name for limit in wide.limits}
    assert direct.concurrency == 7


def test_what_is_not_written_stays(backend):
    """A backend of the catalogue is overlaid field by field."""
    groq = backend("[backends.groq]\nmodels = ['one', 'two']\ntimeout_s = 5\napi_key_file = 'key'")

    assert (groq.default_model, groq.timeout_s, groq.api_key_env) == ("one", 5.0, "GROQ_API_KEY")
    assert groq.api_key_file.endswith("/key")
    assert groq.api_key_file.startswith("/")
    assert (groq.prices, groq.kind) == ("groq", "free")


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://127.0.0.1:1/v1", "local"),
        ("http://localhost/v1", "local"),
        ("http://[::1]:8/v1", "local"),
        ("https://gpu.example", "paid"),
        ("http://127.example.org", "paid"),
    ],
)
def test_kind_of_a_new_backend(backend, url, kind):
    """What runs on this machine is local; anything else counts as paid until the file says otherwise."""
    assert backend(f"[backends.mine]\nbase_url = '{url}'\nmodels = ['m']", "mine").kind == kind


def test_a_local_backend_on_another_machine(backend):
    """The kind can be written."""
    text = "[backends.mine]\nbase_url = 'http://gpu/v1'\nmodels = ['m']\nkind = 'local'\napi = 'anthropic'"

    assert (backend(text, "mine").kind, backend(text, "mine").api) == ("local", "anthropic")
