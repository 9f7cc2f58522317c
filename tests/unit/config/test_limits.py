"""Limits and backends: the forms in which they are written, and what they mean over the catalogue."""

import pytest

from optimizer_config.load import load
from optimizer_config.model import BreakerSettings, Limit, Reset


@pytest.fixture
def backend(tmp_path):
    """The backend groq of a file that says this about it."""

    def read(text, name="groq"):
        file = tmp_path / "optimizer.toml"
        file.write_text(text)
        return load(str(file), {}).backends[name]

    return read


UNITS = {"r": "requests", "t": "tokens", "it": "input_tokens", "ot": "output_tokens"}
PERIODS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "month": 31 * 86400.0}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("period", PERIODS)
def test_shorthand(backend, unit, period):
    """`<what>p<period>`: requests, tokens, input or output tokens per second, minute, hour, day or 31 days; sliding."""
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


def test_money(backend):
    """Dollars are counted in millionths; by day and by month they begin anew in UTC, in a window of any length not."""
    groq = backend(
        "[backends.groq]\nlimits = { usd_per_day = 2.5, usd_per_month = 30,"
        " hourly = { count = 0.000_001, per_s = 3600, dimension = 'usd' } }"
    )

    assert groq.limits == (
        Limit("usd_per_day", "usd", 2_500_000, 86400.0, reset=Reset("day")),
        Limit("usd_per_month", "usd", 30_000_000, 31 * 86400.0, reset=Reset("month")),
        Limit("hourly", "usd", 1, 3600.0),
    )


@pytest.mark.parametrize(
    ("written", "reset", "fixed"),
    [
        ("00:00 America/Los_Angeles", Reset("day", 0, 0, "America/Los_Angeles"), {"rpd", "daily", "usd_per_day"}),
        ("day 9:05 UTC", Reset("day", 9, 5), {"rpd", "daily", "usd_per_day"}),
        ("month 23:59 Asia/Kolkata", Reset("month", 23, 59, "Asia/Kolkata"), {"tpmonth"}),
    ],
)
def test_reset(backend, written, reset, fixed):
    """A reset makes fixed windows of the limits of just that length in its table, and slides nobody else's."""
    daily = "daily = { count = 9, per_s = 86400 }"
    groq = backend(
        f"[[backends.groq.limits]]\nrpm = 1\nrpd = 2\ntpmonth = 3\nusd_per_day = 4\n{daily}\nreset = '{written}'\n"
        "[[backends.groq.limits]]\ntpd = 5\nrpmonth = 6"
    )

    resets = {limit.name: limit.reset for limit in groq.limits}
    money = set() if "usd_per_day" in fixed else {"usd_per_day"}
    assert {name for name, each in resets.items() if each == reset} == fixed
    assert {name for name, each in resets.items() if each is None} == (
        {"rpm", "rpd", "tpmonth", "daily", "tpd", "rpmonth"} - fixed
    )
    assert {name for name, each in resets.items() if each == Reset()} == money


def test_reset_of_one_window(backend):
    """A window of any name may have a reset of its own."""
    groq = backend("[backends.groq]\nlimits = { x = { count = 9, per_s = 86400, reset = '00:00 UTC' }, rpd = 1 }")

    assert {limit.name: limit.reset for limit in groq.limits} == {"x": Reset(), "rpd": None}


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


def test_breakers(backend):
    """`[breaker]` is for all backends, those of the catalogue too; a backend says only where it differs."""
    text = """
        [breaker]
        failures = 3
        open_s = 20
        [backends.groq]
        breaker = { open_s = 5 }
        [backends.mine]
        base_url = "http://127.0.0.1:1"
        models = ["m"]
        breaker = { within_s = 7.5 }
        """

    assert backend("").breaker == BreakerSettings(5, 300.0, 300.0)
    assert backend(text).breaker == BreakerSettings(3, 300.0, 5.0)
    assert backend(text, "mine").breaker == BreakerSettings(3, 7.5, 20.0)
    assert backend(text, "cerebras").breaker == BreakerSettings(3, 300.0, 20.0)


def test_share_and_workers(backend):
    """A share of 1 is no limit; nothing written is none either."""
    text = "[backends.groq]\nmax_share = {}\nmax_workers = 3"

    assert (backend("").max_share, backend("").max_workers) == (None, 8)
    assert (backend(text.format("0.1")).max_share, backend(text.format("1")).max_share) == (0.1, None)
    assert backend(text.format("0.1")).max_workers == 3


@pytest.mark.parametrize(
    ("url", "more", "headers"),
    [
        ("https://api.groq.com/openai/v1", "", "groq"),
        ("https://mine.openai.azure.com/openai/v1", "", "azure"),
        ("https://notapi.groq.com.example/v1", "", None),
        ("http://127.0.0.1:8000/v1", "", None),
        ("http://127.0.0.1:8000/v1", "ratelimit_headers = 'mistral'", "mistral"),
        ("http://127.0.0.1:8000", "api = 'anthropic'", "anthropic"),
        ("http://127.0.0.1:8000", "api = 'anthropic'\nratelimit_headers = 'none'", None),
    ],
)
def test_headers_of_a_new_backend(backend, url, more, headers):
    """Headers are read by the table that is written, else by the provider's whose host or protocol it is."""
    assert backend(f"[backends.x]\nbase_url = '{url}'\nmodels = ['m']\n{more}", "x").ratelimit_headers == headers


def test_headers_of_the_catalogue_can_be_left_unread(backend):
    """A gateway before a provider may hide or invent its headers."""
    groq = backend("[backends.groq]\nratelimit_headers = 'none'\ncounts_max_tokens = true")

    assert (backend("").ratelimit_headers, groq.ratelimit_headers, groq.counts_max_tokens) == ("groq", None, True)
