"""The asyncio client on a real RabbitMQ, with an optimizer that the test plays itself."""

import asyncio
import time
from urllib.parse import urlsplit, urlunsplit

import pika
import pytest
from tests.lab.proxy import TcpProxy
from tests.support.fake_optimizer import FakeOptimizer, declare

from optimizer_client import (
    AsyncOptimizer,
    BackendUnavailable,
    Cancelled,
    DeadlineExceeded,
    InvalidRequest,
    OptimizerUnavailable,
    Overloaded,
)
from optimizer_wire.topology import Names

SOON_S = 10.0


@pytest.fixture
def fake(amqp_url, prefix):
    """An optimizer that answers as the text of the prompt says."""
    with FakeOptimizer(amqp_url, prefix) as optimizer:
        yield optimizer


@pytest.fixture
async def optimizer(amqp_url, prefix, fake):
    """A client of it."""
    async with AsyncOptimizer("agent", url=amqp_url, prefix=prefix, timeout=SOON_S) as client:
        yield client


@pytest.fixture
def proxy(amqp_url):
    """A proxy before RabbitMQ, to be cut."""
    parts = urlsplit(amqp_url)
    with TcpProxy(parts.hostname, parts.port or 5672) as proxy:
        yield proxy


@pytest.fixture
async def proxied(amqp_url, prefix, fake, proxy):
    """A client behind the proxy."""
    parts = urlsplit(amqp_url)
    url = urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}"))
    async with AsyncOptimizer("agent", url=url, prefix=prefix, timeout=SOON_S) as client:
        yield client


@pytest.fixture
def channel(amqp_url):
    """A channel to look at RabbitMQ from the side."""
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    yield connection.channel()
    connection.close()


async def until(condition):
    """Wait until something is so; fails if it takes too long."""
    async with asyncio.timeout(SOON_S):
        while not condition():
            await asyncio.sleep(0.005)


async def test_two_thousand_are_in_flight_on_one_connection(optimizer, fake):
    """Thousands of questions at once are each answered with their own answer, over one reply queue."""
    replies = await optimizer.chat_many([f"q{number}" for number in range(2000)], timeout=60)

    assert [reply.text for reply in replies] == [f"re: q{number}" for number in range(2000)]
    assert len({seen.properties.reply_to for seen in fake.seen}) == 1
    assert (optimizer.connected, optimizer.in_flight) == (True, 0)


async def test_a_request_carries_what_the_optimizer_relies_on(optimizer, fake, prefix):
    """Ids, reply address, expiration, user and agent are in the AMQP properties, as the design says."""
    await optimizer.chat("Why?", request_id="mine", timeout=7)

    sent = fake.seen[0].properties
    assert (sent.message_id, sent.correlation_id, sent.app_id) == ("mine", "mine", "agent")
    assert (sent.type, sent.content_type, sent.delivery_mode) == ("optimizer.request.v1", "application/msgpack", 2)
    assert sent.reply_to.startswith(f"{prefix}.replies.{sent.user_id}.")
    assert 6_000 < int(sent.expiration) <= 7_000


async def test_silence_ends_at_the_deadline(optimizer, fake):
    """A request without an answer is sent again under its id, and ends when its time is over."""
    with pytest.raises(DeadlineExceeded, match="sent 2 times"):
        await optimizer.chat("silence", timeout=1.2)

    await until(lambda: len(fake.seen) == 2)
    assert len({seen.request.id for seen in fake.seen}) == 1


async def test_cancelling_tells_the_optimizer(optimizer, fake):
    """`cancel` and the cancelling of a task both end the request here and there."""
    first = asyncio.ensure_future(optimizer.chat("silence", request_id="first"))
    second = asyncio.ensure_future(optimizer.chat("silence", request_id="second"))
    await until(lambda: len(fake.seen) == 2)

    assert await optimizer.cancel("first") is True
    second.cancel()

    with pytest.raises(Cancelled):
        await first
    with pytest.raises(asyncio.CancelledError):
        await second
    await until(lambda: sorted(fake.cancelled) == ["first", "second"])
    assert optimizer.in_flight == 0


async def test_errors_garbage_and_used_ids(optimizer):
    """Errors are raised as their class, stray replies are dropped, and an id is on its way only once."""
    with pytest.raises(Overloaded, match="It is overloaded"):
        await optimizer.chat("error overloaded")
    assert (await optimizer.chat("garbage a")).text == "re: garbage a"
    assert (await optimizer.chat("twice b")).text == "re: twice b"

    first = asyncio.ensure_future(optimizer.chat("silence", request_id="mine"))
    await asyncio.sleep(0)
    with pytest.raises(InvalidRequest, match="on its way"):
        await optimizer.chat("again", request_id="mine")
    with pytest.raises(InvalidRequest, match="8,388,608"):
        await optimizer.chat("x" * 9_000_000)
    first.cancel()


async def test_closing_ends_what_is_unanswered(amqp_url, prefix, fake):
    """After `close` nothing waits, and nothing is taken until `start`."""
    optimizer = AsyncOptimizer("agent", url=amqp_url, prefix=prefix)
    waiting = asyncio.ensure_future(optimizer.chat("silence"))
    await until(lambda: fake.seen)

    await optimizer.close()

    with pytest.raises(Cancelled, match="closed"):
        await waiting
    with pytest.raises(OptimizerUnavailable, match="closed"):
        await optimizer.chat("after")
    async with optimizer:
        assert (await optimizer.chat("again", timeout=SOON_S)).text == "re: again"


async def test_without_a_request_queue_it_says_so_at_once(amqp_url, prefix, channel):
    """If no optimizer has its queue on this RabbitMQ, that is said at once and not at the deadline."""
    names = Names(prefix)
    declare(channel, names)
    channel.queue_delete(names.requests)
    started = time.monotonic()

    async with AsyncOptimizer("agent", url=amqp_url, prefix=prefix) as optimizer:
        with pytest.raises(BackendUnavailable, match="No optimizer is running"):
            await optimizer.chat("Why?")

    assert time.monotonic() - started < 3


async def test_without_an_exchange_it_says_so_at_once_and_works_when_there_is_one(amqp_url, prefix):
    """On a RabbitMQ that never saw an optimizer every request fails at once; as soon as there is one, it answers."""
    async with AsyncOptimizer("agent", url=amqp_url, prefix=prefix) as optimizer:
        started = time.monotonic()
        for _ in range(3):
            outcomes = await optimizer.chat_many(["a", "b"])
            assert [type(outcome) for outcome in outcomes] == [BackendUnavailable] * 2
        assert time.monotonic() - started < 3

        with FakeOptimizer(amqp_url, prefix):
            assert (await optimizer.chat("Why?", timeout=SOON_S)).text == "re: Why?"


async def test_a_full_request_queue_is_overloaded(amqp_url, prefix, channel):
    """A request that RabbitMQ refuses is `Overloaded`; one that it accepted before waits on."""
    names = Names(prefix)
    declare(channel, names)
    channel.queue_delete(names.requests)
    channel.queue_declare(names.requests, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    channel.queue_bind(names.requests, names.requests, names.requests)

    async with AsyncOptimizer("agent", url=amqp_url, prefix=prefix) as optimizer:
        outcomes = await optimizer.chat_many(["first", "second", "third"], timeout=1.5)

    # RabbitMQ may take a few more than the length allows; each that it took waits for its deadline.
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds[0] is DeadlineExceeded
    assert set(kinds) == {DeadlineExceeded, Overloaded}


async def test_the_search_for_a_connection_has_its_limits():
    """Without a connection a request fails after `connect_timeout`, and never later than its own timeout."""
    for connect_timeout, timeout in ((0.3, 30), (30, 0.3)):
        async with AsyncOptimizer("agent", url="amqp://127.0.0.1:1/", connect_timeout=connect_timeout) as optimizer:
            started = time.monotonic()
            with pytest.raises(OptimizerUnavailable, match="cannot be reached"):
                await optimizer.chat("Why?", timeout=timeout)
            assert 0.25 < time.monotonic() - started < 3


async def test_what_was_sent_is_sent_again_when_the_connection_is_cut(proxied, proxy, fake):
    """A request whose copy was lost with the connection is answered on the next one, under the same id."""
    asked = asyncio.ensure_future(proxied.chat("second chance", request_id="mine", timeout=30))
    await until(lambda: fake.seen)

    await asyncio.to_thread(proxy.reset)

    assert (await asyncio.wait_for(asked, SOON_S)).text == "re: second chance"
    assert [seen.request.id for seen in fake.seen] == ["mine"] * 2


async def test_a_reply_that_came_while_the_connection_was_gone_is_not_lost(proxied, proxy, fake):
    """The reply queue outlives the connection: what it received meanwhile arrives on the next one."""
    asked = asyncio.ensure_future(proxied.chat_many([f"hold {number}" for number in range(50)], timeout=30))
    await until(lambda: len(fake.seen) >= 50)

    await asyncio.to_thread(proxy.reset)
    fake.release.set()

    assert [reply.text for reply in await asyncio.wait_for(asked, SOON_S)] == [f"re: hold {n}" for n in range(50)]


async def test_a_reply_queue_that_somebody_deleted_is_declared_again(optimizer, fake, channel):
    """When its queue is deleted under it, the client makes another one and sends its requests again."""
    asked = asyncio.ensure_future(optimizer.chat("second queue", request_id="mine", timeout=30))
    await until(lambda: fake.seen)

    channel.queue_delete(fake.seen[0].properties.reply_to)

    assert (await asyncio.wait_for(asked, SOON_S)).text == "re: second queue"


async def test_closing_leaves_nothing_behind(amqp_url, prefix, fake, channel):
    """`close` tells the optimizer what nobody waits for any more, and deletes the reply queue."""
    optimizer = AsyncOptimizer("agent", url=amqp_url, prefix=prefix)
    waiting = asyncio.ensure_future(optimizer.chat("silence", request_id="left"))
    await until(lambda: fake.seen)
    queue = fake.seen[0].properties.reply_to

    await optimizer.close()

    with pytest.raises(Cancelled):
        await waiting
    await until(lambda: fake.cancelled == ["left"])
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="NOT_FOUND"):
        channel.queue_declare(queue, passive=True)


async def test_an_older_consumer_gets_no_replies(optimizer, fake, channel):
    """While RabbitMQ takes an older connection of the client for alive, replies come on the newest one all the same."""
    await optimizer.chat("before")
    channel.basic_consume(fake.seen[0].properties.reply_to, lambda *_: None, auto_ack=True)

    replies = await optimizer.chat_many([f"q{number}" for number in range(20)], timeout=SOON_S)

    assert [reply.text for reply in replies] == [f"re: q{number}" for number in range(20)]
    assert len(fake.seen) == 21


async def test_a_connection_on_which_nothing_arrives_any_more_is_replaced(proxied, proxy, fake, monkeypatch):
    """If RabbitMQ confirms nothing, the client does not wait for heartbeats: it connects again."""
    monkeypatch.setattr("optimizer_client.confirms.SHORTEST_S", 0.5)
    await proxied.chat("before")
    proxy.swallow()

    asked = asyncio.ensure_future(proxied.chat("lost", timeout=4))
    await until(lambda: not proxied.connected)
    proxy.heal()

    assert (await asked).text == "re: lost"


@pytest.mark.slow
async def test_a_broker_that_takes_nothing_says_why(private_rabbitmq, prefix):
    """Under an alarm requests end at their deadline, and the error names it; what waits then is sent after it."""
    url = private_rabbitmq.url
    with FakeOptimizer(url, prefix) as fake:
        async with AsyncOptimizer("agent", url=url, prefix=prefix, connect_timeout=0.2) as optimizer:
            await optimizer.chat("before", timeout=SOON_S)
            await asyncio.to_thread(private_rabbitmq.ctl, "set_vm_memory_high_watermark", "absolute", "1MB")
            try:
                # RabbitMQ tells it to whoever publishes: the first may have been sent before.
                outcomes = [(await optimizer.chat_many([f"meanwhile {n}"], timeout=1.0))[0] for n in range(2)]
                late = asyncio.ensure_future(optimizer.chat("late", timeout=30))
                await asyncio.sleep(0.5)
            finally:
                await asyncio.to_thread(private_rabbitmq.ctl, "set_vm_memory_high_watermark", "0.6")
            assert (await late).text == "re: late"
        assert len(fake.copies("late")) == 1

    assert [type(outcome) for outcome in outcomes] == [DeadlineExceeded, OptimizerUnavailable]
    assert all("RabbitMQ takes no requests for now" in str(outcome) for outcome in outcomes)


async def test_a_broker_that_goes_away_is_said_in_time_and_comes_back(amqp_url, prefix, fake, proxy):
    """While RabbitMQ is away requests fail after `connect_timeout`, and when it is back they are answered."""
    url = proxy.url_of(amqp_url)
    async with AsyncOptimizer("agent", url=url, prefix=prefix, timeout=SOON_S, connect_timeout=0.5) as optimizer:
        await optimizer.chat("before")
        proxy.refuse()
        proxy.reset()
        await until(lambda: not optimizer.connected)

        started = time.monotonic()
        outcomes = await optimizer.chat_many(["a", "b"])
        assert 0.4 < time.monotonic() - started < 3
        proxy.heal()
        await until(lambda: optimizer.connected)

        assert [type(outcome) for outcome in outcomes] == [OptimizerUnavailable] * 2
        assert (await optimizer.chat("after")).text == "re: after"
