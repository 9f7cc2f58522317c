"""What is counted over a span: calls refused for their rate, dead letters, events that were lost. Pure."""

from collections.abc import Iterator, Mapping

from optimizer_config.alert_settings import AlertSettings
from optimizer_ops.alerts.finding import Finding, over
from optimizer_ops.alerts.kinds import DEAD, LOST, RATE_LIMIT
from optimizer_ops.formatting.units import count_of, duration

# Dead letters and lost events are told once; what lies there is not told of again and again.
RECENT_S = 900.0


def rate_limited(settings: AlertSettings, throttled: Mapping[str, int]) -> Iterator[Finding]:
    """Backends that refuse calls for their rate, by how often they did in `throttled_s`."""
    for backend, times in throttled.items():
        yield Finding(
            name=RATE_LIMIT,
            subject=backend,
            state=over(times, settings.throttled, settings.throttled // 2),
            message=f"{backend} refused {count_of(times, 'call')} for their rate in the last "
            f"{duration(settings.throttled_s)}.",
            value=times,
            threshold=settings.throttled,
        )


def dead_letters(arrived: int) -> Iterator[Finding]:
    """Dead letters that came lately."""
    yield Finding(
        name=DEAD,
        subject="dead_letters",
        state="bad" if arrived else "good",
        message=f"{count_of(arrived, 'message')} became {'a dead letter' if arrived == 1 else 'dead letters'} in the "
        f"last {duration(RECENT_S)}.",
        value=arrived,
        threshold=0,
        for_s=0.0,
    )


def events_lost(lost: int) -> Iterator[Finding]:
    """Events that were told lately and never came to the recorder."""
    yield Finding(
        name=LOST,
        subject="recorder",
        state="bad" if lost else "good",
        message=f"{count_of(lost, 'event')} did not reach the recorder in the last {duration(RECENT_S)}; the history "
        "lacks what they told.",
        value=lost,
        threshold=0,
    )
