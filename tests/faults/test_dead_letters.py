"""Rows 14 and 23: what cannot be handled is answered and kept, and finds its way even if somebody takes that away."""

import asyncio
import time
import uuid
from pathlib import Path

import msgpack
import pytest
from tests.lab.laboratory import Laboratory
from tests.support.servers import PrivateRabbitMQ
from tests.support.stack import Stack
from tests.support.tap import Tap

from optimizer_client import InvalidRequest
from optimizer_wire.topology import shared_topology

KEEPER_STEPS = ("after_receive", "after_end", "after_keep", "after_reply", "after_ack")
RETRY_MS = 2_000


def request(**fields) -> dict:
    """A request as another program would write it."""
    params = {"messages": [{"role": "user", "content": "hello"}]}
    return {"v": 1, "id": str(uuid.uuid4()), "agent": "bad", "params": params, **fields}


def send(tap: Tap, body: bytes, **more) -> None:
    """Publish a request."""
    usual = {"reply_to": tap.reply_to, "type": "optimizer.request.v1", "user_id": "guest", "correlation_id": "c-1"}
    tap.publish(tap.names.requests, tap.names.requests, body, **{**usual, **more})


def unread_call(tap: Tap) -> bytes:
    """A call of a version that no worker knows, whose waiter can be read."""
    waiter = {"id": "waits", "reply_to": tap.reply_to, "deadline_ms": 2**50, "agent": "a", "tenant": "t"}
    return msgpack.packb({"v": 9, "fingerprint": "f", "flight": 0, "number": 1, "waiter": waiter})


@pytest.mark.slow
@pytest.mark.fault(14)
async def test_malformed_and_too_large(lab: Laboratory):
    """Malformed and oversized messages are answered to their sender, kept byte by byte, and crash nobody."""
    lab.simulate("alpha")
    await lab.start()
    bodies = [
        b"",
        b"\xc1",
        msgpack.packb(request())[:-3],
        b"\x91" * 100_000,
        msgpack.packb(request(params="x" * 2**23)),
    ]
    with Tap(lab.stack.amqp_url, lab.stack.prefix) as tap:
        for body in bodies:
            send(tap, body)
            reply, kept = await asyncio.to_thread(tap.reply), await asyncio.to_thread(tap.dead)
            assert (reply.fields["ok"], reply.fields["error"]["code"]) == (False, "invalid_request")
            assert kept.body == body
    (client,) = await lab.clients(1)
    await lab.ask(client, "still there?")
    await lab.verify()


@pytest.mark.slow
@pytest.mark.fault(14)
async def test_too_large_for_the_client(lab: Laboratory):
    """A client refuses a request that is too large by itself, with its size; nothing is sent, and it goes on."""
    lab.simulate("alpha")
    await lab.start()
    (client,) = await lab.clients(1)

    with pytest.raises(InvalidRequest, match=r"The message has 9,.* bytes; at most 8,388,608"):
        await client.chat("x" * 9 * 2**20, timeout=30)

    await lab.ask(client, "still there?")
    await lab.verify()


@pytest.mark.slow
@pytest.mark.fault(14)
@pytest.mark.parametrize("step", KEEPER_STEPS)
async def test_keeper_killed(lab: Laboratory, step: str):
    """A keeper that dies at any step loses no letter: it is kept under one id, and who waits is told."""
    lab.simulate("alpha")
    lab.stack.configure()
    since, victim = time.monotonic(), lab.stack.coordinator(OPTIMIZER_CRASH_AT=f"keeper.{step}")
    await lab.ready(victim)
    worker = lab.stack.worker("alpha")
    await lab.ready(worker)
    with Tap(lab.stack.amqp_url, lab.stack.prefix) as tap:
        body = unread_call(tap)
        tap.publish(tap.names.calls, "alpha.standard", body, type="optimizer.call.v1")
        await lab.kills.own_death(victim, since)
        await lab.ready(lab.stack.coordinator())

        assert (await asyncio.to_thread(tap.reply)).fields["error"]["code"] == "internal"
        letters = [await asyncio.to_thread(tap.dead)]
        while (copy := tap.dead(1.0)) is not None:
            letters.append(copy)
        assert {letter.body for letter in letters} == {body}
        assert len({letter.properties.message_id for letter in letters}) == 1


def break_the_way(tap: Tap, how: str) -> None:
    """Take away where dead letters go."""
    channel, name = tap._channel, tap.names.dead
    match how:
        case "unbound":
            channel.queue_unbind(name, name, "")
        case "no exchange":
            channel.exchange_delete(name)
        case "no queue":
            channel.queue_delete(name)
        case "nothing":
            channel.queue_delete(name)
            channel.exchange_delete(name)


@pytest.mark.slow
@pytest.mark.fault(23)
@pytest.mark.parametrize("how", ["unbound", "no exchange", "no queue", "nothing"])
async def test_dead_letters_have_nowhere_to_go(
    tmp_path: Path, private_rabbitmq: PrivateRabbitMQ, redis_url: str, prefix: str, how: str
):
    """Whatever is deleted of where dead letters go: it is noticed, told and declared again, and none is lost."""
    # RabbitMQ tries again after three minutes; here after two seconds.
    setting = f"application:set_env(rabbit, dead_letter_worker_publisher_confirm_timeout, {RETRY_MS})."
    await asyncio.to_thread(private_rabbitmq.ctl, "eval", setting)
    async with Laboratory(Stack(tmp_path, private_rabbitmq.url, redis_url, prefix)) as lab:
        try:
            lab.simulate("alpha")
            await lab.start()
            with Tap(lab.stack.amqp_url, prefix) as tap:
                break_the_way(tap, how)
                bodies = {b"\xc1" + bytes([number]) for number in range(20)}
                for body in bodies:
                    send(tap, body)

                told = await asyncio.to_thread(tap.event, "optimizer.dead_letters_unroutable", 30)
                assert tap.names.dead in told.fields["message"]
                kept = {(await asyncio.to_thread(tap.dead, 30)).body for _ in bodies}
                assert kept == bodies
        finally:
            await asyncio.to_thread(lab.stack.close)
            with Tap(lab.stack.amqp_url, prefix) as tap:
                for queue in shared_topology(tap.names).queues:
                    tap.drop(queue.name)
