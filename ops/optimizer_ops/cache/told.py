"""A flush as an event: whoever looks at the fleet is to know why it calls more than before."""

from optimizer_config.model import Config
from optimizer_ops.cache.flush import FlushTally
from optimizer_ops.cache.words import sentence
from optimizer_service.outbox import Outbox
from optimizer_state.store import Store
from optimizer_wire import events
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.events import event
from optimizer_wire.session import Session
from optimizer_wire.topology import Names


async def tell(config: Config, store: Store, tally: FlushTally, source: str) -> str | None:
    """Publish the event; returns a sentence if it could not be told. The flush itself needs no RabbitMQ."""
    happened = event(events.CACHE_FLUSHED, source, message=sentence(tally))
    try:
        async with await Session.open(config.amqp_url, "optimizer cache flush") as session:
            channel = await session.channel()
            await Outbox(channel, Names(config.prefix), store).tell(happened)
            await channel.flush()
    except BrokerUnavailable as error:
        return f"The flush is not told as an event. {error}"
    return None
