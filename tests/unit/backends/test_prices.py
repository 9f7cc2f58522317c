"""What a call costs, and that nobody guesses."""

import datetime as dt
import sys

import pytest

from optimizer_backends import prices
from optimizer_backends.prices import Prices
from optimizer_config import ConfigError
from optimizer_config.catalogue import catalogue
from optimizer_config.model import Backend
from optimizer_wire.messages import Usage

GROQ, OLLAMA, DEEPSEEK = (catalogue()[name] for name in ("groq", "ollama", "deepseek"))
MILLION = Usage(1_000_000, 1_000_000)


@pytest.fixture
def table(tmp_path):
    """Prices with this override file."""

    def read(text):
        (tmp_path / "prices.toml").write_text(text)
        return Prices(str(tmp_path / "prices.toml"))

    return read


def test_the_public_table():
    """A known model has the price of genai-prices, and the table's version is told."""
    cost = Prices().cost(GROQ, "llama-3.3-70b-versatile", MILLION)

    assert cost.usd == pytest.approx(1.38)
    assert cost.version.startswith("genai-prices 0.")


@pytest.mark.parametrize(
    ("backend", "model"),
    [
        (GROQ, "no-such-model"),
        (Backend("b", "openai", "http://h", ("m",)), "gpt-6-luna"),
        (Backend("b", "openai", "http://h", ("m",), prices="no-such-provider"), "gpt-6-luna"),
    ],
)
def test_unknown_is_not_nothing(backend, model):
    """A model, provider or backend without a price is unpriced, never 0."""
    cost = Prices().cost(backend, model, MILLION)

    assert cost.usd is None
    assert "unpriced" in cost.version


def test_local_backends_cost_nothing(table):
    """Nobody bills for the tokens of one's own machine, unless the file puts a price on them."""
    assert Prices().cost(OLLAMA, "any", MILLION).usd == 0.0
    assert table("[ollama.'*']\ninput = 1\noutput = 2").cost(OLLAMA, "any", MILLION).usd == 3.0


def test_the_file_goes_first(table):
    """A model of the file, then its `*`, then the public table."""
    own = table("[groq.'llama-3.3-70b-versatile']\ninput = 1\noutput = 2\n[groq.'*']\ninput = 10\noutput = 20")

    assert own.cost(GROQ, "llama-3.3-70b-versatile", MILLION).usd == 3.0
    assert own.cost(GROQ, "other", MILLION).usd == 30.0
    assert own.cost(DEEPSEEK, "deepseek-flash", MILLION).version.startswith("genai-prices")
    assert own.cost(GROQ, "other", MILLION).version.startswith("prices.toml ")


def test_the_version_of_the_file_changes_with_it(table):
    """A cost can be traced to the numbers it was computed from."""
    one, other = (table(f"[b.m]\ninput = {price}\noutput = 1").cost(BACKEND, "m", MILLION) for price in (1, 2))

    assert one.version != other.version


BACKEND = Backend("b", "openai", "http://h", ("m",))


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        (Usage(1_000_000, 0), 1.0),
        (Usage(1_000_000, 0, cached_input_tokens=1_000_000), 0.1),
        (Usage(1_000_000, 0, cached_input_tokens=400_000, cache_write_tokens=100_000), 0.5 + 0.04 + 0.125),
        (Usage(1_000_000, 0, cached_input_tokens=9_000_000), 0.1),
        (Usage(0, 1_000_000, reasoning_tokens=900_000), 2.0),
        (Usage(), 0.0),
    ],
)
def test_cached_and_written_input(table, usage, usd):
    """Cached and written tokens are part of the input, each at its own rate."""
    own = table("[b.m]\ninput = 1\noutput = 2\ncached_input = 0.1\ncache_write = 1.25")

    assert own.cost(BACKEND, "m", usage).usd == pytest.approx(usd)


def test_cached_input_without_a_rate_costs_as_input(table):
    """What has no price of its own is not free."""
    own = table("[b.m]\ninput = 1\noutput = 2")

    assert own.cost(BACKEND, "m", Usage(1_000_000, 0, 500_000, 100_000)).usd == pytest.approx(1.0)


def test_the_hour_counts():
    """DeepSeek is cheaper outside its peak."""
    peak, night = (dt.datetime(2026, 11, 18, hour, 30, tzinfo=dt.UTC) for hour in (7, 20))
    dear, cheap = (Prices().cost(DEEPSEEK, "deepseek-flash", MILLION, at).usd for at in (peak, night))

    assert dear > cheap > 0


def test_an_hour_of_cache_costs_more():
    """Anthropic bills what is written for an hour above what is written for five minutes."""
    anthropic = catalogue()["anthropic"]
    short, long = (
        Prices().cost(anthropic, "claude-haiku-5-5", Usage(1000, 0, 0, 800, raw={"cache_creation": {name: 800}})).usd
        for name in ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
    )

    assert long > short > 0


def test_openrouter_tells_its_cost():
    """Its own figure is the truth, whoever served the call."""
    usage = Usage(1, 1, raw={"cost": 0.0042})

    assert Prices().cost(catalogue()["openrouter"], "any/model", usage).usd == 0.0042
    assert Prices().cost(GROQ, "any/model", usage).usd is None


@pytest.mark.parametrize("usage", [Usage(10, 5, 99, 99), Usage(0, 0, 5, 5), Usage(10, 5, raw={"service_tier": "flex"})])
def test_odd_usage_is_survived(usage):
    """Cached tokens beyond the input and unknown tiers do not break the books."""
    assert Prices().cost(GROQ, "llama-3.3-70b-versatile", usage).usd >= 0


def test_without_the_table(monkeypatch):
    """An installation without genai-prices prices nothing, and says why."""
    prices._public_table.cache_clear()
    monkeypatch.setitem(sys.modules, "genai_prices", None)

    cost = Prices().cost(GROQ, "llama-3.3-70b-versatile", MILLION)

    prices._public_table.cache_clear()
    assert (cost.usd, cost.version) == (None, "unpriced: genai-prices is not installed")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[b.m]\ninput = 1", "b.m.output is missing; it is the price of a million tokens in US dollars."),
        ("[b.m]\ninput = -1\noutput = 1", "b.m.input must be a number of at least 0, got -1."),
        ("[b.m]\ninput = 1\noutput = 1\ncached = 1", 'b.m.cached is not a known key; did you mean "cached_input"?'),
        ("[b]\nm = 1", "b.m must be a table, got 1."),
        ("= 1", "this is not valid TOML"),
    ],
)
def test_mistakes_in_the_file(table, text, told):
    """A wrong price file is told with its place."""
    with pytest.raises(ConfigError) as caught:
        table(text)

    assert told in str(caught.value)


def test_a_missing_file(tmp_path):
    """A file that is configured must be there."""
    with pytest.raises(ConfigError, match="cannot be read"):
        Prices(str(tmp_path / "missing.toml"))
