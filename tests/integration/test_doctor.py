"""What the doctor finds where things are really broken."""

import json
import os
import subprocess
import sys
from urllib.parse import urlsplit, urlunsplit

import msgspec
import pytest
import redis

from optimizer_config.load import load
from optimizer_ops.doctor import broker_check, redis_check
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, Queue, Topology, backend_topology, shared_topology

TEXT = """
[backends.mine]
api = "openai"
base_url = "http://127.0.0.1:9/v1"
models = ["m"]
"""


@pytest.fixture
def config(tmp_path, amqp_url, redis_url, prefix):
    """The configuration of a deployment of the test's own."""
    file = tmp_path / "optimizer.toml"
    file.write_text(TEXT)
    environ = {"OPTIMIZER_AMQP_URL": amqp_url, "OPTIMIZER_REDIS_URL": redis_url, "OPTIMIZER_PREFIX": prefix}
    return load(str(file), environ)


def failed(findings):
    """What failed, each with what to do."""
    return [(finding.what, finding.what_to_do) for finding in findings if finding.verdict == "failed"]


def with_password(url, password):
    """The URL with another password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:{password}@{parts.hostname}:{parts.port}"))


async def test_a_wrong_password_of_rabbitmq(config, amqp_url):
    """A password that RabbitMQ does not know fails, with what to do and without the password."""
    wrong = msgspec.structs.replace(config, amqp_url=with_password(amqp_url, "hidden"))
    ((what, do),) = failed(await broker_check.examine(wrong))

    assert "not with this password" in what
    assert "hidden" not in what
    assert "OPTIMIZER_AMQP_URL" in do


async def test_queues_that_are_missing_or_differ(config, amqp_cleanup):
    """Nothing declared, one queue with other arguments, all as it must be: each is told, and nothing is changed."""
    names = Names(config.prefix)
    amqp_cleanup.backends("mine")
    ((what, do),) = failed(await broker_check.examine(config))
    assert what.startswith("11 missing: the exchange ")
    assert "coordinator" in do

    async with await Session.open(config.amqp_url, "test") as session:
        other = Topology((), (Queue(names.requests, {"x-queue-type": "classic"}),), ())
        await session.declare(other)
        (missing, differing) = sorted(failed(await broker_check.examine(config)))
        assert missing[0].startswith("10 missing: ")
        assert f"The queue {names.requests} has x-" in differing[0]
        assert await session.depths([names.dead]) == {names.dead: None}
        channel = await session.channel()
        await channel.delete_queue(names.requests)
        await session.declare(shared_topology(names))
        await session.declare(backend_topology(names, ["mine"]))
        found = await broker_check.examine(config)
    assert failed(found) == []
    assert "6 queues and 5 exchanges are as they must be." in [finding.what for finding in found]


async def test_a_redis_that_drops_anything(config, private_redis):
    """A Redis that may evict what has no time to live fails; one that is as it must be has nothing to be done."""
    here = msgspec.structs.replace(config, redis_url=private_redis.url)
    with redis.Redis.from_url(private_redis.url) as client:
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        ((what, do),) = failed(await redis_check.examine(here))
        assert "allkeys-lru" in what
        assert "volatile-lfu" in do

        client.config_set("maxmemory-policy", "volatile-lfu")
        assert {finding.verdict for finding in await redis_check.examine(here)} == {"ok"}

        client.config_set("maxmemory", "1")
        ((what, do),) = failed(await redis_check.examine(here))
        assert "maxmemory" in what
        assert "full" in do


async def test_a_redis_with_another_password(config, private_redis):
    """A Redis that wants another password fails with that, not with an address."""
    with redis.Redis.from_url(private_redis.url) as client:
        client.config_set("requirepass", "right")
    wrong = msgspec.structs.replace(config, redis_url=private_redis.url.replace("redis://", "redis://:hidden@"))
    ((what, do),) = failed(await redis_check.examine(wrong))

    assert "hidden" not in what
    assert "user and password" in do


def test_the_command(config, prefix, amqp_url, redis_url):
    """As a command it prints every finding as JSON and leaves with 1, because no coordinator has run here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPTIMIZER_")}
    environment = kept | {
        "OPTIMIZER_AMQP_URL": amqp_url,
        "OPTIMIZER_REDIS_URL": redis_url,
        "OPTIMIZER_PREFIX": prefix,
        "OPTIMIZER_CONFIG": config.path,
    }
    command = [sys.executable, "-m", "optimizer_ops"]
    words = {"env": environment, "capture_output": True, "text": True, "timeout": 60}
    doctor = subprocess.run([*command, "doctor", "--json"], check=False, **words)
    status = subprocess.run([*command, "status", "--json"], check=False, **words)

    assert doctor.returncode == 1, doctor.stderr
    areas = {finding["area"] for finding in json.loads(doctor.stdout)["findings"]}
    assert areas >= {"configuration", "rabbitmq", "redis", "fleet", "keys", "limits", "history", "machine"}
    assert status.returncode == 1, status.stderr
    report = json.loads(status.stdout)
    assert report["ok"] is False
    assert report["problems"][0]["subject"] == "coordinator"
