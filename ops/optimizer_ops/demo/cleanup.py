"""Takes away what a run left in the broker and in Redis: all of it carries the run's own prefix.

Plain and without asyncio, so that it runs at the very end, whatever happened before.
"""

from collections.abc import Iterable
from contextlib import suppress

import pika  # type: ignore[import-untyped]
import pika.exceptions  # type: ignore[import-untyped]
import redis

from optimizer_ops.services import ServiceUrls
from optimizer_wire.topology import Names, backend_topology, recorder_topology, shared_topology

_BATCH = 500


def leave_nothing(urls: ServiceUrls, prefix: str, backends: Iterable[str], queues: Iterable[str]) -> None:
    """Delete the run's queues, exchanges and keys; `queues` are those beside the common ones.

    What does not exist is no error; nor is a service that is gone, with which everything went.
    """
    with suppress(pika.exceptions.AMQPError, OSError):
        _delete_entities(urls.amqp_url, Names(prefix), backends, queues)
    with suppress(redis.RedisError, OSError):
        _delete_keys(urls.redis_url, prefix)


def _delete_entities(url: str, names: Names, backends: Iterable[str], queues: Iterable[str]) -> None:
    shared = shared_topology(names)
    declared = (*shared.queues, *recorder_topology(names).queues, *backend_topology(names, backends).queues)
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        channel = connection.channel()
        for queue in (*queues, *(queue.name for queue in declared)):
            channel.queue_delete(queue)
        for exchange in shared.exchanges:
            channel.exchange_delete(exchange.name)
    finally:
        connection.close()


def _delete_keys(url: str, prefix: str) -> None:
    """By SCAN: KEYS would stop a Redis that others use."""
    with redis.Redis.from_url(url) as client:
        batch: list[bytes] = []
        for key in client.scan_iter(match=f"{prefix}:*", count=_BATCH):
            batch.append(key)
            if len(batch) >= _BATCH:
                client.unlink(*batch)
                batch.clear()
        if batch:
            client.unlink(*batch)
