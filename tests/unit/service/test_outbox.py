"""What processes say over RabbitMQ."""

from optimizer_service.outbox import publish_call
from optimizer_wire.messages import Call, Hop, Waiter
from optimizer_wire.topology import CALL_EXPIRES_MS, Names


class Channel:
    """Notes what is published."""

    def __init__(self):
        self.published = []

    async def publish_confirmed(self, exchange, key, body, properties, **_):
        """Note it."""
        self.published.append((exchange, key, properties))


async def test_calls_expire():
    """No call stays in a queue for ever, and none expires as long as anybody may wait in its flight."""
    channel = Channel()
    waiter = Waiter("id", "replies.u.1", 1, "a", "t")

    await publish_call(channel, Names("p"), Call(1, "f", 1, 1, waiter, {}, (Hop("alpha", "m"),)))

    ((exchange, key, properties),) = channel.published
    assert (exchange, key) == ("p.calls", "alpha.standard")
    assert properties.expiration_ms == CALL_EXPIRES_MS >= 24 * 3600 * 1000
