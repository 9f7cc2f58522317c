"""The built-in catalogue: complete, sourced, and in an order in which the free come first."""

import datetime as dt

import pytest
from genai_prices.data import providers

from optimizer_config.catalogue import catalogue
from optimizer_config.model import Reset

NAMES = tuple(catalogue())
FREE = {"cerebras", "groq", "mistral", "gemini", "openrouter"}
LOCAL = {"ollama", "vllm", "llamacpp"}
PAID = {"openai", "anthropic", "together", "xai", "deepseek"}
PROVIDERS = {provider.id: provider for provider in providers}


def test_every_backend_is_there():
    """The catalogue has the thirteen backends, the paid ones last."""
    kinds = [backend.kind for backend in catalogue().values()]

    assert set(NAMES) == FREE | LOCAL | PAID
    assert {name for name in NAMES if catalogue()[name].kind == "paid"} == PAID
    assert kinds == sorted(kinds, key=["free", "local", "paid"].index)


@pytest.mark.parametrize("name", NAMES)
def test_entries_are_usable(name):
    """Every entry has an address, models, a key unless it is local, and a limit on what is in flight."""
    backend = catalogue()[name]

    assert backend.name == name
    assert backend.base_url.startswith("http")
    assert backend.base_url == backend.base_url.rstrip("/")
    assert backend.default_model == backend.models[0]
    assert backend.concurrency >= 1
    assert backend.kind == "local" or backend.api_key_env
    assert backend.base_url.startswith("http://127.0.0.1") == (backend.kind == "local")
    assert (backend.api == "anthropic") == (name == "anthropic")


def test_what_is_known_of_each_provider():
    """Response headers are read where they are documented; Gemini's day ends at midnight in California."""
    entries = catalogue()

    headers = {name: entry.ratelimit_headers for name, entry in entries.items() if entry.ratelimit_headers}
    assert headers == {name: name for name in ("cerebras", "groq", "mistral", "openai", "anthropic", "together")}
    assert [name for name, entry in entries.items() if entry.counts_max_tokens] == ["cerebras"]
    assert [limit.reset for limit in entries["gemini"].limits] == [Reset("day", 0, 0, "America/Los_Angeles")]
    assert "tpmonth" in {limit.name for limit in entries["mistral"].limits}


@pytest.mark.parametrize("name", NAMES)
def test_limits_have_a_source_and_a_date(name):
    """A number without a source cannot be judged, one without a date not be renewed."""
    for limit in catalogue()[name].limits:
        assert limit.source
        assert dt.date.fromisoformat(limit.as_of if len(limit.as_of) > 7 else f"{limit.as_of}-01").year >= 2026


@pytest.mark.parametrize("name", [name for name in NAMES if catalogue()[name].kind != "local"])
def test_every_model_has_a_price(name):
    """What can cost money is priced, by the provider that the entry names."""
    backend = catalogue()[name]

    assert backend.prices in PROVIDERS
    for model in backend.models:
        assert PROVIDERS[backend.prices].find_model(model, all_providers=providers), model
