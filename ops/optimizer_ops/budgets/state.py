"""Whether calls may start at a backend, in words. Pure."""

from optimizer_ops.formatting.units import count_of, duration
from optimizer_state.levels import Levels

_SOON_MS = 50


def states(levels: Levels) -> list[tuple[str, str]]:
    """Everything that stands in the way of a call, worst first, each with a colour; or that nothing does."""
    found = [
        *_mode(levels),
        *_breaker(levels),
        *_blocked(levels),
        *([] if levels.workers else [("no worker runs", "red")]),
    ]
    return (found or [_outlook(levels)]) + _failures(levels)


def _mode(levels: Levels) -> list[tuple[str, str]]:
    words = {"paused": "paused: no call starts", "draining": "draining: takes no new requests"}
    return [(words[levels.mode], "yellow")] if levels.mode else []


def _breaker(levels: Levels) -> list[tuple[str, str]]:
    breaker = levels.breaker
    if breaker.state == "open":
        return [(f"breaker open for {duration(breaker.open_ms / 1000)} more", "red")]
    if breaker.state == "half_open":
        return [("breaker half open: one call tries", "yellow")]
    return []


def _blocked(levels: Levels) -> list[tuple[str, str]]:
    if not levels.blocked_ms:
        return []
    reason = f" ({levels.blocked_reason})" if levels.blocked_reason else ""
    return [(f"blocked for {duration(levels.blocked_ms / 1000)} more{reason}", "red")]


def _outlook(levels: Levels) -> tuple[str, str]:
    outlook = levels.outlook
    if outlook is None or outlook.ready_ms - levels.at_ms <= _SOON_MS:
        return "takes calls", "green"
    reason = f" ({outlook.reason})" if outlook.reason else ""
    return f"a new call starts in {duration((outlook.ready_ms - levels.at_ms) / 1000)}{reason}", "yellow"


def _failures(levels: Levels) -> list[tuple[str, str]]:
    failures = levels.breaker.failures if levels.breaker.state == "closed" else 0
    return [(f"{count_of(failures, 'failure')} of late", "yellow")] if failures else []
