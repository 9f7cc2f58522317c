"""Tells the fleet: each notice is an event."""

from collections.abc import Awaitable, Callable, Sequence

from optimizer_ops.alerts.kinds import BACKEND_DOWN, DEGRADED, RATE_LIMIT, SPEND
from optimizer_ops.alerts.notices import Notice
from optimizer_ops.alerts.sinks.sink import NotTold
from optimizer_wire import events
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.events import Event, event

Publish = Callable[[Event], Awaitable[None]]

# What no other process tells is told as an event of its own when it begins or gets worse.
_FACTS = {DEGRADED: events.DEGRADED, SPEND: events.BUDGET_SPEND}
_OF_BACKENDS = frozenset({RATE_LIMIT, BACKEND_DOWN})


class EventSink:
    """Publishes notices as events of this source."""

    def __init__(self, source: str, publish: Publish) -> None:
        self._source = source
        self._publish = publish
        # An event that was made has a number, and counts as lost if it is never told.
        self._made: dict[str, list[Event]] = {}

    async def tell(self, notices: Sequence[Notice]) -> None:
        """Publish them.

        :raises NotTold: if RabbitMQ is away, or takes nothing.
        """
        for notice in notices:
            if notice.id not in self._made:
                self._made[notice.id] = list(_events(notice, self._source))
            made = self._made[notice.id]
            try:
                while made:
                    await self._publish(made[0])
                    made.pop(0)
            except BrokerUnavailable as error:
                raise NotTold(f"RabbitMQ is away: {error}") from None
        for notice in notices:
            del self._made[notice.id]


def _events(notice: Notice, source: str) -> list[Event]:
    alert = notice.alert
    backend = alert.subject if alert.name in _OF_BACKENDS and " " not in alert.subject else None
    said = {
        "time": notice.at,
        "alert": alert.name,
        "subject": alert.subject,
        "severity": alert.severity,
        "value": alert.value,
        "threshold": alert.threshold,
        "message": alert.message,
    }
    told = [event(events.ALERT, source, outcome=notice.what, backend=backend, **said)]
    if notice.what != "cleared" and (fact := _FACTS.get(alert.name)):
        said.pop("alert")
        told.insert(0, event(fact, source, **said))
    return told
