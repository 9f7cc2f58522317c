"""Why a request took as long as it did, in one or two sentences. Pure."""

from collections.abc import Sequence

from optimizer_ops.history.segments import Segment
from optimizer_ops.history.views import CallRow, RequestRow

# What is less of the whole is not worth a word, unless it is a call.
WORTH = 0.05
_WHY = {
    "concurrency": "all its places were taken",
    "blocked": "it had asked to be left alone",
    "breaker": "its circuit breaker was open",
    "paused": "an operator had paused it",
    "share": "its share of the fleet's calls was used up",
    "own share": "Redis was away, and its worker's share was used up",
    "redis": "Redis was away",
    "restored": "Redis had just come back",
    "retries": "the fleet's retry budget was used up",
}


def seconds(value: float) -> str:
    """A time in words: `8 ms`, `0.92 s`, `12.1 s`, `95 s`."""
    if value < 0.1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s" if value < 60 else f"{value:,.0f} s"


def missing(why: str | None) -> str:
    """What a line waited for, in words."""
    return "" if not why else _WHY.get(why, f"{why} used up")


def verdict(
    request: RequestRow, leader: RequestRow | None, calls: Sequence[CallRow], spent: Sequence[Segment], now: float
) -> str:
    """Where the time went; `leader` is the request whose call it joined."""
    took = (now if request.ended is None else request.ended) - request.asked
    joined = _joined(request, leader)
    if request.source == "cache" and request.outcome == "answered":
        return joined + _from_cache(request, took, spent)
    where = _where(spent, took)
    if request.outcome == "answered":
        return f"{joined}It took {seconds(took)}{where}."
    if request.outcome == "open":
        return f"{joined}It is not answered yet, {seconds(took)} after it was asked{where}{_running(calls)}."
    if request.outcome == "unknown":
        return f"{joined}Nothing was heard of its end{where}."
    reason = f" {request.message}" if request.message else ""
    return f"{joined}It ended with {request.outcome} after {seconds(took)}{where}.{reason}"


def _from_cache(request: RequestRow, took: float, spent: Sequence[Segment]) -> str:
    age = "" if request.age_s is None else f"; the answer was {seconds(request.age_s)} old"
    waited = f"{_where(spent, took)}" if took >= 1 else ""
    return f"It was answered from the cache in {seconds(took)}{waited}{age}."


def _joined(request: RequestRow, leader: RequestRow | None) -> str:
    if request.source != "collapsed":
        return ""
    if leader is None:
        return "It joined a call that was on its way already. "
    before = request.asked - leader.asked
    when = f"asked {seconds(before)} before it" if before >= 0 else "asked at the same time"
    return f"It joined the call of request {leader.id} ({leader.agent}, {when}). "


def _running(calls: Sequence[CallRow]) -> str:
    if any(call.outcome is None for call in calls):
        return ""
    return "; no call runs, or nobody has told of it yet"


def _where(spent: Sequence[Segment], took: float) -> str:
    """`: 12.1 s in line for groq (rpm 30 used up), then one call of 0.9 s`; empty if nothing is known."""
    worth = [part for part in spent if part.kind == "call" or part.seconds >= WORTH * took]
    words: list[str] = []
    number = 0
    while number < len(worth):
        part, alike = worth[number], 1
        while number + alike < len(worth) and _alike(part, worth[number + alike]):
            alike += 1
        words.append(_words(worth[number : number + alike]))
        number += alike
    return f": {', then '.join(words)}" if words else ""


def _alike(one: Segment, other: Segment) -> bool:
    return (one.kind, one.backend, one.why) == (other.kind, other.backend, other.why)


def _words(alike: Sequence[Segment]) -> str:
    part, lasted = alike[0], seconds(sum(each.seconds for each in alike))
    match part.kind:
        case "line":
            why = missing(part.why)
            return f"{lasted} in line for {part.backend}" + (f" ({why})" if why else "")
        case "quota":
            return f"{lasted} for a quota" + (f" ({part.why.rstrip('.')})" if part.why else "")
        case "moved":
            return f"{lasted} in line for {part.backend}, until it moved on"
        case "pause":
            return f"a pause of {lasted} before it was called again"
        case "rest":
            return f"{lasted} in queues and between processes"
        case "call":
            many = f"{len(alike)} calls" if len(alike) > 1 else "one call"
            how = _HOW.get(part.why or "", f"ended with {part.why}") if part.why else "never ended: its worker died"
            return f"{many} to {part.backend} of {lasted}" + (f" that {how}" if how else "")


_HOW = {
    "answered": "",
    "throttled": "it refused for its rate",
    "ramp": "it refused for its rate",
    "overloaded": "failed: the backend was overloaded",
    "transient": "failed",
    "timed_out": "timed out",
    "quota_day": "it refused: its quota of the day is used up",
    "billing": "it refused: its account is empty",
    "unauthorized": "it refused: the key was not accepted",
    "cancelled": "was cancelled",
}
