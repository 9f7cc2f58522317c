"""Publishes events on a connection that is made when there is something to tell: alerts are rare."""

from optimizer_service.outbox import publish_event
from optimizer_wire.broker_errors import BrokerUnavailable, Refused, Unconfirmed
from optimizer_wire.events import Event
from optimizer_wire.session import Session
from optimizer_wire.topology import Names


async def publish(url: str, names: Names, event: Event) -> None:
    """Publish one event, and wait until RabbitMQ has it.

    :raises BrokerUnavailable: if it has not.
    """
    async with await Session.open(url, "optimizer alerts") as session:
        channel = await session.channel(confirms=True)
        try:
            await publish_event(channel, names, event)
        except (Refused, Unconfirmed) as error:
            raise BrokerUnavailable(str(error)) from error
