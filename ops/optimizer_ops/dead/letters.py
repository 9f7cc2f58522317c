"""The kept letters, as one command at a time sees them.

RabbitMQ cannot show a message without handing it out. So a command takes all letters, acks those it removes, and the
rest come back when its connection closes; their queue has no delivery limit, so that this may be done for ever. A lock
(a queue that belongs to one connection) keeps a second command from seeing only what the first has left.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.channel import Channel
from optimizer_wire.dead_letters import DeadLetter, kept_letter
from optimizer_wire.deliveries import Delivery
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, kept_lock

_QUIET_S = 2.0
_LOCK_S = 10.0
_LOCK_AGAIN_S = 0.5


class Busy(Exception):
    """Another command looks through the letters."""


@dataclass(slots=True)
class Kept:
    """One letter, without its body unless that was wanted, and the deliveries that are its copies."""

    letter: DeadLetter
    size: int
    tags: list[int] = field(default_factory=list)


class Letters:
    """The kept letters of a deployment."""

    def __init__(self, session: Session, channel: Channel, names: Names) -> None:
        self.session = session
        self.names = names
        self._channel = channel

    async def all(self, with_body: Callable[[DeadLetter], bool] = lambda _: False) -> list[Kept]:
        """All letters, the oldest first, with the bodies of some."""
        left = await self.session.messages(self.names.kept)
        found: dict[str, Kept] = {}
        if not left:
            return []
        inbox: asyncio.Queue[Delivery] = asyncio.Queue()
        consumer = await self._channel.consume(self.names.kept, inbox.put_nowait, on_cancel=self.session.lost.set)
        while left:
            try:
                async with asyncio.timeout(_QUIET_S):
                    message = await inbox.get()
            except TimeoutError:
                break  # the rest has expired meanwhile
            left -= 1
            letter = kept_letter(message.properties, message.body)
            body = message.body if with_body(letter) else b""
            kept = Kept(msgspec.structs.replace(letter, body=body), len(message.body))
            found.setdefault(letter.id, kept).tags.append(message.tag)
        if self.session.lost.is_set():
            raise BrokerUnavailable("The connection to RabbitMQ was lost.")
        await self._channel.stop_consuming(consumer)
        return sorted(found.values(), key=lambda kept: kept.letter.died_ms)

    async def remove(self, kept: Kept) -> None:
        """Remove a letter for good."""
        for tag in kept.tags:
            await self._channel.ack(tag)
        await self._channel.flush()


@asynccontextmanager
async def letters(url: str, names: Names) -> AsyncIterator[Letters]:
    """The letters, for this command alone.

    :raises Busy: if another command does not end soon.
    :raises BrokerUnavailable: if RabbitMQ is missing, or refuses this user.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + _LOCK_S
    while True:
        async with await Session.open(url, "optimizer dead") as session:
            channel = await session.channel()
            try:
                await channel.declare_queue(kept_lock(names))
            except BrokerUnavailable as error:
                if "RESOURCE_LOCKED" not in str(error):
                    raise
            else:
                yield Letters(session, channel, names)
                return
        if loop.time() > end:
            raise Busy("Another `optimizer dead` looks through the dead letters; try again when it has ended.")
        await asyncio.sleep(_LOCK_AGAIN_S)
