"""A flush as an event: whoever looks at the fleet is to know why it calls more than before."""

from optimizer_config.model import Config
from optimizer_ops import operator_events
from optimizer_ops.cache.flush import FlushTally
from optimizer_ops.cache.flush_summary import sentence
from optimizer_state.store import Store
from optimizer_wire import events
from optimizer_wire.events import event


async def tell(config: Config, store: Store, tally: FlushTally, who: str) -> str | None:
    """Publish the event; returns a sentence if it could not be told. The flush itself needs no RabbitMQ."""
    happened = event(events.CACHE_FLUSHED, operator_events.SOURCE, message=f"{who}: {sentence(tally)}")
    return await operator_events.tell(config, store, happened)
