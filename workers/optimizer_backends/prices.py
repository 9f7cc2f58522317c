"""What a call costs, in US dollars: a local file first, then the table of genai-prices. An unknown price is None."""

import hashlib
import tomllib
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from optimizer_backends.usage import count, table
from optimizer_config.errors import ConfigError
from optimizer_config.model import Backend
from optimizer_config.reader import Table
from optimizer_wire.messages import Usage

ANY_MODEL = "*"
_RATES = ("input", "output", "cached_input", "cache_write")


class Cost(msgspec.Struct, frozen=True):
    """A cost in US dollars, or None if nobody knows it; `version` names the table it was computed from."""

    usd: float | None
    version: str


class Rates(msgspec.Struct, frozen=True):
    """US dollars for a million tokens. Where cached or written input has no rate, that of input counts."""

    input: float
    output: float
    cached_input: float | None = None
    cache_write: float | None = None

    def cost(self, usage: Usage) -> float:
        """The cost of this usage in US dollars."""
        cached = min(usage.cached_input_tokens, usage.input_tokens)
        written = min(usage.cache_write_tokens, usage.input_tokens - cached)
        plain = usage.input_tokens - cached - written
        return (
            plain * self.input
            + cached * (self.input if self.cached_input is None else self.cached_input)
            + written * (self.input if self.cache_write is None else self.cache_write)
            + usage.output_tokens * self.output
        ) / 1_000_000


class Prices:
    """Prices of all backends.

    The override file is TOML: `[groq."llama-3.3-70b-versatile"]` with `input`, `output` and, if they differ,
    `cached_input` and `cache_write`, in US dollars for a million tokens; the model `"*"` stands for all others.
    A local backend costs nothing unless the file says so, because nobody sends a bill for its tokens.

    :raises ConfigError: if the file cannot be used.
    """

    def __init__(self, override_file: str | None = None) -> None:
        self._rates, self._version = _read(override_file) if override_file else ({}, "")

    @staticmethod
    def preload() -> None:
        """Import the public table now, which takes a tenth of a second, rather than with the first answer."""
        with suppress(ImportError):
            _public_table()

    def cost(self, backend: Backend, model: str, usage: Usage, at: datetime | None = None) -> Cost:
        """The cost of a call: `at` (default now) matters to providers whose prices differ by the hour."""
        models = self._rates.get(backend.name, {})
        if rates := models.get(model) or models.get(ANY_MODEL):
            return Cost(rates.cost(usage), self._version)
        if backend.kind == "local":
            return Cost(0.0, "local")
        if backend.prices is None:
            return Cost(None, "unpriced")
        return _told(backend, usage) or _from_table(backend.prices, model, usage, at)


def _told(backend: Backend, usage: Usage) -> Cost | None:
    """OpenRouter says itself what a call cost, whichever of its providers served it."""
    cost = (usage.raw or {}).get("cost")
    if backend.prices != "openrouter" or isinstance(cost, bool) or not isinstance(cost, int | float) or cost < 0:
        return None
    return Cost(float(cost), "usage.cost")


def _from_table(provider: str, model: str, usage: Usage, at: datetime | None) -> Cost:
    try:
        public = _public_table()
    except ImportError:
        return Cost(None, "unpriced: genai-prices is not installed")
    try:
        total = public.price(provider, model, usage, at)
    except (LookupError, ValueError):
        return Cost(None, f"unpriced: {public.version}")
    return Cost(float(total), public.version)


class _PublicTable:
    """genai-prices, imported when the first price is asked for: it takes a tenth of a second. It never goes online."""

    def __init__(self) -> None:
        import genai_prices

        self._package: Any = genai_prices
        self.version = f"genai-prices {genai_prices.__version__}"

    def price(self, provider: str, model: str, usage: Usage, at: datetime | None) -> Decimal:
        """The total price in US dollars.

        :raises LookupError: if the provider or model is unknown.
        :raises ValueError: if the usage does not fit the model's units.
        """
        cached = min(usage.cached_input_tokens, usage.input_tokens)
        written = min(usage.cache_write_tokens, usage.input_tokens - cached)
        raw = usage.raw or {}
        # Anthropic's cache costs more for an hour than for five minutes.
        for_an_hour = count(table(raw.get("cache_creation")).get("ephemeral_1h_input_tokens"))
        counted = self._package.Usage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=cached,
            cache_write_tokens=written,
            cache_write_1h_tokens=min(for_an_hour, written),
        )
        tier = raw.get("service_tier")
        context = {"service_tier": tier} if isinstance(tier, str) else None
        found = self._package.calc_price(
            counted, model, provider_id=provider, genai_request_timestamp=at, price_context=context
        )
        total: Decimal = found.total_price
        return total


@cache
def _public_table() -> _PublicTable:
    return _PublicTable()


def _read(path: str) -> tuple[dict[str, dict[str, Rates]], str]:
    try:
        text = Path(path).read_text(encoding="utf-8")
        root = Table(tomllib.loads(text), path)
    except OSError as error:
        raise ConfigError(f"prices_file: the file {path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise ConfigError(f"{path}: this is not valid TOML: {error}.") from None
    rates = {backend: _backend(root.table(backend)) for backend in root.unread()}
    return rates, f"{Path(path).name} {hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _backend(models: Table) -> dict[str, Rates]:
    return {model: _model(models.table(model)) for model in models.unread()}


def _model(rates: Table) -> Rates:
    given = {name: rates.number(name) for name in _RATES}
    for name in ("input", "output"):
        if given[name] is None:
            rates.fail(name, "is missing; it is the price of a million tokens in US dollars.")
    rates.finish()
    return Rates(given["input"] or 0.0, given["output"] or 0.0, given["cached_input"], given["cache_write"])
