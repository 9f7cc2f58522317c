"""What is to be seen of a fleet now, on real servers."""

import asyncio
import time

import msgspec
import pytest
from tests.support.stack import wait_until

from optimizer_config.load import load
from optimizer_ops.live.live import Live
from optimizer_state.budget import Budget
from optimizer_state.presence import Presence, Roster
from optimizer_wire.frames import Properties
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, backend_topology, shared_topology

TEXT = """
[backends.groq]
limits = { rpm = 10 }
[backends.mine]
api = "openai"
base_url = "http://127.0.0.1:9/v1"
models = ["m"]
[routes]
default = ["groq", "mine"]
"""


@pytest.fixture
def config(tmp_path, amqp_url, redis_url, prefix):
    """The configuration of a deployment of the test's own."""
    file = tmp_path / "optimizer.toml"
    file.write_text(TEXT)
    environ = {"OPTIMIZER_AMQP_URL": amqp_url, "OPTIMIZER_REDIS_URL": redis_url, "OPTIMIZER_PREFIX": prefix}
    return load(str(file), environ)


async def test_where_nothing_has_run(config):
    """A deployment that was never started is seen as such: both services, no queues, and what to do."""
    async with Live(config) as live:
        status = await live.look()

    assert status.rabbitmq.there
    assert status.redis.there
    assert status.rabbitmq.version
    assert status.redis.version
    assert all(queue.missing for queue in status.queues)
    assert (status.coordinators, status.recorders) == (0, 0)
    assert [backend.name for backend in status.backends] == ["groq", "mine"]
    assert {problem.subject for problem in status.problems} == {"coordinator", "workers", "recorder"}


async def test_services_that_are_away_are_told_and_raise_nothing(config):
    """Services that are away are told with their reasons, again and again, and never with a password."""
    nowhere = msgspec.structs.replace(
        config, amqp_url="amqp://u:hidden@127.0.0.1:9/", redis_url="redis://:hidden@127.0.0.1:9/0"
    )
    async with Live(nowhere) as live:
        for _ in range(2):
            status = await live.look()
            assert not status.rabbitmq.there
            assert not status.redis.there
            assert status.backends[0].workers is None
            assert {problem.subject for problem in status.problems} == {"rabbitmq", "redis"}
            assert b"hidden" not in msgspec.json.encode(status)


async def test_what_runs_waits_and_is_blocked(config, store, amqp_cleanup):
    """Workers, what waits in queues, a block with its wall-clock end and reason, and a look after a lost session."""
    names = Names(config.prefix)
    amqp_cleanup.backends("groq", "mine")
    await Roster(store).beat(Presence("groq", "w1"))
    await Budget(store, config.backend("groq"), "w1").block(600.0, "quota_day")
    async with await Session.open(config.amqp_url, "test") as session:
        await session.declare(shared_topology(names))
        await session.declare(backend_topology(names, ["groq", "mine"]))
        channel = await session.channel(confirms=True)
        await channel.publish_confirmed(
            names.calls, "groq.batch", b"x", Properties("t", "i", content_type="text/plain")
        )
        await channel.consume(names.requests, print, on_cancel=print)
        async with Live(config) as live:
            status = await live.look()
            groq, mine = status.backends
            for lost in (live._broker._looking, live._broker._alarm._session):
                await lost.close()
            again = await live.look()

    assert status.coordinators == 1
    assert (groq.workers, mine.workers) == (1, 0)
    assert groq.blocked_until == pytest.approx(time.time() + 600, abs=5)
    assert groq.blocked_reason == "quota_day"
    assert (groq.waiting, mine.waiting) == (1, 0)
    assert {problem.subject for problem in status.problems} == {"default", "groq", "mine", "recorder"}
    assert again.rabbitmq.there
    assert again.coordinators == 1


async def test_a_backend_that_is_not_configured_is_seen_when_asked_for_or_served(config, store):
    """A backend of the catalogue is seen while a worker serves it, and when it is asked for by name."""
    async with Live(config) as live:
        assert "mistral" not in [backend.name for backend in (await live.look()).backends]
        assert "mistral" in [backend.name for backend in (await live.look(also=["mistral"])).backends]
        await Roster(store).beat(Presence("mistral", "w"))
        assert "mistral" in [backend.name for backend in (await live.look()).backends]


@pytest.mark.slow
async def test_an_alarm_is_seen_and_its_end(config, private_rabbitmq):
    """A RabbitMQ that takes no messages is there, with its reason, look after look, and well when it takes them."""
    here = msgspec.structs.replace(config, amqp_url=private_rabbitmq.url)
    async with Live(here) as live:
        assert (await live.look()).rabbitmq.takes_nothing == ""
        await asyncio.to_thread(private_rabbitmq.ctl, "set_vm_memory_high_watermark", "0")
        try:
            for _ in range(2):
                status = await live.look()
                assert status.rabbitmq.there
                assert "memory" in status.rabbitmq.takes_nothing
                assert status.problems[0].subject == "rabbitmq"
        finally:
            await asyncio.to_thread(private_rabbitmq.ctl, "set_vm_memory_high_watermark", "0.4")
        blocked = live._broker._alarm._session
        await asyncio.to_thread(wait_until, lambda: blocked.blocked is None, "the end of the alarm")
        assert (await live.look()).rabbitmq.takes_nothing == ""
