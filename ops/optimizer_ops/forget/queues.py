"""Taking messages out of a queue without consuming the others.

What is not wanted is handed back: it keeps its place, and it counts as one delivery of it (of twenty).
"""

import asyncio
from collections.abc import Awaitable, Callable

from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.deliveries import Delivery
from optimizer_wire.session import Session

# A delivery may take that long on a busy broker; who took the rest is waited for in vain, once.
_QUIET_S = 5.0


async def take_out(session: Session, queue: str, wanted: Callable[[Delivery], Awaitable[bool]]) -> int:
    """Look at what is in a queue now, and remove what is `wanted`; returns how much that was. No queue is empty.

    :raises BrokerUnavailable: if the connection is lost, or this user may not read the queue. What was held comes back.
    """
    left = await session.messages(queue)
    if not left:
        return 0
    inbox: asyncio.Queue[Delivery] = asyncio.Queue()
    channel = await session.channel()
    consumer = await channel.consume(queue, inbox.put_nowait, on_cancel=session.lost.set)
    taken, others = 0, []
    while left and (message := await _next(inbox)) is not None:
        left -= 1
        tag = message.tag
        if await wanted(message):
            await channel.ack(tag)
            taken += 1
        else:
            others.append(tag)
    await channel.stop_consuming(consumer)
    while not inbox.empty():
        others.append(inbox.get_nowait().tag)
    for tag in others:
        await channel.requeue(tag)
    await channel.flush()
    if session.lost.is_set():
        raise BrokerUnavailable(f"The connection was lost while {queue} was looked at.")
    return taken


async def _next(inbox: "asyncio.Queue[Delivery]") -> Delivery | None:
    """The next message; None if others took the rest meanwhile."""
    try:
        async with asyncio.timeout(_QUIET_S):
            return await inbox.get()
    except TimeoutError:
        return None
