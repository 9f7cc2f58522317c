"""Where the time of one request went: waiting, calls, pauses, one after the other. Pure."""

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from optimizer_ops.history.views import CallRow, Happening, RequestRow

Kind = Literal["quota", "line", "moved", "call", "pause", "rest"]

# Shorter gaps are the way of a message from one process to the next.
LEAST_S = 0.05


class Segment(msgspec.Struct, frozen=True):
    """From `since` to `until` (Unix seconds) of a request's time: what it was for, and where.

    `why` is what a line waited for, how a call ended (None: nobody knows), or what a quota said.
    """

    kind: Kind
    since: float
    until: float
    backend: str = ""
    why: str | None = None

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.until - self.since


def segments(request: RequestRow, calls: Sequence[CallRow], happened: Iterable[Happening], now: float) -> list[Segment]:
    """The time between asking and the end (or `now`), in order; calls that ended before it was asked are left out."""
    end = now if request.ended is None else request.ended
    own = sorted(happened, key=lambda each: each.at)
    found: list[Segment] = []
    at, failed = request.asked, False
    ordered = sorted(calls, key=lambda call: call.started)
    for number, call in enumerate(ordered):
        following = ordered[number + 1] if number + 1 < len(ordered) else None
        ended = _end_of(call, following, end)
        if ended < request.asked:
            failed = True
            continue
        if call.started > end:
            break
        in_line = max(at, call.started - (call.waited_ms or 0) / 1000)
        if in_line - at >= LEAST_S:
            found.append(_gap(at, in_line, own, failed=failed))
        if call.started - in_line >= LEAST_S:
            found.append(Segment("line", in_line, call.started, call.backend, call.waited_for))
        began = max(request.asked, call.started)
        found.append(Segment("call", began, max(began, min(ended, end)), call.backend, call.outcome))
        at, failed = max(began, min(ended, end)), call.outcome != "answered"
    if end - at >= LEAST_S:
        found.append(_gap(at, end, own, failed=failed))
    return found


def _end_of(call: CallRow, following: CallRow | None, end: float) -> float:
    """When a call ended; one of which nothing more was heard lasted until the next one got in line, or the end."""
    if call.ended is not None:
        return call.ended
    if following is None:
        return end
    return max(call.started, following.started - (following.waited_ms or 0) / 1000)


def _gap(since: float, until: float, happened: Sequence[Happening], *, failed: bool) -> Segment:
    """Time without a call: what was told in it says what it was for."""
    told = [each for each in happened if since - LEAST_S <= each.at <= until + LEAST_S]
    for each in told:
        if each.type == "optimizer.quota":
            return Segment("quota", since, until, why=each.message)
        if each.type == "optimizer.rate_limit" and each.outcome == "moved":
            return Segment("moved", since, until, each.backend or "")
    return Segment("pause" if failed else "rest", since, until)
