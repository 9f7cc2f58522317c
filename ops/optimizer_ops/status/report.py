"""What `optimizer status` shows: the present, the past and what is wrong, as one object."""

import msgspec

from optimizer_ops.live.problems import problems_of
from optimizer_ops.live.status import LiveStatus, Problem
from optimizer_ops.status.past import Past


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How the fleet does. `hit_rate_today` is the share of requests that needed no call of their own."""

    live: LiveStatus
    past: Past
    problems: list[Problem]
    hit_rate_today: float | None
    ok: bool


def report_of(live: LiveStatus, past: Past) -> Report:
    """The report: it is ok if nothing is critical."""
    problems = problems_of(live, past.recording, past.alerts)
    return Report(
        live=msgspec.structs.replace(live, problems=[]),
        past=past,
        problems=problems,
        hit_rate_today=past.today.hit_rate,
        ok=all(problem.severity != "critical" for problem in problems),
    )
