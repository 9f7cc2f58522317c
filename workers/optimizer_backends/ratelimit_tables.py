"""Which header of which provider tells which limit: exact names, from the providers' documentation. Never guessed.

The same names mean other windows elsewhere (`x-ratelimit-remaining-requests` is of a day on Groq, of a minute on
OpenAI), so each provider has its own table. What no row names is ignored: OpenAI's `-input-images` is no dimension of
ours, its `-tokens_usage_based` has no documented window, Anthropic's `-unified-*-utilization` is a share of an
amount that is not told, Together's `-dynamic` is an estimate of theirs.
"""

from dataclasses import dataclass
from typing import Literal

from optimizer_config.model import Dimension
from optimizer_config.resets import DAY_S, MONTH_S

SECOND, MINUTE, HOUR, DAY = 1.0, 60.0, 3600.0, DAY_S
_PERIODS = {"minute": MINUTE, "hour": HOUR, "day": DAY}


@dataclass(frozen=True, slots=True)
class Row:
    """One limit: the headers that tell what is left of it, how much there is, and when it is full again."""

    dimension: Dimension
    per_s: float
    remaining: str
    limit: str = ""
    reset: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """The limits that a provider tells.

    `resets`: what its resets mean for who was refused without a `retry-after`. `exhausted`: the later one of the
    limits that are used up is when to come back; `always`: it is the pause that the provider suggests; `full`: it is
    when a bucket that fills steadily will be full, so nobody has to wait for it. `special` names what differs from
    the plain reading of the rows: see `ratelimits`.
    """

    rows: tuple[Row, ...]
    resets: Literal["exhausted", "always", "full"] = "exhausted"
    special: Literal["", "day or minute", "total", "renewal", "fields"] = ""


def _named(dimension: Dimension, per_s: float, end: str) -> Row:
    """`x-ratelimit-remaining-<end>` and its like."""
    return Row(dimension, per_s, *(f"x-ratelimit-{what}-{end}" for what in ("remaining", "limit", "reset")))


def _anthropic(dimension: Dimension, name: str) -> Row:
    return Row(dimension, MINUTE, *(f"anthropic-ratelimit-{name}-{what}" for what in ("remaining", "limit", "reset")))


def _bysize(per_s: float, period: str) -> Row:
    return Row("tokens", per_s, *(f"x-ratelimitbysize-{what}-{period}" for what in ("remaining", "limit")))


TABLES: dict[str, Table] = {
    # Requests of a minute, of some models of a day: their window is not told, but follows from the numbers.
    "openai": Table(
        (_named("requests", MINUTE, "requests"), _named("tokens", MINUTE, "tokens")), "full", "day or minute"
    ),
    "groq": Table((_named("requests", DAY, "requests"), _named("tokens", MINUTE, "tokens")), "full"),
    "cerebras": Table(
        tuple(
            _named(dimension, per_s, f"{dimension}-{period}")
            for dimension in ("requests", "tokens")
            for period, per_s in _PERIODS.items()
        )
    ),
    # Three generations of names; "bysize" counts tokens.
    "mistral": Table(
        (
            _named("requests", 10 * SECOND, "req-10-second"),
            _named("requests", MINUTE, "req-minute"),
            _named("tokens", MINUTE, "tokens-minute"),
            _named("tokens", MONTH_S, "tokens-month"),
            Row("tokens", MINUTE, "ratelimitbysize-remaining", "ratelimitbysize-limit", "ratelimitbysize-reset"),
            _bysize(MINUTE, "minute"),
            _bysize(MONTH_S, "month"),
        )
    ),
    "anthropic": Table(
        (
            _anthropic("requests", "requests"),
            _anthropic("input_tokens", "input-tokens"),
            _anthropic("output_tokens", "output-tokens"),
            _anthropic("tokens", "tokens"),
        ),
        special="total",
    ),
    "together": Table(
        (
            Row("requests", SECOND, "x-ratelimit-remaining", "x-ratelimit-limit", "x-ratelimit-reset"),
            Row("tokens", SECOND, "x-tokenlimit-remaining", "x-tokenlimit-limit"),
        ),
        "always",
    ),
    "azure": Table((_named("requests", MINUTE, "requests"), _named("tokens", MINUTE, "tokens")), special="renewal"),
    # The window of its `-tokens` is not documented: its limits in tokens are of a day.
    "sambanova": Table(
        (
            _named("requests", MINUTE, "requests"),
            _named("requests", DAY, "requests-day"),
        )
    ),
    # The window is in `ratelimit-policy`.
    "huggingface": Table((), special="fields"),
    "replicate": Table((Row("requests", MINUTE, "ratelimit-remaining", "ratelimit-limit", "ratelimit-reset"),)),
}
