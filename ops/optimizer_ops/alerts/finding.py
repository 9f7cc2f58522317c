"""What a look at the fleet found about one thing that is watched."""

from typing import Literal

import msgspec

from optimizer_ops.alerts.kinds import Severity


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """How one subject of an alert stands.

    `state` is between while it is worse than where an alert is cleared and better than where it is raised: that is
    the hysteresis. `for_s` and `clear_s` are for how long it must be bad or good; None is as configured.
    """

    name: str
    subject: str
    state: Literal["bad", "between", "good"]
    severity: Severity = "warning"
    message: str = ""
    value: float | None = None
    threshold: float | None = None
    for_s: float | None = None
    clear_s: float | None = None


def over(value: float, raised: float, cleared: float) -> Literal["bad", "between", "good"]:
    """The state of a value that must not be above `raised`, and is well again at `cleared` or below."""
    return "bad" if value > raised else "good" if value <= cleared else "between"


def under(value: float, raised: float, cleared: float) -> Literal["bad", "between", "good"]:
    """The state of a value that must not be below `raised`, and is well again at `cleared` or above."""
    return over(-value, -raised, -cleared)
