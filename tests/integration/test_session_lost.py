"""A session whose connection breaks while somebody waits for an answer on it."""

from urllib.parse import urlsplit

import pytest
from tests.lab.proxy import TcpProxy

from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.session import Session


async def test_whoever_waits_is_told_and_not_cancelled(amqp_url):
    """A connection that is given up while a channel opens on it is an error there, and no cancellation."""
    parts = urlsplit(amqp_url)
    with TcpProxy(parts.hostname, parts.port or 5672) as proxy:
        async with await Session.open(f"{proxy.url_of(amqp_url)}?heartbeat=1", "test") as session:
            proxy.partition()
            with pytest.raises(BrokerUnavailable):
                await session.channel()
            proxy.heal()
