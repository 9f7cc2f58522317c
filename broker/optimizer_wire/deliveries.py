"""What the broker says of a message that it delivered."""

from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic


def deliveries_of(message: DeliveredMessage) -> int:
    """How often a consumed message was delivered before, as far as the broker says: quorum queues count it."""
    count = (message.header.properties.headers or {}).get("x-delivery-count", 0)
    return max(count if isinstance(count, int) else 0, int(delivery_of(message)[1]))


def delivery_of(message: DeliveredMessage) -> tuple[int, bool]:
    """The delivery tag of a consumed message, and whether it was delivered before."""
    delivery = message.delivery
    if not isinstance(delivery, Basic.Deliver):
        raise TypeError(f"The message was not consumed but came as {type(delivery).__name__}.")
    return int(delivery.delivery_tag or 0), bool(delivery.redelivered)
