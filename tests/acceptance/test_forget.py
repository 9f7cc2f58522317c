"""`optimizer forget` on real processes: two tenants, one is forgotten while its requests are in flight."""

import asyncio
import json
import sqlite3
import subprocess
import sys
import uuid
from contextlib import AsyncExitStack, closing

import msgpack
import pika
import pytest
import redis
from tests.support.fleet import echo
from tests.support.leftovers import delete_keys
from tests.support.stack import Stack, wait_until

from optimizer_client import AsyncOptimizer, Cancelled
from optimizer_wire.topology import Names, backend_topology, shared_topology

TENANTS = '[tenants]\nacme = ["acme-user"]\nother = ["other-user"]\n'
PASSWORD = "secret"
PROMPTS = (*(f"other-word {n}" for n in range(4)), "both-word")


@pytest.fixture
def two(tmp_path, private_rabbitmq, redis_url):
    """A deployment with a user for each of two tenants; `beta` has no worker."""
    known = private_rabbitmq.ctl("list_users")
    for user in ("acme-user", "other-user"):
        if user not in known:
            private_rabbitmq.ctl("add_user", user, PASSWORD)
            private_rabbitmq.ctl("set_permissions", user, ".*", ".*", ".*")
    prefix = f"t-{uuid.uuid4().hex[:12]}"
    stack = Stack(tmp_path, private_rabbitmq.url, redis_url, prefix, extra=TENANTS)
    yield stack
    stack.close()
    delete_keys(redis_url, prefix)


def url_of(stack, user):
    """The broker's URL for a user."""
    return stack.amqp_url.replace("guest:guest", f"{user}:{PASSWORD}")


def forget(stack, *arguments, tenant="acme"):
    """Run the command; returns its exit code, output and errors."""
    command = [sys.executable, "-m", "optimizer_ops", "forget", "--tenant", tenant, *arguments]
    ended = subprocess.run(command, env=stack.environment(), capture_output=True, text=True, timeout=100, check=False)
    return ended.returncode, ended.stdout, ended.stderr


def kept(stack):
    """Everything that Redis and the queues hold, as one text; the messages stay where they are."""
    with redis.Redis.from_url(stack.redis_url) as client:
        keys = list(client.scan_iter(f"{stack.prefix}:*"))
        read = {b"hash": client.hgetall, b"string": client.get, b"zset": lambda key: client.zrange(key, 0, -1)}
        found = [read[client.type(key)](key) for key in keys]
    names = Names(stack.prefix)
    queues = [*shared_topology(names).queues, *backend_topology(names, stack.backends).queues]
    with pika.BlockingConnection(pika.URLParameters(stack.amqp_url)) as connection:
        channel = connection.channel()
        for queue in queues:
            while (got := channel.basic_get(queue.name))[0] is not None:
                found.append(got[2])
        # Closing the channel hands them back.
    return repr(found)


def recorded(stack, tenant="acme"):
    """How many rows of the history are about a tenant, by table."""
    with closing(sqlite3.connect(stack.folder / "history.db")) as history:
        tables = ("requests", "calls", "happenings", "agents", "hourly", "daily")
        question = "SELECT count(*) FROM {} WHERE tenant = ?"
        return {table: history.execute(question.format(table), (tenant,)).fetchone()[0] for table in tables}


def publish(stack, user, body, **properties):
    """Publish to the request queue as a user."""
    names = Names(stack.prefix)
    with pika.BlockingConnection(pika.URLParameters(url_of(stack, user))) as connection:
        usual = {"user_id": user, "type": "optimizer.request.v1", **properties}
        connection.channel().basic_publish(names.requests, names.requests, body, pika.BasicProperties(**usual))


@pytest.mark.slow
async def test_one_is_forgotten_and_the_other_is_not(two):
    """The forgotten tenant's requests are cancelled and nothing of them remains; the other one's are all answered."""
    sim = two.simulate("alpha", {"latency": {"base_s": 1.5}}, concurrency=2)
    two.backends["beta"] = {**two.backends["alpha"], "base_url": "http://127.0.0.1:1/v1"}
    two.configure()
    two.ready(two.worker("alpha"), two.coordinator(), two.launch("recorder", "optimizer_ops", "recorder"))
    asked = {}
    async with AsyncExitStack() as pool:
        for tenant in ("acme", "other"):
            client = AsyncOptimizer(f"{tenant}-agent", url=url_of(two, f"{tenant}-user"), prefix=two.prefix)
            client = await pool.enter_async_context(client)
            first = asyncio.ensure_future(client.chat(f"{tenant}-word answered", timeout=30))
            asked[tenant] = client, first
        await asyncio.gather(*(first for _, first in asked.values()))
        flying = {
            tenant: [
                *(asyncio.ensure_future(client.chat(f"{tenant}-word {n}", timeout=60)) for n in range(4)),
                asyncio.ensure_future(client.chat(f"{tenant}-word nobody", model="beta", timeout=60)),
                asyncio.ensure_future(client.chat("both-word", timeout=60, scope="public")),
            ]
            for tenant, (client, _) in asked.items()
        }
        for tenant in asked:
            publish(two, f"{tenant}-user", f"{tenant}-word is no request".encode())
        await asyncio.to_thread(wait_until, lambda: len(sim.calls()) >= 4, "calls in flight")
        await asyncio.to_thread(wait_until, lambda: kept(two).count("word nobody") >= 2, "calls that nobody takes")
        await asyncio.to_thread(wait_until, lambda: recorded(two)["calls"] >= 1, "a history")

        code, said, errors = await asyncio.to_thread(forget, two, "--yes", "--json")

        assert (code, errors) == (0, "")
        tally = json.loads(said)
        assert tally["answers"] >= 1
        assert tally["dead"] >= 1
        assert tally["history"]["requests"] >= 1
        assert not any(recorded(two).values())
        remains = await asyncio.to_thread(kept, two)
        assert "acme-word" not in remains
        assert not any(echo(f"acme-word {which}") in remains for which in ("answered", *range(4)))
        assert echo("other-word answered") in remains
        for ended in await asyncio.gather(*flying["acme"], return_exceptions=True):
            # What had been answered by then was.
            assert isinstance(ended, Cancelled) or ended.text, ended
        assert tally["cancelled"] >= 4
        flying["other"].pop(4).cancel()
        for prompt, reply in zip(PROMPTS, await asyncio.gather(*flying["other"]), strict=True):
            assert reply.text.startswith(echo(prompt))
        again = await asked["other"][0].chat("other-word answered", timeout=20)
        assert again.source == "cache"
        assert not any(recorded(two).values())
        new = await asked["acme"][0].chat("acme-word answered", timeout=20)
        assert new.source == "backend"
        await asyncio.to_thread(wait_until, lambda: recorded(two)["requests"] == 1, "what it asked afterwards")


@pytest.mark.slow
def test_what_waits_for_a_coordinator(two):
    """Without a coordinator the tenant's requests are taken out of their queue and told; others' keep their place."""
    two.simulate("alpha")
    two.configure()
    coordinator = two.coordinator()
    two.ready(coordinator)
    coordinator.stop()
    names = Names(two.prefix)
    body = {"v": 1, "id": "x", "agent": "a", "params": {"messages": [{"role": "user", "content": "word"}]}}
    queue = names.reply_queue("acme-user", "1")
    with pika.BlockingConnection(pika.URLParameters(url_of(two, "acme-user"))) as connection:
        channel = connection.channel()
        channel.queue_declare(queue, exclusive=True)
        for user in ("acme-user", "other-user", "acme-user"):
            word = {**body, "params": {"messages": [{"role": "user", "content": f"word of {user}"}]}}
            publish(two, user, msgpack.packb(word), reply_to=names.reply_queue(user, "1"))

        code, said, _ = forget(two, "--dry-run")
        assert code == 0
        assert "3 messages of all tenants" in said
        assert kept(two).count("word of acme-user") == 2

        code, said, _ = forget(two, "--yes")
        assert code == 0
        assert "from the queues 2 messages" in said
        assert "word of acme-user" not in kept(two)
        assert "word of other-user" in kept(two)
        told = msgpack.unpackb(channel.basic_get(queue, auto_ack=True)[2])
        assert (told["id"], told["error"]["code"]) == ("x", "cancelled")


@pytest.mark.parametrize("missing", ["OPTIMIZER_REDIS_URL", "OPTIMIZER_AMQP_URL"])
def test_a_service_is_away(stack, missing, monkeypatch):
    """Without Redis or RabbitMQ nothing is touched: one sentence that says so without a password, and code 69."""
    stack.configure()
    url = "redis://:hidden@127.0.0.1:1/0" if "REDIS" in missing else "amqp://u:hidden@127.0.0.1:1/"
    monkeypatch.setattr(stack, "environment", lambda: Stack.environment(stack) | {missing: url})

    code, said, errors = forget(stack, "--yes")

    assert (code, said) == (69, "")
    assert errors.count("\n") == 1
    assert "127.0.0.1:1" in errors
    assert "hidden" not in errors


def test_nobody_to_ask(stack):
    """Without a terminal and without --yes nothing is removed: code 2, and a sentence that says what to add."""
    stack.configure()

    code, said, errors = forget(stack)

    assert (code, said) == (2, "")
    assert "--yes" in errors


def test_a_tenant_that_nobody_knows(stack):
    """A tenant without a user in the configuration is looked for, with a warning of what cannot be found."""
    stack.extra = TENANTS
    stack.configure()

    code, said, errors = forget(stack, "--dry-run", tenant="amce")

    assert code == 0
    assert "names no user of the tenant amce" in errors
    assert "Nothing was removed" in said
