"""A request that has waited at the gate for as long as a message may be kept goes back to the end of its queue.

RabbitMQ vouches for whoever publishes, and that is a coordinator now. So it writes down who sent the request and when
it came; that is believed of nobody but the coordinators' own RabbitMQ user.
"""

from typing import Any

from optimizer_state.clock import FleetClock
from optimizer_wire.broker_errors import Refused, Unroutable
from optimizer_wire.channel import Channel
from optimizer_wire.deliveries import Delivery
from optimizer_wire.frames import Properties
from optimizer_wire.messages import CONTENT_TYPE, Waiter
from optimizer_wire.topology import Names
from optimizer_wire.tracing import traceparent_headers

SENDER, RECEIVED = "x-optimizer-sender", "x-optimizer-received-ms"
_DIGITS = 16


class SendingBack:
    """Publishes on a channel with confirms, as `user`."""

    def __init__(self, channel: Channel, names: Names, user: str, clock: FleetClock) -> None:
        self._channel = channel
        self._names = names
        self._user = user
        self._clock = clock

    async def send(self, message: Delivery, waiter: Waiter) -> bool:
        """Put a copy at the end of the queue, to be acked afterwards; False if the queue does not take it.

        :raises Unconfirmed: if it is unknown whether it did.
        """
        known = message.properties
        sender, _ = origin_of(known, self._user)
        headers = {RECEIVED: str(waiter.since_ms)} | ({SENDER: sender} if sender else {})
        headers |= traceparent_headers(waiter.trace) or {}
        written = Properties(
            known.message_type or "",
            known.message_id or waiter.id,
            content_type=known.content_type or CONTENT_TYPE,
            reply_to=known.reply_to,
            expiration_ms=max(1, waiter.deadline_ms - self._clock.now_ms()),
            user=self._user,
            agent=known.app_id,
            durable=True,
            headers=headers,
        )
        try:
            await self._channel.publish_confirmed(self._names.requests, self._names.requests, message.body, written)
        except (Unroutable, Refused):
            return False
        return True


def origin_of(known: Any, coordinators: str) -> tuple[str | None, int | None]:
    """Who sent a message with these AMQP properties, and when it came if that was not now (None).

    `coordinators` is the RabbitMQ user of the coordinators.
    """
    user, headers = known.user_id or None, known.headers or {}
    received = headers.get(RECEIVED)
    if user != coordinators or not isinstance(received, str) or not received.isdecimal() or len(received) > _DIGITS:
        return user, None
    sender = headers.get(SENDER)
    return (sender if isinstance(sender, str) and sender else None), int(received)
