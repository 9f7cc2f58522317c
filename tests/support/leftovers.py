"""Take away what a test left in a shared broker and a shared Redis: all of it carries the test's own prefix."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pika  # type: ignore[import-untyped]
import pika.exceptions  # type: ignore[import-untyped]
import redis

from optimizer_wire.topology import Names, backend_topology, recorder_topology, shared_topology


@dataclass(slots=True)
class AmqpCleanup:
    """Queues and exchanges to delete after the test; queues cannot be listed over AMQP, so they are named here."""

    names: Names
    queues: set[str] = field(default_factory=set)
    exchanges: set[str] = field(default_factory=set)

    def shared(self) -> None:
        """Add what every process of the product declares."""
        topology = shared_topology(self.names)
        self.queues.update(queue.name for queue in (*topology.queues, *recorder_topology(self.names).queues))
        self.exchanges.update(exchange.name for exchange in topology.exchanges)

    def backends(self, *backends: str) -> None:
        """Add the call queues of these backends."""
        self.queues.update(queue.name for queue in backend_topology(self.names, backends).queues)


def delete_entities(url: str, queues: Iterable[str], exchanges: Iterable[str]) -> None:
    """Delete queues and exchanges; those that do not exist are no error, nor is a broker that is gone."""
    try:
        connection = pika.BlockingConnection(pika.URLParameters(url))
    except pika.exceptions.AMQPError:
        return
    try:
        channel = connection.channel()
        for queue in queues:
            channel.queue_delete(queue)
        for exchange in exchanges:
            channel.exchange_delete(exchange)
    finally:
        connection.close()


def delete_keys(url: str, prefix: str) -> None:
    """Delete every key `<prefix>:*`; a Redis that is gone is no error."""
    with redis.Redis.from_url(url) as client:
        try:
            keys = list(client.scan_iter(match=f"{prefix}:*", count=1000))
            if keys:
                client.unlink(*keys)
        except redis.ConnectionError:
            return
