"""Row 13: a request that kills the process which calls for it."""

import asyncio
import json
import math
from urllib.parse import urlsplit

import pytest
from tests.lab.laboratory import Laboratory
from tests.lab.proxy import TcpProxy
from tests.support.servers import PrivateRedis
from tests.support.stack import Running

POISON = "poisonous"


async def mortal_workers(lab: Laboratory, count: int) -> list[Running]:
    """A deployment whose workers die by the poison."""
    lab.simulate("alpha", {"latency": {"base_s": 0.2}}, limits={"concurrency": 8})
    lab.stack.configure()
    arguments = ("tests.support.poisonable", POISON, "worker", "alpha")
    workers = [lab.stack.launch("worker/alpha", *arguments) for _ in range(count)]
    await lab.start(workers=0)
    await lab.ready(*workers)
    return workers


def dead(workers: list[Running]) -> int:
    """How many of them have died."""
    return sum(worker.process.poll() is not None for worker in workers)


async def among_innocents(lab: Laboratory) -> dict[str, str]:
    """Ask 30 innocent questions and the poison, all at once; returns the outcome of each."""
    clients = await lab.clients(3)
    for number in range(31):
        lab.ask(clients[number % 3], POISON if number == 3 else f"innocent {number}", 120)
    await asyncio.wait_for(lab.all(), 120)
    return {note.prompt: note.outcome for note in lab.history.notes}


@pytest.mark.fault(13)
async def test_poison_without_redis(lab: Laboratory, private_redis: PrivateRedis):
    """Without Redis the broker's count of deliveries tells: the poison's sender is told after three dead workers."""
    lab.stack.redis_url = private_redis.url
    workers = await mortal_workers(lab, 4)
    (client,) = await lab.clients(1)
    await asyncio.to_thread(private_redis.kill)

    lab.ask(client, POISON, 30)
    await asyncio.wait_for(lab.all(), 30)

    (note,) = lab.history.notes
    assert (note.outcome, dead(workers)) == ("internal", 3)
    assert "each time its worker died" in note.message


@pytest.mark.slow
@pytest.mark.fault(13)
async def test_poison_is_kept_and_may_be_tried_again(lab: Laboratory):
    """The poison is kept with its reason; sent again to workers that bear it, its answer is there for all who ask."""
    mortals = await mortal_workers(lab, 3)
    (client,) = await lab.clients(1)
    asking = lab.ask(client, POISON, 60)
    await lab.until(lambda: dead(mortals) == 3, "three deaths", 60)
    await lab.ready(lab.stack.worker("alpha"))
    await asking

    (letter,) = json.loads(await command(lab, "list", "--json"))["letters"]
    assert (letter["why"], letter["kind"]) == ("rejected", "optimizer.call.v1")
    assert "each time its worker died" in letter["reason"]
    assert POISON not in await command(lab, "show", letter["id"])
    before = len(lab.calls())
    assert "replayed as the call" in await command(lab, "replay", letter["id"])
    await lab.until(lambda: any(call.status == 200 for call in lab.calls()[before:]), "the answer of the replay")

    lab.ask(client, POISON, 20)
    await lab.all()
    assert [note.outcome for note in lab.history.notes] == ["internal", "answered"]
    assert len(lab.calls()) == before + 1
    assert json.loads(await command(lab, "list", "--json")) == {"letters": []}


async def command(lab: Laboratory, *words: str) -> str:
    """`optimizer dead …`; returns what it prints."""
    running = lab.stack.launch("dead", "optimizer_ops", "dead", *words)
    assert await asyncio.to_thread(running.process.wait, 30) == 0, running.text()
    return running.text()


@pytest.mark.slow
@pytest.mark.fault(13)
async def test_poison_among_innocents(lab: Laboratory):
    """One poison among 30 innocents that run beside it: three workers die, its sender is told, and 30 are answered."""
    workers = await mortal_workers(lab, 5)

    told = await among_innocents(lab)

    assert told.pop(POISON) == "internal"
    assert list(told.values()) == ["answered"] * 30
    assert dead(workers) == 3


@pytest.mark.slow
@pytest.mark.fault(13)
async def test_poison_among_innocents_without_redis(lab: Laboratory, private_redis: PrivateRedis):
    """The same without Redis, where it may take up to five workers to find the poison among those that were held."""
    lab.stack.redis_url = private_redis.url
    workers = await mortal_workers(lab, 6)
    await asyncio.to_thread(private_redis.kill)

    told = await among_innocents(lab)

    assert told.pop(POISON) == "internal"
    assert list(told.values()) == ["answered"] * 30
    assert dead(workers) <= 5


@pytest.mark.slow
@pytest.mark.fault(13)
async def test_broken_connections_are_no_deaths(lab: Laboratory, private_redis: PrivateRedis):
    """Calls that wait while their worker's connection breaks three times, and Redis then goes away, are innocent: all
    are answered, with one upstream call for each."""
    lab.stack.redis_url = private_redis.url
    lab.simulate("alpha", {"latency": {"base_s": 1.0}}, limits={"concurrency": 1})
    lab.stack.configure()
    address = urlsplit(lab.amqp_url)
    with TcpProxy(address.hostname or "", address.port or 5672) as proxy:
        worker = lab.stack.worker("alpha", OPTIMIZER_AMQP_URL=proxy.url_of(lab.amqp_url))
        await lab.start(workers=0)
        await lab.ready(worker)
        (client,) = await lab.clients(1)
        for number in range(20):
            lab.ask(client, f"innocent {number}", 60)
        await lab.until(lab.calls, "a call")
        for times in range(1, 4):
            proxy.reset()
            await lab.until(lambda n=times: worker.text().count('"event": "ready"') > n, "the next connection", 30)
            await asyncio.sleep(1.5)
        await asyncio.to_thread(private_redis.kill)
        lab.history.fault("Redis away", extra_calls=0, until=math.inf)
        await lab.all(70)
        findings = await lab.verify(service_s=1.0)
        await asyncio.to_thread(worker.stop)
    print(findings.summary)
    assert (findings.summary["answered"], findings.summary["calls"]) == (20, 20)
