"""Rate-limit headers as the named providers send them: real names, real value formats. Pure.

Each provider shows other windows under other names, and that is the point: `x-ratelimit-limit-requests` is a day at
Groq and a minute at OpenAI, Mistral writes the window into the name, Anthropic sends absolute times.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from optimizer_ops.simulator.limits import Refusal, Window
from optimizer_ops.simulator.spec import Dimension, HeaderStyle

_MINUTE_S = 60.0
_DAY_S = 86400.0
_MONTH_S = 30 * _DAY_S
_WINDOW_NAMES = {1.0: "second", _MINUTE_S: "minute", 3600.0: "hour", _DAY_S: "day", _MONTH_S: "month"}


@dataclass(frozen=True, slots=True)
class Moment:
    """What the headers of one answer are made of: the windows, both clocks (seconds), a number, the tokens it cost."""

    windows: tuple[Window, ...]
    now: float
    wall: float
    ident: str
    tokens: int = 0
    elapsed_s: float = 0.0

    def find(self, of: Dimension, *spans_s: float) -> Window | None:
        """The window of this dimension with the first of these spans that exists."""
        for span in spans_s:
            for window in self.windows:
                if window.limit.of == of and window.limit.per_s == span:
                    return window
        return None

    def left(self, window: Window) -> int:
        """How much of the window is left."""
        return max(0, window.limit.count - window.used(self.now))


def go_duration(seconds: float) -> str:
    """As Go prints a duration: `0s`, `2ms`, `8.64s`, `6m0s`, `24h0m0s`."""
    if seconds <= 0:
        return "0s"
    if seconds < 1:
        return f"{_decimal(max(seconds * 1000, 0.001), 3)}ms"
    minutes, rest_ms = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{head}{_decimal(rest_ms / 1000, 3)}s"


def rate_headers(style: HeaderStyle, moment: Moment) -> list[tuple[str, str]]:
    """The headers that the provider sends with every answer, refused ones included."""
    return _STYLES[style](moment)


def retry_headers(style: HeaderStyle, refusal: Refusal) -> list[tuple[str, str]]:
    """The provider's hint on a 429 about when to ask again. Cerebras, Together, Gemini and `none` send none."""
    seconds = min(refusal.retry_after_s, _DAY_S)
    if style in {"groq", "mistral", "anthropic"}:
        return [("retry-after", str(math.ceil(seconds)))]
    if style == "openai":
        return [("retry-after", str(math.ceil(seconds))), ("retry-after-ms", str(math.ceil(seconds * 1000)))]
    return []


def _decimal(value: float, places: int) -> str:
    return f"{value:.{places}f}".rstrip("0").rstrip(".")


def _none(_moment: Moment) -> list[tuple[str, str]]:
    return []


def _triple(moment: Moment, window: Window | None, kind: str) -> Iterable[tuple[str, str]]:
    """The classic three: limit, remaining, and the time until nothing is used."""
    if window is not None:
        yield f"x-ratelimit-limit-{kind}", str(window.limit.count)
        yield f"x-ratelimit-remaining-{kind}", str(moment.left(window))
        yield f"x-ratelimit-reset-{kind}", go_duration(window.full_in_s(moment.now))


def _openai(moment: Moment) -> list[tuple[str, str]]:
    return [
        *_triple(moment, moment.find("requests", _MINUTE_S, _DAY_S), "requests"),
        *_triple(moment, moment.find("tokens", _MINUTE_S, _DAY_S), "tokens"),
        ("openai-processing-ms", str(round(moment.elapsed_s * 1000))),
        ("openai-version", "2020-10-01"),
        ("x-request-id", f"req_{moment.ident}"),
    ]


def _groq(moment: Moment) -> list[tuple[str, str]]:
    return [
        *_triple(moment, moment.find("requests", _DAY_S), "requests"),
        *_triple(moment, moment.find("tokens", _MINUTE_S), "tokens"),
        ("x-groq-region", "fra"),
        ("x-request-id", f"req_{moment.ident}"),
    ]


def _cerebras(moment: Moment) -> list[tuple[str, str]]:
    lines = [("x-request-id", moment.ident)]
    for window in moment.windows:
        span = _WINDOW_NAMES.get(window.limit.per_s)
        if span is not None and window.limit.of in {"requests", "tokens"}:
            kind = f"{window.limit.of}-{span}"
            lines += [
                (f"x-ratelimit-limit-{kind}", str(window.limit.count)),
                (f"x-ratelimit-remaining-{kind}", str(moment.left(window))),
                (f"x-ratelimit-reset-{kind}", f"{window.full_in_s(moment.now):.6f}"),
            ]
    return lines


def _mistral(moment: Moment) -> list[tuple[str, str]]:
    lines = [("x-kong-request-id", moment.ident)]
    for window in moment.windows:
        span = _WINDOW_NAMES.get(window.limit.per_s, f"{window.limit.per_s:g}-second")
        what = {"requests": "req", "tokens": "tokens"}.get(window.limit.of)
        if what is not None:
            lines += [
                (f"x-ratelimit-limit-{what}-{span}", str(window.limit.count)),
                (f"x-ratelimit-remaining-{what}-{span}", str(moment.left(window))),
            ]
    return [*lines, ("x-ratelimit-tokens-query-cost", str(moment.tokens))]


def _anthropic(moment: Moment) -> list[tuple[str, str]]:
    lines = [
        ("request-id", f"req_{moment.ident}"),
        ("anthropic-organization-id", "00000000-0000-4000-8000-000000000000"),
    ]
    kinds: tuple[tuple[Dimension, str], ...] = (
        ("requests", "requests"),
        ("tokens", "tokens"),
        ("input", "input-tokens"),
        ("output", "output-tokens"),
    )
    for of, kind in kinds:
        window = moment.find(of, _MINUTE_S, 3600.0, _DAY_S)
        if window is not None:
            left = moment.left(window)
            full = datetime.fromtimestamp(moment.wall, UTC) + timedelta(seconds=window.full_in_s(moment.now))
            lines += [
                (f"anthropic-ratelimit-{kind}-limit", str(window.limit.count)),
                (f"anthropic-ratelimit-{kind}-remaining", str(left if of == "requests" else round(left, -3))),
                (f"anthropic-ratelimit-{kind}-reset", full.strftime("%Y-%m-%dT%H:%M:%SZ")),
            ]
    return lines


def _together(moment: Moment) -> list[tuple[str, str]]:
    lines = [("x-queue-time", "0"), ("x-request-id", moment.ident)]
    requests = moment.find("requests", 1.0, _MINUTE_S)
    if requests is not None:
        lines += [
            ("x-ratelimit-limit", _per_second(requests, requests.limit.count)),
            ("x-ratelimit-remaining", _per_second(requests, moment.left(requests))),
            ("x-ratelimit-reset", str(math.ceil(min(requests.wait_s(moment.now, 1), _DAY_S)) or 1)),
        ]
    tokens = moment.find("tokens", 1.0, _MINUTE_S)
    if tokens is not None:
        lines += [
            ("x-tokenlimit-limit", _per_second(tokens, tokens.limit.count)),
            ("x-tokenlimit-remaining", _per_second(tokens, moment.left(tokens))),
        ]
    return lines


def _per_second(window: Window, amount: int) -> str:
    return _decimal(amount / window.limit.per_s, 3)


_STYLES: dict[HeaderStyle, Callable[[Moment], list[tuple[str, str]]]] = {
    "none": _none,
    "openai": _openai,
    "groq": _groq,
    "cerebras": _cerebras,
    "mistral": _mistral,
    "anthropic": _anthropic,
    "together": _together,
    "gemini": _none,
}
