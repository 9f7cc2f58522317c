"""What a call will probably use of its backend's limits, and what it did use. No I/O; some microseconds a call."""

import math
import time
from collections.abc import Callable
from typing import Any

import msgspec

from optimizer_backends.prices import Prices
from optimizer_config.amounts import Amounts
from optimizer_config.model import Backend
from optimizer_state.estimates import Estimates
from optimizer_wire.messages import Op, Usage

# What an image, a sound or a file counts in the length of a prompt: about a thousand tokens.
ATTACHMENT_CHARS = 3000
# A token of an embeddings input that is given in tokens.
TOKEN_CHARS = 4
# Some prices differ by the hour.
PRICES_KEPT_S = 600.0
UNKNOWN_USUAL_TOKENS = 64
_SAMPLE_TOKENS = 1000
_MOST_PRICES = 256
# Where input from the provider's cache does not count against the limits, by the table of the rate-limit headers.
# Groq: https://console.groq.com/docs/rate-limits; Anthropic (what is written to the cache counts):
# https://platform.claude.com/docs/en/api/rate-limits
_CACHED_INPUT_IS_FREE = frozenset({"groq", "anthropic"})
_encoder = msgspec.json.Encoder()


def request_chars(params: dict[str, Any]) -> int:
    """The length of a request's prompt in characters: text of all roles, tools, and a guess for what is no text."""
    messages = params.get("messages")
    if not isinstance(messages, list):
        return _input_chars(params.get("input"))
    chars = 0
    for message in messages:
        if isinstance(message, dict):
            content = message.get("content")
            chars += len(content) if isinstance(content, str) else _content_chars(content)
            if calls := message.get("tool_calls"):
                chars += _json_chars(calls)
    for name in ("tools", "response_format"):
        if value := params.get(name):
            chars += _json_chars(value)
    return chars


def _content_chars(content: Any) -> int:
    if not isinstance(content, list):
        return 0
    chars = 0
    for part in content:
        text = part.get("text") if isinstance(part, dict) else part
        chars += len(text) if isinstance(text, str) else ATTACHMENT_CHARS
    return chars


def _input_chars(given: Any) -> int:
    """Of an embeddings input: a text, texts, tokens, or lists of tokens."""
    if isinstance(given, str):
        return len(given)
    if not isinstance(given, list):
        return 0
    return sum(TOKEN_CHARS if isinstance(part, int) else _input_chars(part) for part in given)


def _json_chars(value: Any) -> int:
    try:
        return len(_encoder.encode(value))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return 0


class Estimator:
    """Estimates the calls of one backend, and learns from their usage.

    `clock` is that of `time.monotonic`, in seconds.
    """

    def __init__(
        self,
        backend: Backend,
        prices: Prices,
        estimates: Estimates,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._prices = prices
        self._estimates = estimates
        self._clock = clock
        self._cached_input_is_free = (backend.ratelimit_headers or backend.name) in _CACHED_INPUT_IS_FREE
        # By model: US dollars for a token of input and of output, and until when they hold.
        self._rates: dict[str, tuple[float, float, float]] = {}

    def amounts(self, params: dict[str, Any], op: Op, model: str, *, chars: int | None = None) -> Amounts:
        """What a call will probably use; `chars` is the length of its prompt if it is known already."""
        length = request_chars(params) if chars is None else chars
        input_tokens = self._estimates.input_tokens(model, length)
        output_tokens = 0 if op == "embed" else self._output(params, model)
        input_usd, output_usd = self._usd_per_token(model)
        micro_usd = math.ceil((input_tokens * input_usd + output_tokens * output_usd) * 1e6)
        return Amounts(1, input_tokens, output_tokens, micro_usd)

    def usual_tokens(self, amounts: Amounts, model: str) -> int:
        """What such a call uses on average, while `amounts` is what it hardly exceeds; at least 1.

        Before anything is known it is a little: an agent would have to wait for what others are only feared to use.
        """
        output = self._estimates.lesson(model).usual_output
        likely = UNKNOWN_USUAL_TOKENS if output is None else output
        return max(1, amounts.input_tokens + min(likely, amounts.output_tokens))

    def knows(self, model: str) -> bool:
        """Whether enough was learned of a model's answers to go by it."""
        return self._estimates.lesson(model).output_quantile() is not None

    def used(self, usage: Usage | None, cost_usd: float | None, reserved: Amounts | None = None) -> Amounts | None:
        """What an answered call counts against the limits; None if nobody knows, then the estimate stays.

        Where the backend charges the maximum of output tokens whatever is used, what was `reserved` of it counts.
        """
        if usage is None:
            return None
        cached = min(usage.cached_input_tokens, usage.input_tokens) if self._cached_input_is_free else 0
        output_tokens = usage.output_tokens
        if self._backend.counts_max_tokens and reserved is not None:
            output_tokens = max(output_tokens, reserved.output_tokens)
        return Amounts(1, usage.input_tokens - cached, output_tokens, micro_usd(cost_usd))

    def learn(self, model: str, chars: int, usage: Usage, cost_usd: float | None) -> None:
        """Let later estimates follow what a call used. The fleet is told by `Learned.exchange`."""
        self._estimates.add(
            model,
            chars=chars,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            micro_usd=micro_usd(cost_usd),
        )

    def _output(self, params: dict[str, Any], model: str) -> int:
        choices = _whole(params.get("n")) or 1
        maximum = _whole(params.get("max_completion_tokens"))
        if maximum is None:
            maximum = _whole(params.get("max_tokens"))
        return choices * self._estimates.output_tokens(model, maximum)

    def _usd_per_token(self, model: str) -> tuple[float, float]:
        """The prices of a token now; 0 if nobody knows them."""
        now = self._clock()
        known = self._rates.get(model)
        if known is None or known[2] < now:
            known = (
                self._price(model, Usage(input_tokens=_SAMPLE_TOKENS)),
                self._price(model, Usage(output_tokens=_SAMPLE_TOKENS)),
                now + PRICES_KEPT_S,
            )
            # Callers choose the names of models: what they make up must not fill the memory.
            if len(self._rates) >= _MOST_PRICES:
                self._rates.clear()
            self._rates[model] = known
        return known[0], known[1]

    def _price(self, model: str, usage: Usage) -> float:
        return (self._prices.cost(self._backend, model, usage).usd or 0.0) / _SAMPLE_TOKENS


def micro_usd(usd: float | None) -> int:
    """Millionths of a US dollar, rounded up; 0 for an unknown amount."""
    return math.ceil(usd * 1e6 - 1e-6) if usd and math.isfinite(usd) and usd > 0 else 0


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
