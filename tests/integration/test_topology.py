"""The topology on a real broker: declared again and again, and every difference told in words."""

import os
import subprocess
import sys

import pika
import pytest

from optimizer_ops.topology_check import check
from optimizer_wire.broker_errors import BrokerUnavailable, TopologyDiffers
from optimizer_wire.messages import Priority
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, Queue, Topology, backend_topology, event_queue, reply_queue, shared_topology


@pytest.fixture
def names(prefix, amqp_cleanup):
    """The names of a deployment of this test alone; everything of the backend groq is deleted afterwards."""
    amqp_cleanup.backends("groq")
    return Names(prefix)


@pytest.fixture
def broker(amqp_url):
    """A channel on which a test may declare something else."""
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    yield connection.channel()
    connection.close()


async def test_declared_again_and_again(amqp_url, names):
    """Declaring what is there already changes nothing, from another session and at the same time too."""
    async with await Session.open(amqp_url, "one") as one, await Session.open(amqp_url, "two") as two:
        for session in (one, two, one):
            channel = await session.channel()
            await channel.declare(shared_topology(names))
            await channel.declare(backend_topology(names, ["groq"]))
        channel = await two.channel()
        await channel.declare_queue(reply_queue(names.reply_queue("guest", "t")))
        await channel.declare_queue(reply_queue(names.reply_queue("guest", "t")))
        await channel.declare_queue(event_queue(f"{names.events}.t"))


async def test_all_as_it_must_be(amqp_url, names, broker, capsys):
    """`optimizer topology` declares what is missing, binds it, and says so; again it finds all as it must be."""
    for _ in range(2):
        assert await check(amqp_url, names.prefix, ["groq"]) == 0
        assert capsys.readouterr().out == "11 exchanges and queues are as they must be.\n"

    broker.confirm_delivery()
    for exchange, key in ((names.requests, names.requests), (names.calls, "groq.batch"), (names.dead, "")):
        broker.basic_publish(exchange, key, b"x", mandatory=True)


async def test_differences_in_words(amqp_url, names, broker, capsys):
    """Each queue or exchange that differs is one sentence: what it has, and what it needs; all are told at once."""
    broker.queue_declare(names.requests, durable=True, arguments={"x-queue-type": "quorum", "x-max-length": 5})
    broker.queue_declare(names.call_queue("groq", Priority.INTERACTIVE), durable=False, auto_delete=True)
    broker.exchange_declare(names.events, "direct", durable=True)

    assert await check(amqp_url, names.prefix, ["groq"]) == 78
    *told, advice = capsys.readouterr().out.splitlines()
    assert len(told) == 3
    assert f"The exchange {names.events} has type = direct, but needs topic." in told
    assert any(line.startswith(f"The queue {names.requests} has x-") and " but needs " in line for line in told)
    assert any(line.startswith(f"The queue {names.calls}.groq.interactive has ") for line in told)
    assert "OPTIMIZER_PREFIX" in advice


@pytest.mark.parametrize(
    ("argument", "has", "needs"),
    [
        ("x-max-length", 5, "100000"),
        ("x-overflow", "drop-head", "reject-publish"),
        ("x-delivery-limit", 3, "20"),
        ("x-dead-letter-exchange", "elsewhere", None),
        ("x-max-length", None, "100000"),
    ],
)
async def test_each_argument(amqp_url, names, broker, argument, has, needs):
    """A single argument that differs is named with both values, and stops whoever declares."""
    wanted = next(queue for queue in shared_topology(names).queues if queue.name == names.requests)
    there = {**wanted.arguments, argument: has}
    broker.queue_declare(names.requests, durable=True, arguments={k: v for k, v in there.items() if v is not None})

    async with await Session.open(amqp_url, "t") as session:
        channel = await session.channel()
        with pytest.raises(TopologyDiffers) as caught:
            await channel.declare(Topology((), (Queue(wanted.name, wanted.arguments),), ()))
    has_words, needs_words = has or "none", needs or names.dead
    assert str(caught.value) == f"The queue {names.requests} has {argument} = {has_words}, but needs {needs_words}."


async def test_unreachable(names, capsys):
    """A broker that is not there is a sentence without the password, and another exit code."""
    assert await check("amqp://guest:secret@127.0.0.1:1/", names.prefix, []) == 69
    words = capsys.readouterr().err
    assert words.startswith("optimizer: RabbitMQ at amqp://guest:***@127.0.0.1:1/ cannot be reached: ")
    assert "secret" not in words


async def test_wrong_password(amqp_url):
    """A broker that refuses the user says so, without the password."""
    url = amqp_url.replace("guest:guest", "guest:secret")
    with pytest.raises(BrokerUnavailable, match="cannot be reached") as caught:
        await Session.open(url, "t")

    assert "secret" not in str(caught.value)


def test_command(amqp_url, names, tmp_path):
    """`optimizer topology` is the same from the command line."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPTIMIZER_")}
    environment |= {"OPTIMIZER_AMQP_URL": amqp_url, "OPTIMIZER_PREFIX": names.prefix, "XDG_CONFIG_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "optimizer_ops", "topology", "--backend", "groq"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("are as they must be.\n")
