"""What a session sends, on a real RabbitMQ: gathered into few writes, and still in order, whole, and told about."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from urllib.parse import urlsplit

import pytest
from tests.lab.proxy import TcpProxy
from tests.support.leftovers import AmqpCleanup

from optimizer_wire.broker_errors import BrokerUnavailable, Refused, Unconfirmed, Unroutable
from optimizer_wire.channel import Channel
from optimizer_wire.frames import Properties
from optimizer_wire.session import Session
from optimizer_wire.topology import Queue


@pytest.fixture
async def session(amqp_url: str) -> AsyncIterator[Session]:
    """A connection."""
    async with await Session.open(amqp_url, "test") as opened:
        yield opened


@pytest.fixture
def queue(prefix: str, amqp_cleanup: AmqpCleanup) -> Queue:
    """A queue that is deleted afterwards."""
    amqp_cleanup.queues.add(f"{prefix}.out")
    return Queue(f"{prefix}.out", arguments={"x-max-length": 1000, "x-overflow": "reject-publish"})


def about(name: str):
    """Properties of a message of this name."""
    return Properties("test.v1", name, content_type="text/plain")


async def filled(session: Session, queue: Queue, count: int) -> Channel:
    """A channel of a session on which so many messages, numbered by their bodies, were sent to a queue."""
    channel = await session.channel()
    await channel.declare_queue(queue)
    for i in range(count):
        channel.publish("", queue.name, str(i).encode(), about(f"m{i}"))
    return channel


async def collect(channel: Channel, queue: str, count: int) -> list:
    """The next messages of a queue, unacked."""
    found: list = []
    enough = asyncio.Event()

    def deliver(message) -> None:
        found.append(message)
        if len(found) == count:
            enough.set()

    tag = await channel.consume(queue, deliver, on_cancel=enough.set)
    await asyncio.wait_for(enough.wait(), 20)
    await channel.stop_consuming(tag)
    return found


async def test_messages_arrive_in_order_and_whole(session: Session, queue: Queue):
    """Small, empty and large messages arrive in the order of publishing, each with its own body and properties."""
    channel = await session.channel()
    await channel.declare_queue(queue)
    bodies = [b"", b"x" * 1_000_000, *(str(i).encode() for i in range(500)), bytes(range(256)) * 5000]
    for i, body in enumerate(bodies):
        channel.publish("", queue.name, body, about(f"m{i}"))

    messages = await collect(channel, queue.name, len(bodies))

    assert [message.body for message in messages] == bodies
    assert [message.properties.message_id for message in messages] == [f"m{i}" for i in range(len(bodies))]


async def test_acks_in_any_order_settle_each_message_once(amqp_url: str, queue: Queue):
    """Acked, rejected and requeued in any order: only what was requeued or left is delivered again."""
    async with await Session.open(amqp_url, "test") as session:
        channel = await filled(session, queue, 20)
        await collect(channel, queue.name, 20)
        for tag in (2, 1, 5, 20, 19, 4):
            await channel.ack(tag)
        await channel.reject(3)
        await channel.requeue(6)
        await channel.flush()
        for tag in (8, 7, 9):
            await channel.ack(tag)

    async with await Session.open(amqp_url, "test") as session:
        messages = await collect(await session.channel(), queue.name, 10)

    assert sorted(int(message.body) for message in messages) == [5, *range(9, 18)]


async def test_what_needs_no_ack_leaves_no_gap(session: Session, prefix: str, queue: Queue, amqp_cleanup: AmqpCleanup):
    """Beside a consumer without acks, nothing is kept of deliveries once all that need one have theirs."""
    amqp_cleanup.queues.add(f"{prefix}.unacked")
    unacked = Queue(f"{prefix}.unacked")
    channel = await session.channel()
    came: asyncio.Queue = asyncio.Queue()
    for each, no_ack in ((queue, False), (unacked, True)):
        await channel.declare_queue(each)
        await channel.consume(each.name, came.put_nowait, no_ack=no_ack, on_cancel=lambda: None)
    for i in range(30):
        channel.publish("", (queue, unacked)[i % 2].name, str(i).encode(), about(f"m{i}"))
    async with asyncio.timeout(20):
        messages = [await came.get() for _ in range(30)]

    for message in messages:
        if not int(message.body) % 2:
            await channel.ack(message.tag)
    await channel.flush()

    assert sorted(int(message.body) for message in messages) == list(range(30))
    assert not channel._outgoing._acks._open


async def test_each_publish_with_a_confirm_is_told_its_own_end(session: Session, queue: Queue):
    """Among a thousand at once, what no queue takes is Unroutable, what a full queue refuses is Refused."""
    channel = await session.channel(confirms=True)
    await channel.declare_queue(queue)
    told: dict[str, object] = {}
    all_told = asyncio.Event()

    def tell(name: str, error: object) -> None:
        told[name] = error
        if len(told) == 1500:
            all_told.set()

    for i in range(1500):
        key = queue.name if i % 3 else "nowhere"
        channel.publish_watched("", key, b"", about(f"m{i}"), partial(tell, f"m{i}"))
    await asyncio.wait_for(all_told.wait(), 20)
    with pytest.raises(Refused):
        await channel.publish_confirmed("", queue.name, b"", about("one too many"))

    assert {type(told[f"m{i}"]) for i in range(0, 1500, 3)} == {Unroutable}
    assert {told[f"m{i}"] for i in range(1500) if i % 3} == {None}
    with pytest.raises(Unroutable):
        await channel.publish_confirmed("", "nowhere", b"", about("again"))


async def test_written_is_what_the_system_has_as_a_whole(amqp_url: str, queue: Queue):
    """While a little is left that the system does not take, nobody is told that everything was written."""
    parts = urlsplit(amqp_url)
    with TcpProxy(parts.hostname or "", parts.port or 5672) as proxy:
        async with await Session.open(proxy.url_of(amqp_url), "test") as session:
            channel = await filled(session, queue, 1)
            transport = session._connection.stream.transport
            proxy.partition("up")
            async with asyncio.timeout(20):
                while not transport.get_write_buffer_size():
                    channel.publish("", queue.name, b"x" * 32_000, about("more"))
                    await asyncio.sleep(0)
                    if transport.get_write_buffer_size():
                        # The system and the proxy may still take some.
                        await asyncio.sleep(0.5)
            writing = asyncio.ensure_future(channel.written())
            assert not (await asyncio.wait([writing], timeout=0.3))[0]

            proxy.heal()
            await asyncio.wait_for(writing, 20)
            assert not transport.get_write_buffer_size()


async def test_of_two_copies_the_one_that_came_back_is_told(session: Session, queue: Queue):
    """Two messages of one id, the first of which finds no queue: its publisher is told, and the other's is not."""
    channel = await session.channel(confirms=True)
    await channel.declare_queue(queue)

    ends = await asyncio.gather(
        *(channel.publish_confirmed("", key, b"x", about("twin")) for key in (f"{queue.name}.none", queue.name)),
        return_exceptions=True,
    )

    assert [type(end) for end in ends] == [Unroutable, type(None)]


async def test_what_went_elsewhere_may_have_been_taken(session: Session, prefix: str, queue: Queue):
    """The broker closes a channel over a missing exchange: only what went there is known not to have been taken."""
    channel = await session.channel(confirms=True)
    await channel.declare_queue(queue)

    ends = await asyncio.gather(
        channel.publish_confirmed("", queue.name, b"x", about("m1")),
        channel.publish_confirmed(f"{prefix}.no-exchange", "key", b"x", about("m2")),
        channel.publish_confirmed("", queue.name, b"x", about("m3")),
        return_exceptions=True,
    )

    assert isinstance(ends[1], Unroutable)
    assert all(end is None or isinstance(end, Unconfirmed) for end in (ends[0], ends[2]))


async def test_a_delivery_that_could_not_be_looked_at_is_not_acked_with_others(amqp_url: str, queue: Queue):
    """What fails while a message is taken leaves it unacked, also when all around it are acked."""
    async with await Session.open(amqp_url, "test") as session:
        channel = await filled(session, queue, 3)
        await channel.flush()
        fails = iter([0, 1, 0])
        channel.on_delivery = lambda _: 0 // (1 - next(fails))
        (first, last) = await collect(channel, queue.name, 2)
        for message in (first, last):
            await channel.ack(message.tag)
        await channel.flush()

    async with await Session.open(amqp_url, "test") as session:
        assert [left.body for left in await collect(await session.channel(), queue.name, 1)] == [b"1"]
        assert await session.messages(queue.name) == 0


async def test_a_closed_channel_tells_everybody(session: Session):
    """When the broker closes the channel over a missing exchange, all who wait hear it; every later use is refused."""
    channel = await session.channel(confirms=True)
    told: list[object] = []
    channel.publish_watched("no such exchange", "", b"", about("watched"), told.append)
    with pytest.raises(Unroutable):
        await channel.publish_confirmed("no such exchange", "", b"", about("awaited"))

    await asyncio.wait_for(session.lost.wait(), 5)
    assert [type(error) for error in told] == [Unroutable]
    with pytest.raises(BrokerUnavailable):
        channel.publish("", "key", b"", about("late"))
    with pytest.raises(BrokerUnavailable):
        await channel.ack(1)
    with pytest.raises(BrokerUnavailable):
        await channel.flush()
    channel.publish_watched("", "key", b"", about("too late"), told.append)
    assert isinstance(told[-1], Unconfirmed)
