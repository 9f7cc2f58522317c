"""The checker: whether what clients saw and what backends were asked keeps the promises, in the manner of Jepsen.

It is written apart from what it checks: it imports the standard library, the judge of request logs and the history.
Its rules, in the order in which they are looked at:

resolved      no request has more than one resolution at its caller, and none has it after its deadline
lost          none is pending for ever unless its caller was killed, and none missed its deadline while a backend of
              its route had budget
unexpected    none ended with an error that the test does not allow
right         the answer belongs to the question
calls         no question reached a backend more often than 1 + what failed calls and injected faults explain
budget        no window of any limit was exceeded at the backend
leftovers     no queue holds a message at the end
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.lab.history import ANSWERED, PENDING, WRONG, Fault, History, Note
from tests.support.judge import COUNTED_OPS, Call, Limit, measured, violations

DEADLINE = "deadline_exceeded"
# How much later than its deadline a caller on a busy machine may be told so.
LATE_S = 2.0


@dataclass(frozen=True)
class Broken:
    """A rule that was broken, and by which request or question, if it was one."""

    rule: str
    message: str
    note: Note | None = None
    question: str | None = None


@dataclass(frozen=True)
class Findings:
    """What the checker found. `summary` counts what it looked at, so that an empty run does not look like a pass."""

    broken: tuple[Broken, ...]
    summary: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every rule held."""
        return not self.broken


def check(
    history: History,
    calls: Sequence[Call],
    *,
    limits: Sequence[Limit] = (),
    leftovers: Mapping[str, int] | None = None,
    allowed: Collection[str] = (),
    service_s: float = 0.0,
) -> Findings:
    """Check all rules. `allowed` are error codes with which a request may end; `service_s` is what a call takes.

    :raises ValueError: if there is no request to check.
    """
    if not history.notes:
        raise ValueError("there is no request to check")
    calls = [call for call in calls if call.op in COUNTED_OPS]
    broken = [
        *_unresolved(history),
        *_lost(history, calls, limits, allowed, service_s),
        *_unexpected(history, {ANSWERED, WRONG, PENDING, DEADLINE, *allowed}),
        *_not_right(history),
        *_too_many_calls(history, calls),
        *_exceeded(calls, limits),
        *_left(leftovers or {}),
    ]
    counted = Counter(note.outcome for note in history.notes)
    summary = {"requests": len(history.notes), **counted, "calls": len(calls), "faults": len(history.faults)}
    return Findings(tuple(broken), summary)


# ── at the callers ───────────────────────────────────────────────────────────────────────────────────────────────────


def _unresolved(history: History) -> Iterable[Broken]:
    for note in history.notes:
        if note.resolutions > 1:
            yield Broken("resolved", f"its caller was told {note.resolutions} ends", note)
        elif note.resolutions and note.ended > note.deadline + LATE_S:
            yield Broken("resolved", f"its caller was told {note.ended - note.deadline:.1f} s after its deadline", note)


def _lost(
    history: History, calls: Sequence[Call], limits: Sequence[Limit], allowed: Collection[str], service_s: float
) -> Iterable[Broken]:
    died = {agent for fault in history.faults for agent in fault.callers}
    for note in history.notes:
        if note.outcome == PENDING and note.agent not in died:
            yield Broken("lost", "it never ended", note)
        elif note.outcome == DEADLINE and DEADLINE not in allowed:
            served = sorted({call.backend for call in calls} | {limit.backend for limit in limits if limit.backend})
            for backend in note.route or served or ("*",):
                if (at := could_be_served(note, backend, calls, limits, history.faults, service_s)) is not None:
                    later = at - note.asked
                    yield Broken(
                        "lost", f"it missed its deadline, and {backend} could have served it after {later:.1f} s", note
                    )
                    break


def could_be_served(
    note: Note,
    backend: str,
    calls: Sequence[Call],
    limits: Sequence[Limit],
    faults: Iterable[Fault],
    service_s: float,
) -> float | None:
    """The first moment at which a backend had room for a request and time enough to answer it; None if there was none.

    Room comes back when a request was asked, when a fault ends, when a call leaves a window, or when it ends.
    """
    own = [call for call in calls if call.backend == backend]
    binding = [limit for limit in limits if limit.backend in {None, backend}]
    away = [fault for fault in faults if {"*", backend} & set(fault.away)]
    moments = [note.asked, *(fault.until for fault in away)]
    moments += [call.start + limit.per_s for limit in binding if limit.what != "concurrency" for call in own]
    moments += [call.end for call in own if call.end is not None]
    for at in sorted(moments):
        if note.asked <= at <= note.deadline - service_s:
            there = not any(fault.at <= at < fault.until for fault in away)
            if there and all(_has_room(own, limit, at) for limit in binding):
                return at
    return None


def _has_room(own: Sequence[Call], limit: Limit, at: float) -> bool:
    """Whether a limit takes one more call now, by what arrived until now and by what arrives later in its window."""
    if limit.what == "concurrency":
        return sum(call.start <= at and (call.end is None or call.end > at) for call in own) < limit.count
    if limit.what != "requests":
        return True
    with_it = [*own, Call(limit.backend or "", 0, 0, COUNTED_OPS[0], at)]
    near = [call for call in with_it if abs(call.start - at) < limit.per_s]
    return measured(near, limit)[0] <= limit.count


def _unexpected(history: History, allowed: Collection[str]) -> Iterable[Broken]:
    for note in history.notes:
        if note.outcome not in allowed:
            yield Broken("unexpected", f"it ended with {note.outcome}: {note.message}", note)


def _not_right(history: History) -> Iterable[Broken]:
    for note in history.notes:
        if note.outcome in {ANSWERED, WRONG} and note.answer != f"echo:{note.question}":
            yield Broken("right", f"its caller got {note.answer!r}, which is not the answer to it", note)


# ── at the backends ──────────────────────────────────────────────────────────────────────────────────────────────────


def _too_many_calls(history: History, calls: Sequence[Call]) -> Iterable[Broken]:
    by_question: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        if call.question is not None:
            by_question[call.question].append(call)
    alone: Counter[str] = Counter(note.question for note in history.notes if note.cache != "use")
    shared = {note.question for note in history.notes if note.cache == "use"}
    for question, own in by_question.items():
        asked = alone[question] + (question in shared)
        if not asked:
            yield Broken("calls", "a backend was asked what nobody asked", question=question)
        elif (extra := unexplained(own, history.faults) - (asked - 1)) > 0:
            note = next(note for note in history.notes if note.question == question)
            message = f"it made {len(own)} upstream calls; nothing explains {extra:g} of them"
            yield Broken("calls", message, note, question)


def unexplained(calls: Sequence[Call], faults: Iterable[Fault]) -> int:
    """How many calls of one question are more than one, and follow neither a failed call nor a fault of that time.

    Each fault explains its number of calls of a question, each of which began after it and followed a call that it
    could have met: the fault acted, or had not healed, between the beginnings of the two.
    """
    ordered = sorted(calls, key=lambda call: call.start)
    left = {index: fault.extra_calls for index, fault in enumerate(faults)}
    known = list(faults)
    count = 0
    for before, after in pairwise(ordered):
        if before.status is not None and before.status != 200 and before.end is not None and before.end <= after.start:
            continue
        # The one that ends first is of no use to later calls.
        fitting = [
            index
            for index, fault in enumerate(known)
            if left[index] > 0 and fault.at <= after.start and fault.until >= before.start
        ]
        if fitting:
            left[min(fitting, key=lambda index: known[index].until)] -= 1
        else:
            count += 1
    return count


def _exceeded(calls: Sequence[Call], limits: Sequence[Limit]) -> Iterable[Broken]:
    for each in violations(calls, limits):
        yield Broken("budget", f"{each.backend} got {each.seen} of {each.limit}, allowed are {each.allowed}")


# ── in between ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _left(leftovers: Mapping[str, int]) -> Iterable[Broken]:
    for queue, count in sorted(leftovers.items()):
        if count:
            yield Broken("leftovers", f"{count} messages are left in {queue}")
