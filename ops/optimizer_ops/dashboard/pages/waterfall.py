"""A request's time as bars: what it waited for and what was called, where each begins and how long it takes. Pure."""

import msgspec

from optimizer_ops.history.views import CallRow, Trace

# A bar that is thinner is not seen.
_THINNEST = 0.6


class Bar(msgspec.Struct, frozen=True):
    """One bar: `left` and `width` in percent of the whole."""

    name: str
    kind: str
    begins_ms: float
    lasts_ms: float | None
    left: float
    width: float
    note: str = ""


def waterfall(trace: Trace, now: float) -> list[Bar]:
    """The bars in the order in which they begin: the whole first, then each wait and each call."""
    request = trace.request
    end = request.ended or max([call.ended or call.started for call in trace.calls] + [request.asked])
    total = request.total_ms or max(0.0, (end - request.asked) * 1000)
    if not request.ended and request.outcome == "open":
        total = max(0.0, (now - request.asked) * 1000)
    spans: list[tuple[str, str, float, float | None, str]] = [("whole request", "whole", 0.0, total, request.outcome)]
    reached = 0.0
    for call in sorted(trace.calls, key=lambda call: call.started):
        begins = (call.started - request.asked) * 1000
        if begins > reached + 1:
            spans.append(("waits", "wait", reached, begins - reached, f"for {call.backend}"))
        lasts = _lasts_ms(call)
        spans.append((f"call to {call.backend}", _kind(call), begins, lasts, _outcome(call)))
        reached = max(reached, begins + (lasts or 0.0))
    whole = max(total, reached, 0.001)
    return [
        Bar(
            name,
            kind,
            begins,
            lasts,
            min(max(begins, 0.0) / whole * 100, 100 - _THINNEST),
            max(min((total - begins if lasts is None else lasts) / whole * 100, 100.0), _THINNEST),
            note,
        )
        for name, kind, begins, lasts, note in spans
    ]


def _lasts_ms(call: CallRow) -> float | None:
    if call.ended is None:
        return call.call_ms
    return max(0.0, (call.ended - call.started) * 1000)


def _kind(call: CallRow) -> str:
    if call.outcome is None:
        return "unknown"
    return "answered" if call.outcome == "answered" else "failed"


def _outcome(call: CallRow) -> str:
    if call.outcome is None:
        return "runs, or its worker died"
    return call.outcome if call.status is None else f"{call.outcome} ({call.status})"
