"""One subscription to all events, for every viewer together. A viewer that does not keep up is dropped."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from optimizer_service.lifetime import first_of, keep_session
from optimizer_service.logs import Logger
from optimizer_wire.broker_errors import NotPermitted, TopologyDiffers
from optimizer_wire.codec import decode
from optimizer_wire.deliveries import Delivery
from optimizer_wire.errors import InvalidRequest
from optimizer_wire.events import Event
from optimizer_wire.ids import new_id
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, event_queue, shared_topology, topic_pattern

_RECENT = 200
_WAITING = 5_000


class Viewer:
    """What one viewer has not read yet."""

    def __init__(self) -> None:
        self.waiting: deque[bytes] = deque()
        self.dropped = False
        self.news = asyncio.Event()

    def give(self, body: bytes) -> None:
        """Put an event there, or drop the viewer: it has not read for so long that it is of no use to it."""
        if len(self.waiting) >= _WAITING:
            self.dropped = True
            self.waiting.clear()
        if not self.dropped:
            self.waiting.append(body)
        self.news.set()

    def take(self) -> list[Event]:
        """All that waits, in order; what cannot be read is left out."""
        self.news.clear()
        taken, self.waiting = self.waiting, deque()
        return [happened for body in taken if (happened := _read(body)) is not None]


class EventHub:
    """Listens to RabbitMQ, through a bounded queue of its own, and tells every viewer.

    `away` says in a sentence why no events come, or is None; `since` when that began (Unix seconds).
    """

    def __init__(self, url: str, prefix: str, stop: asyncio.Event, log: Logger) -> None:
        self._url, self._names = url, Names(prefix)
        self._stop, self._log = stop, log
        self._viewers: set[Viewer] = set()
        self._recent: deque[bytes] = deque(maxlen=_RECENT)
        self.away: str | None = "not connected to RabbitMQ yet"
        self.since = time.time()
        self.heard = 0

    async def run(self) -> None:
        """Listen until the process stops."""
        try:
            await keep_session(self._url, "optimizer dashboard", self._listen, self._stop, self._log)
        except (TopologyDiffers, NotPermitted) as error:
            self._now_away(f"no live events: {error}")
            self._log.error("no live events", reason=str(error))

    @contextmanager
    def viewer(self) -> Iterator[Viewer]:
        """A viewer, who first gets what has just happened."""
        viewer = Viewer()
        for body in self._recent:
            viewer.give(body)
        self._viewers.add(viewer)
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)

    async def _listen(self, session: Session) -> None:
        channel = await session.channel()
        await session.declare(shared_topology(self._names))
        queue = event_queue(self._names.event_queue(session.user, new_id()))
        await channel.declare_queue(queue)
        await channel.bind(queue.name, self._names.events, topic_pattern("optimizer.*"))
        await channel.consume(queue.name, self._deliver, no_ack=True, on_cancel=session.lost.set)
        self.away, self.since = None, time.time()
        self._log.info("listening", to=self._names.events)
        try:
            await first_of(self._stop, session.lost)
        finally:
            self._now_away("RabbitMQ is away: no live events until it is back")

    def _now_away(self, why: str) -> None:
        self.away, self.since = why, time.time()

    def _deliver(self, message: Delivery) -> None:
        self.heard += 1
        self._recent.append(message.body)
        for viewer in self._viewers:
            viewer.give(message.body)


def _read(body: bytes) -> Event | None:
    try:
        return decode(body, Event)
    except InvalidRequest:
        return None
