"""Telling events: published beside the work they tell of, on the same channel, before its ack."""

from optimizer_wire.codec import encode
from optimizer_wire.events import Event, cloud_event_headers
from optimizer_wire.messages import CONTENT_TYPE, EVENT_TYPE
from optimizer_wire.session import Channel, properties
from optimizer_wire.topology import Names


async def tell(channel: Channel, names: Names, *events: Event) -> None:
    """Publish events to the topic exchange; the routing key is the event's type.

    :raises BrokerUnavailable: if the channel is gone.
    """
    for event in events:
        await channel.publish(
            names.events,
            event.type,
            encode(event),
            properties(EVENT_TYPE, event.id, content_type=CONTENT_TYPE, headers=cloud_event_headers(event)),
        )
