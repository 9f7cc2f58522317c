"""The span of time that is asked for, and the baseline that sums count from unless another one is."""

import re
import time
from typing import Annotated, Literal

import msgspec

from optimizer_ops.dashboard.api.endpoint import Asked
from optimizer_ops.dashboard.api.errors import invalid
from optimizer_ops.formatting.ages import age_s
from optimizer_state.baseline import Baseline
from optimizer_state.store import RedisAway

DEFAULT_S = 24 * 3600
# Here `$` would also do before a line break at the end, in JavaScript not.
END = r"$(?!\n)"
_MOMENT = rf"^([0-9]{{1,6}}[smhd]|[0-9]{{1,10}}){END}"
_AGE = re.compile(r"[0-9]{1,6}[smhd]")
# Nice steps of a timeline of at most so many points.
_STEPS_S = (10, 30, 60, 300, 900, 1_800, 3_600, 10_800, 43_200, 86_400, 604_800)
_MOST_POINTS = 200

Moment = Annotated[
    str,
    msgspec.Meta(
        pattern=_MOMENT,
        description="How long ago (90s, 15m, 24h, 7d), or a Unix time in seconds.",
        examples=["24h"],
    ),
]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=rf"^[^\x00-\x1f\x7f]+{END}")]


class SpanQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """From when, and until when."""

    since: Moment | None = None
    until: Moment | None = None


class FilteredQuery(SpanQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A span, and values that whatever is summed up must have."""

    agent: Name | None = None
    backend: Name | None = None
    model: Name | None = None
    task: Name | None = None
    tenant: Name | None = None

    @property
    def where(self) -> dict[str, str]:
        """What was given of them."""
        given = {name: getattr(self, name) for name in ("agent", "backend", "model", "task", "tenant")}
        return {name: value for name, value in given.items() if value is not None}


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """From when until when (Unix seconds), and why then: as asked, since the last reset, or the last 24 hours."""

    since: float
    until: float
    chosen: Literal["asked", "reset", "default"]

    @property
    def step_s(self) -> float:
        """How long each step of a timeline is."""
        return next((step for step in _STEPS_S if (self.until - self.since) / step <= _MOST_POINTS), 30 * 86_400)


async def span_of(asked: Asked) -> Span:
    """The span of a request. Whole seconds, so that those who ask together ask the same.

    :raises ApiError: if it ends before it begins.
    """
    query, now = asked.query, int(time.time()) + 1
    until = float(now) if query.until is None else _moment(query.until, now)
    if query.since is not None:
        span = Span(since=_moment(query.since, now), until=until, chosen="asked")
    elif (reset := await _reset(asked)) is not None and reset < until:
        span = Span(since=reset, until=until, chosen="reset")
    else:
        span = Span(since=until - DEFAULT_S, until=until, chosen="default")
    if span.since >= span.until:
        raise invalid("The span ends before it begins: `since` must be earlier than `until`, and than now.")
    return span


def _moment(text: str, now: int) -> float:
    return float(max(0, now - age_s(text))) if _AGE.fullmatch(text) else float(text)


async def _reset(asked: Asked) -> float | None:
    """The last reset; if Redis is away, as if there was none: the answer says which span it is of."""
    try:
        return await asked.sources.cached.get("baseline", Baseline(asked.sources.store).get)
    except RedisAway:
        return None
