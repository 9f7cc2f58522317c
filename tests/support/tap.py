"""A deployment that a whole test file shares, and a tap on its RabbitMQ that speaks raw AMQP and msgpack.

What it sends may be anything, and what it reads is read by another library than ours.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgpack
import pika
from tests.support.leftovers import AmqpCleanup, delete_entities, delete_keys
from tests.support.stack import Stack

from optimizer_wire.codec import encode
from optimizer_wire.events import Event
from optimizer_wire.topology import Names

LONG_S = 20.0
USER = "guest"


@contextmanager
def shared_stack(folder: Path, amqp_url: str, redis_url: str) -> Iterator[Stack]:
    """A stack for a fixture of module scope; it cleans up after itself."""
    prefix = f"t-{uuid.uuid4().hex[:12]}"
    stack = Stack(folder, amqp_url, redis_url, prefix)
    try:
        yield stack
    finally:
        stack.close()
        cleanup = AmqpCleanup(Names(prefix))
        cleanup.shared()
        cleanup.backends(*stack.backends)
        delete_entities(amqp_url, cleanup.queues, cleanup.exchanges)
        delete_keys(redis_url, prefix)


@dataclass
class Message:
    """A message as it lay on the wire."""

    key: str
    properties: Any
    body: bytes

    @property
    def fields(self) -> dict[str, Any]:
        """Its body as a map."""
        return msgpack.unpackb(self.body)


class Tap:
    """Publishes anything, hears all events, has a reply queue, and looks into the dead letters."""

    def __init__(self, amqp_url: str, prefix: str) -> None:
        self.names = Names(prefix)
        self._connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
        self._channel = self._connection.channel()
        self._channel.confirm_delivery()
        self.reply_to = self.own_queue(self.names.reply_queue(USER, uuid.uuid4().hex))
        self._events = self.own_queue("")
        self._channel.exchange_declare(self.names.events, "topic", durable=True)
        self._channel.exchange_declare(self.names.journal, "fanout", durable=True)
        self._channel.queue_bind(self._events, self.names.events, "#")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def own_queue(self, name: str) -> str:
        """Declare a queue that goes with this tap."""
        return self._channel.queue_declare(name, exclusive=True).method.queue

    def publish(self, exchange: str, key: str, body: bytes, **properties: Any) -> None:
        """Publish, and wait until the broker has it."""
        self._channel.basic_publish(exchange, key, body, pika.BasicProperties(**properties), mandatory=True)

    def say(self, event: Event) -> None:
        """Publish an event, as a process of ours would."""
        self._channel.basic_publish(self.names.events, event.type, encode(event))

    def drop(self, queue: str) -> None:
        """Delete a queue of this tap."""
        self._channel.queue_delete(queue)

    def get(self, queue: str, timeout_s: float = LONG_S) -> Message | None:
        """The next message of a queue; None if none comes in time."""
        end = time.monotonic() + timeout_s
        while True:
            method, properties, body = self._channel.basic_get(queue, auto_ack=True)
            if method is not None:
                return Message(method.routing_key, properties, body)
            if time.monotonic() >= end:
                return None
            self._connection.sleep(0.01)

    def reply(self, timeout_s: float = LONG_S) -> Message | None:
        """The next reply."""
        return self.get(self.reply_to, timeout_s)

    def event(self, kind: str, timeout_s: float = LONG_S) -> Message | None:
        """The next event of a kind; others before it are passed over."""
        end = time.monotonic() + timeout_s
        while (found := self.get(self._events, max(0.0, end - time.monotonic()))) is not None:
            if found.key == kind:
                return found
        return None

    def events(self) -> list[Message]:
        """All events that have come."""
        found = []
        while (message := self.get(self._events, 0.0)) is not None:
            found.append(message)
        return found

    def dead(self, timeout_s: float = LONG_S) -> Message | None:
        """The next dead letter that was kept."""
        return self.get(self.names.kept, timeout_s)
