"""A look at queues on a channel of its own: asking for one that does not exist closes the channel."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pika.exceptions import ChannelClosedByBroker  # type: ignore[import-untyped]

from optimizer_client.failures import NOT_FOUND

Seen = Callable[[str, int], None]


class Probe:
    """Tells of some queues, one after the other, how many consumers each has; 0 if there is no such queue."""

    def __init__(self, connection: Any, queues: Sequence[str], seen: Seen) -> None:
        self._connection = connection
        self._queues = list(queues)
        self._seen = seen
        self._open()

    def _open(self) -> None:
        if self._queues and self._connection.is_open:
            self._connection.channel(on_open_callback=self._ask)

    def _ask(self, channel: Any) -> None:
        queue = self._queues.pop(0)
        channel.add_on_close_callback(partial(self._closed, queue))
        channel.queue_declare(queue, passive=True, callback=partial(self._answered, queue, channel))

    def _answered(self, queue: str, channel: Any, frame: Any) -> None:
        self._seen(queue, frame.method.consumer_count)
        self._open()
        if channel.is_open:
            channel.close()

    def _closed(self, queue: str, _channel: Any, reason: Exception) -> None:
        if isinstance(reason, ChannelClosedByBroker) and reason.reply_code == NOT_FOUND:
            self._seen(queue, 0)
            self._open()
