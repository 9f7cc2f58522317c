"""Alerts as events of the recorder."""

import pytest

from optimizer_ops.alerts.engine import Change
from optimizer_ops.alerts.notices import EVENT_SINK, notices_of
from optimizer_ops.alerts.sinks.event import EventSink
from optimizer_ops.alerts.sinks.sink import NotTold
from optimizer_ops.history.views import AlertRow
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.ids import new_id


async def test_what_is_told_again_has_the_numbers_that_it_had():
    """However often RabbitMQ was away, the events are numbered without a gap: nothing counts as lost."""
    alert = AlertRow(
        id="a",
        name="optimizer.degraded",
        subject="p95",
        severity="warning",
        since=1.0,
        until=None,
        value=1.0,
        threshold=None,
        message="m",
    )
    notices = [
        notice
        for what in ("raised", "cleared")
        for notice in notices_of([Change(what=what, alert=alert, told=True)], [], None, 1.0)
    ]
    assert [notice.sink for notice in notices] == [EVENT_SINK, EVENT_SINK]
    told, away = [], iter([True, True, False, True, False, False])

    async def publish(event):
        if next(away):
            raise BrokerUnavailable("away")
        told.append(event)

    sink = EventSink(f"recorder/{new_id()}", publish)
    for _ in range(3):
        with pytest.raises(NotTold):
            await sink.tell(notices)
    await sink.tell(notices)

    assert [(event.type, event.outcome) for event in told] == [
        ("optimizer.degraded", None),
        ("optimizer.alert", "raised"),
        ("optimizer.alert", "cleared"),
    ]
    assert sorted(event.seq for event in told) == [1, 2, 3]
