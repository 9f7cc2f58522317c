"""How soon a backend can take a call, as its workers tell it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

# What was told longer ago says nothing.
TRUSTED_MS = 5_000
# Outlooks are guesses: only a backend that can take a call so much sooner is clearly better.
CLEARLY_MS = 1_000
# A worker that died is started again within this time.
RESTART_MS = 15_000


@dataclass(frozen=True, slots=True)
class Outlook:
    """How soon a backend can take a call: one that arrives now starts at `ready_ms` (Unix milliseconds of the fleet's
    clock; past means now), and each further one `per_call_ms` later.

    `shut_ms`: until when surely no call at all starts there, however urgent; 0 if that is not sure. `reason` is what it
    waits for: the name of a limit, or a word such as `breaker`, `blocked`, `paused`; empty for none. `told_ms` is when
    a worker said so. `line` is of some of those that wait, by deadline: until when it waits, and when it starts. A call
    with an earlier deadline would start then, before it.
    """

    ready_ms: int
    per_call_ms: int = 0
    reason: str = ""
    told_ms: int = 0
    shut_ms: int = 0
    line: tuple[tuple[int, int], ...] = ()


def together(outlooks: Sequence[Outlook], now_ms: int) -> Outlook:
    """The outlook of a backend from those of its workers, who get its calls in turn: what a call has to expect of them.

    Until when nothing starts holds for all of them, since they share one budget. Those of workers that have not spoken
    for a while are left out, unless there are no others.
    """
    fresh = [outlook for outlook in outlooks if now_ms - outlook.told_ms <= TRUSTED_MS] or outlooks
    latest = max(fresh, key=lambda outlook: (outlook.shut_ms, outlook.ready_ms))
    ready = [max(outlook.ready_ms, latest.shut_ms, now_ms) for outlook in fresh]
    return replace(
        latest,
        ready_ms=0 if max(ready) <= now_ms else round(sum(ready) / len(ready)),
        told_ms=max(outlook.told_ms for outlook in fresh),
    )


def in_words(outlook: Outlook) -> str:
    """An outlook as it stands in Redis."""
    line = ",".join(f"{deadline_ms}:{start_ms}" for deadline_ms, start_ms in outlook.line) or "-"
    words = (outlook.ready_ms, outlook.per_call_ms, outlook.told_ms, outlook.shut_ms, line, outlook.reason)
    return " ".join(str(word) for word in words)


def read(text: str) -> Outlook:
    """What `in_words` has written."""
    ready_ms, per_call_ms, told_ms, shut_ms, line, reason = text.split(" ", 5)
    pairs = (pair.split(":") for pair in line.split(",") if pair != "-")
    waiting = tuple((int(deadline_ms), int(start_ms)) for deadline_ms, start_ms in pairs)
    return Outlook(int(ready_ms), int(per_call_ms), reason, int(told_ms), int(shut_ms), waiting)
