"""What an operator turned, as an event."""

from typing import Literal

from optimizer_config.model import Config
from optimizer_ops import operator_events
from optimizer_state.store import Store
from optimizer_wire import events
from optimizer_wire.events import event

Act = Literal["paused", "draining", "resumed", "unblocked", "limits_set", "limits_reset"]


async def tell(config: Config, store: Store, backend: str, act: Act, sentence: str) -> str | None:
    """Publish the event; returns a sentence if it could not be told. The change itself needs no RabbitMQ."""
    message = f"{operator_events.who()}: {sentence}"
    happened = event(events.OPERATOR, operator_events.SOURCE, backend=backend, outcome=act, message=message)
    return await operator_events.tell(config, store, happened)
