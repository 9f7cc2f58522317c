"""A session with a real RabbitMQ whose connection falls silent, or whose questions are not answered."""

import time

import pytest
from tests.lab.proxy import TcpProxy

from optimizer_ops.services.urls import parse
from optimizer_wire import answers
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.session import Session

HEARTBEAT_S = 2


@pytest.mark.parametrize("direction", ["both", "down"])
async def test_silence_is_noticed_within_two_heartbeats(amqp_url, direction):
    """A broker of which nothing comes any more, on a connection that stays open, is given up within two heartbeats."""
    server = parse(amqp_url)
    with TcpProxy(server.host, server.port) as proxy:
        url = proxy.url_of(amqp_url)
        session = await Session.open(f"{url}{'&' if '?' in url else '?'}heartbeat={HEARTBEAT_S}", "test")
        await session.channel()
        proxy.partition(direction)
        began = time.monotonic()
        await session.lost.wait()
        noticed_s = time.monotonic() - began
        await session.close()
        proxy.heal()
    assert noticed_s <= 2 * HEARTBEAT_S + 0.2


async def test_no_answer(amqp_url, monkeypatch):
    """A question that RabbitMQ does not answer is not waited for longer than the longest time for an answer."""
    monkeypatch.setattr(answers, "ANSWER_TIMEOUT_S", 0.5)
    server = parse(amqp_url)
    with TcpProxy(server.host, server.port) as proxy:
        session = await Session.open(proxy.url_of(amqp_url), "test")
        channel = await session.channel()
        proxy.partition("down")
        with pytest.raises(BrokerUnavailable, match="did not answer within"):
            await channel.delete_queue("nothing")
        proxy.heal()
        await session.close()
