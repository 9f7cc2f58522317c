"""Whether the fleet keeps what it is to keep: share of success, time to an answer, share without a call. Pure."""

from collections.abc import Iterator

import msgspec

from optimizer_config.alert_settings import AlertSettings
from optimizer_ops.alerts.finding import Finding, over, under
from optimizer_ops.alerts.kinds import DEGRADED
from optimizer_ops.formatting.units import duration, milliseconds


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """The requests that ended in a span.

    `failed` are those that the optimizer or its backends could not serve; what was wrong with the request itself, or
    was beyond a quota, is in neither. `spared` needed no call of their own. `p95_ms` is of those that were answered.
    """

    answered: int
    failed: int
    spared: int
    p95_ms: float | None = None


def degraded(settings: AlertSettings, served: Served) -> Iterator[Finding]:
    """What is outside its objective. Too few requests are no evidence of anything: they are well."""
    judged = served.answered + served.failed
    if settings.success_rate:
        yield _success(settings, served, judged)
    if settings.p95_ms and served.p95_ms is not None:
        yield _p95(settings, served, settings.p95_ms, served.p95_ms)
    if settings.hit_rate and served.answered:
        yield _hits(settings, served, settings.hit_rate)


def _success(settings: AlertSettings, served: Served, judged: int) -> Finding:
    rate = served.answered / judged if judged else 1.0
    least = settings.success_rate
    # Half of what may fail must have come back: at the very border it would be raised again at once.
    state = under(rate, least, min(1.0, least + (1 - least) / 2))
    within = duration(settings.window_s)
    few = judged < settings.least_requests
    return Finding(
        name=DEGRADED,
        subject="success_rate",
        state="good" if few else state,
        # Ten times what may fail is not a matter for tomorrow.
        severity="critical" if 1 - rate > 10 * (1 - least) or rate < 0.5 else "warning",
        message=f"Only {_few(judged)} ended in the last {within}."
        if few
        else f"{served.failed} of {judged} requests failed in the last {within}: {100 * rate:.1f} % were served, "
        f"{100 * least:g} % are wanted.",
        value=rate,
        threshold=least,
    )


def _p95(settings: AlertSettings, served: Served, most_ms: float, p95_ms: float) -> Finding:
    few = served.answered < settings.least_requests
    return Finding(
        name=DEGRADED,
        subject="p95",
        state="good" if few else over(p95_ms, most_ms, 0.9 * most_ms),
        message=f"One request in twenty took longer than {milliseconds(p95_ms)}; at most {milliseconds(most_ms)} "
        "are wanted.",
        value=p95_ms,
        threshold=most_ms,
    )


def _hits(settings: AlertSettings, served: Served, least: float) -> Finding:
    rate = served.spared / served.answered
    few = served.answered < settings.least_requests
    return Finding(
        name=DEGRADED,
        subject="hit_rate",
        state="good" if few else under(rate, least, min(1.0, 1.1 * least)),
        message=f"{100 * rate:.0f} % of the answers of the last {duration(settings.window_s)} needed no call of their "
        f"own; {100 * least:g} % are wanted.",
        value=rate,
        threshold=least,
    )


def _few(count: int) -> str:
    return "one request" if count == 1 else f"{count} requests"
