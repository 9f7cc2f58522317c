"""A message as the broker delivered it."""

from optimizer_wire.content_header import ReceivedProperties, properties


class Delivery:
    """One delivered message. `tag` names it on its channel; `redelivered` says that it was delivered before.

    Its properties are read when somebody asks for them: who gets replies or events needs only the body.
    """

    __slots__ = ("_header", "_properties", "body", "redelivered", "tag")

    def __init__(self, tag: int, redelivered: bool, header: bytes, body: bytes) -> None:
        self.tag = tag
        self.redelivered = redelivered
        self.body = body
        self._header = header
        self._properties: ReceivedProperties | None = None

    @property
    def properties(self) -> ReceivedProperties:
        """Its AMQP properties."""
        if self._properties is None:
            self._properties = properties(self._header)
        return self._properties

    @property
    def deliveries(self) -> int:
        """How often it was delivered before, as far as the broker says: quorum queues count it."""
        count = (self.properties.headers or {}).get("x-delivery-count", 0)
        return max(count if isinstance(count, int) else 0, int(self.redelivered))
