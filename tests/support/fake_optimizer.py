"""An optimizer that a test plays itself: it takes requests off a real RabbitMQ and answers as their text says."""

import threading
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import msgspec
import pika
from pika.adapters.blocking_connection import BlockingChannel

from optimizer_wire.codec import decode, encode
from optimizer_wire.messages import REPLY_TYPE, REQUEST_TYPE, VERSION, ErrorInfo, Reply, Request
from optimizer_wire.topology import Names, shared_topology


@dataclass(frozen=True, slots=True)
class Seen:
    """A message that came: its AMQP properties and the request in it."""

    properties: Any
    request: Request

    @property
    def text(self) -> str:
        """The text that was asked."""
        return str(self.request.params["messages"][-1]["content"])


class FakeOptimizer:
    """Answers from a thread of its own. The text of a prompt tells how:

    `silence`: never. `second …`: only when it comes a second time. `hold …`: when `release` was set.
    `error CODE`: with that error. `twice …`: two replies. `garbage …`: something else first. Else: `re: ` and the text.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self.seen: list[Seen] = []
        self.cancelled: list[str] = []
        self.release = threading.Event()
        self._url = url
        self._names = Names(prefix)
        self._copies: Counter[str] = Counter()
        self._held: list[Seen] = []
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10), "The fake optimizer could not start."
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(10)

    def copies(self, text: str) -> list[Seen]:
        """What came with this text."""
        return [seen for seen in list(self.seen) if seen.text == text]

    def _run(self) -> None:
        connection = pika.BlockingConnection(pika.URLParameters(self._url))
        channel = connection.channel()
        declare(channel, self._names)
        channel.basic_qos(prefetch_count=1000)
        self._ready.set()
        for method, properties, body in channel.consume(self._names.requests, inactivity_timeout=0.02):
            if self._stop.is_set():
                break
            if self.release.is_set():
                while self._held:
                    self._answer(channel, self._held.pop(0))
            if method is not None:
                self._take(channel, properties, body)
                channel.basic_ack(method.delivery_tag)
        connection.close()

    def _take(self, channel: BlockingChannel, properties: Any, body: bytes) -> None:
        request = decode(body, Request)
        if properties.type != REQUEST_TYPE:
            self.cancelled.append(request.id)
            return
        seen = Seen(properties, request)
        self.seen.append(seen)
        self._copies[request.id] += 1
        if seen.text.startswith("second ") and self._copies[request.id] < 2:
            return
        if seen.text.startswith("hold ") and not self.release.is_set():
            self._held.append(seen)
            return
        if seen.text != "silence":
            self._answer(channel, seen)

    def _answer(self, channel: BlockingChannel, seen: Seen) -> None:
        first, _, rest = seen.text.partition(" ")
        if first == "garbage":
            self._send(channel, seen, b"\xc1 not msgpack")
        if first == "error":
            error = ErrorInfo(rest, f"It is {rest}.", retry_after_s=1.5)
            self._send(channel, seen, encode(Reply(VERSION, seen.request.id, ok=False, error=error)))
            return
        result = {"choices": [{"message": {"content": f"re: {seen.text}"}}]}
        raw = msgspec.Raw(msgspec.msgpack.encode(result))
        for _ in range(2 if first == "twice" else 1):
            self._send(channel, seen, encode(Reply(VERSION, seen.request.id, ok=True, result=raw, backend="fake")))

    def _send(self, channel: BlockingChannel, seen: Seen, body: bytes) -> None:
        channel.basic_publish("", seen.properties.reply_to, body, pika.BasicProperties(type=REPLY_TYPE))


def declare(channel: BlockingChannel, names: Names) -> None:
    """Declare what a coordinator declares."""
    topology = shared_topology(names)
    for exchange in topology.exchanges:
        channel.exchange_declare(exchange.name, exchange.kind, durable=True)
    for queue in topology.queues:
        channel.queue_declare(queue.name, durable=queue.durable, arguments=queue.arguments)
    for binding in topology.bindings:
        channel.queue_bind(binding.queue, binding.exchange, binding.key)
