"""Publishes events on a connection that is made when there is something to tell: alerts are rare."""

from contextlib import suppress

from optimizer_wire.broker_errors import BrokerUnavailable, Refused, Unconfirmed, Unroutable
from optimizer_wire.codec import encode
from optimizer_wire.events import Event, cloud_event_headers
from optimizer_wire.frames import Properties
from optimizer_wire.messages import CONTENT_TYPE, EVENT_TYPE
from optimizer_wire.session import Session
from optimizer_wire.topology import Names


async def publish(url: str, names: Names, event: Event) -> None:
    """Publish one event, and wait until RabbitMQ has it.

    :raises BrokerUnavailable: if it has not.
    """
    said = Properties(EVENT_TYPE, event.id, content_type=CONTENT_TYPE, headers=cloud_event_headers(event))
    async with await Session.open(url, "optimizer alerts") as session:
        channel = await session.channel(confirms=True)
        try:
            # Nobody who listens is no fault.
            with suppress(Unroutable):
                await channel.publish_confirmed(names.events, event.type, encode(event), said)
        except (Refused, Unconfirmed) as error:
            raise BrokerUnavailable(str(error)) from error
