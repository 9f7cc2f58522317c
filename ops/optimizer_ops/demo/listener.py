"""Listens to the events of the demo's own processes."""

import asyncio
import time

from optimizer_ops.demo.score import Score
from optimizer_wire.codec import decode
from optimizer_wire.deliveries import Delivery
from optimizer_wire.events import Event
from optimizer_wire.ids import new_id
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, event_queue


async def listen(url: str, prefix: str, score: Score, clock: "RunClock", ready: asyncio.Event) -> None:
    """Tell the score every event until cancelled, or until the connection is lost.

    :raises BrokerUnavailable: if RabbitMQ cannot be reached.
    """

    def deliver(message: Delivery) -> None:
        score.hear(decode(message.body, Event), clock.now_s())

    names = Names(prefix)
    async with await Session.open(url, "optimizer demo") as session:
        channel = await session.channel()
        queue = event_queue(f"{names.events}.demo.{new_id()}")
        await channel.declare_queue(queue)
        await channel.bind(queue.name, names.events, "#")
        await channel.consume(queue.name, deliver, no_ack=True, on_cancel=session.lost.set)
        ready.set()
        await session.lost.wait()
    score.feed.add(clock.now_s(), "the connection for events was lost: costs are incomplete from here", "red")


class RunClock:
    """Seconds since the load began; 0 before."""

    def __init__(self) -> None:
        self.began: float | None = None

    def start(self) -> float:
        """The load begins; returns the moment on the monotonic clock."""
        self.began = time.monotonic()
        return self.began

    def now_s(self) -> float:
        """How long the load runs."""
        return 0.0 if self.began is None else time.monotonic() - self.began
