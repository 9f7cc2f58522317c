"""The failed calls of a backend, summed up by what went wrong. Pure."""

from collections.abc import Iterable

import msgspec

from optimizer_ops.history.views import CallRow

_ANSWERED = "answered"


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of failure: how often, when last, and what was said then."""

    outcome: str
    status: int | None
    times: int
    last: float
    message: str


def failures_of(calls: Iterable[CallRow]) -> list[Failure]:
    """The kinds of failures among some calls, the one seen last first. Calls that still run are none."""
    found: dict[tuple[str, int | None], list[CallRow]] = {}
    for call in calls:
        if call.outcome is not None and call.outcome != _ANSWERED:
            found.setdefault((call.outcome, call.status), []).append(call)
    failures = [_failure(kind, rows) for kind, rows in found.items()]
    return sorted(failures, key=lambda failure: -failure.last)


def _failure(kind: tuple[str, int | None], rows: list[CallRow]) -> Failure:
    latest = max(rows, key=_ended)
    return Failure(outcome=kind[0], status=kind[1], times=len(rows), last=_ended(latest), message=latest.message or "")


def _ended(call: CallRow) -> float:
    return call.ended if call.ended is not None else call.started
