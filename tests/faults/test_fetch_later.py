"""Rows 1, 3, 5, 6 and 12: what was submitted is answered and fetched, whatever dies after its sender has gone."""

import asyncio
import time

import pytest
from tests.lab.laboratory import Laboratory
from tests.support.servers import PrivateRedis

from optimizer_client import AsyncOptimizer, NotFoundError, NotReady, OptimizerError
from optimizer_service.crash_points import POINTS

WORKERS = [
    each
    for each in POINTS
    if each.startswith("worker.") and each.partition(".")[2] not in {"after_release", "after_forward"}
]
COORDINATORS = [each for each in POINTS if each.startswith("coordinator.")]
CALL_S = 0.4


async def submitted(lab: Laboratory, questions: list[str], **options: object) -> list[str]:
    """Submit from a client that is gone afterwards."""
    async with AsyncOptimizer("gone", url=lab.amqp_url, prefix=lab.stack.prefix) as client:
        return [await client.submit(each, **{"timeout": 60, **options}) for each in questions]


async def fetched(client: AsyncOptimizer, request_id: str, timeout_s: float = 60.0) -> str:
    """The answer, asked for again when the optimizer cannot look: what was submitted is never unknown."""
    end = time.monotonic() + timeout_s
    while True:
        try:
            return (await client.fetch(request_id, timeout=max(0.0, end - time.monotonic()))).text
        except NotReady:
            raise
        except OptimizerError as error:
            if not error.retryable or time.monotonic() > end:
                raise


async def all_fetched(lab: Laboratory, ids: list[str]) -> list[str]:
    """Each answer once, from a new client."""
    (client,) = await lab.clients(1)
    return await asyncio.gather(*(fetched(client, each) for each in ids))


async def killed(lab: Laboratory, kind: str, point: str) -> None:
    """One of two processes of a kind kills itself at a point while submitted requests are on their way."""
    lab.simulate("alpha", {"latency": {"base_s": CALL_S}}, limits={"concurrency": 4})
    await lab.start(coordinators=1, workers=1)
    (client,) = await lab.clients(1)
    await client.chat("known", timeout=30)
    since = time.monotonic()
    start = lab.stack.coordinator if kind == "coordinator" else lambda **more: lab.stack.worker("alpha", **more)
    victim = start(OPTIMIZER_CRASH_AT=point)
    await lab.ready(victim)
    questions = ["the same"] * 4 + [f"question {n}" for n in range(6)] + ["known"] * 6
    ids = await submitted(lab, questions)
    fetching = asyncio.ensure_future(all_fetched(lab, ids))
    await lab.kills.own_death(victim, since)
    texts = await fetching

    assert len(texts) == len(questions)
    assert len(set(texts[:4])) == 1
    assert len(set(texts)) == len(set(questions))
    # One process died: each of the calls that it had may have been made once more.
    assert len(lab.calls()) <= 2 * len(set(questions))


@pytest.mark.fault(1)
async def test_worker_killed_with_the_answer_stored(lab: Laboratory):
    """A worker that dies with an answer stored and no mailbox told: it is fetched, without another call."""
    await killed(lab, "worker", "worker.after_store")


@pytest.mark.slow
@pytest.mark.fault(1)
@pytest.mark.parametrize("point", WORKERS)
async def test_worker_killed_at_any_step(lab: Laboratory, point: str):
    """A worker that dies at any step of a call: every submitted request is answered and fetched."""
    await killed(lab, "worker", point)


@pytest.mark.slow
@pytest.mark.fault(3)
@pytest.mark.parametrize("point", COORDINATORS)
async def test_coordinator_killed_at_any_step(lab: Laboratory, point: str):
    """A coordinator that dies at any step of a request or a fetch: every submitted request is answered and fetched."""
    await killed(lab, "coordinator", point)


@pytest.fixture
def own_redis(stack, private_redis: PrivateRedis) -> PrivateRedis:
    """The deployment's own Redis."""
    stack.redis_url = private_redis.url
    return private_redis


@pytest.mark.slow
@pytest.mark.fault(5)
async def test_redis_loses_everything(lab: Laboratory, own_redis: PrivateRedis):
    """Redis comes back empty while submitted requests run, wait and share a call: all are answered and fetched."""
    lab.simulate("alpha", {"latency": {"base_s": 1.5}}, limits={"concurrency": 2})
    await lab.start(coordinators=2, workers=1)
    ids = await submitted(lab, ["the same"] * 6 + [f"question {n}" for n in range(6)])
    await lab.until(lab.calls, "a call")
    await asyncio.to_thread(own_redis.lose_data)
    texts = await all_fetched(lab, ids)

    assert len(set(texts)) == 7
    assert len(texts) == 12


@pytest.mark.slow
@pytest.mark.fault(5)
async def test_redis_away_when_the_answer_comes(lab: Laboratory, own_redis: PrivateRedis):
    """Redis is away when a submitted call ends: the answer is there, without another call, when Redis is back."""
    sim = lab.simulate("alpha", {"latency": {"base_s": 1.0}})
    await lab.start(coordinators=2, workers=1)
    (client,) = await lab.clients(1)
    (before,) = await submitted(lab, ["before"])
    await lab.until(lambda: len(sim.calls()) == 1, "the call")
    await asyncio.to_thread(own_redis.stop)
    (during,) = await submitted(lab, ["during"])
    asked = time.monotonic()
    with pytest.raises(OptimizerError, match="while Redis is away") as away:
        await client.fetch(before, timeout=2)
    assert (away.value.code, away.value.retryable) == ("internal", True)
    assert time.monotonic() - asked < 6
    await lab.until(lambda: len([each for each in sim.judged() if each.end is not None]) == 2, "both ends")
    await asyncio.to_thread(own_redis.start)

    assert len({await fetched(client, each, 30) for each in (before, during)}) == 2
    assert len(sim.calls()) == 2


@pytest.mark.slow
@pytest.mark.fault(12)
async def test_fetching_through_a_restart_of_everything(lab: Laboratory):
    """All coordinators and workers are killed with requests submitted and fetches waiting, and started again."""
    lab.simulate("alpha", {"latency": {"base_s": CALL_S}}, limits={"concurrency": 1})
    await lab.start(coordinators=2, workers=2)
    ids = await submitted(lab, [f"question {n}" for n in range(8)])
    fetching = asyncio.ensure_future(all_fetched(lab, ids))
    await lab.until(lab.calls, "a call")
    for running in [*lab.of("coordinator"), *lab.of("worker")]:
        running.kill()
    await lab.ready(lab.stack.coordinator(), lab.stack.worker("alpha"))

    assert len(set(await fetching)) == 8


@pytest.mark.slow
@pytest.mark.fault(3)
async def test_no_coordinator(lab: Laboratory):
    """Without a coordinator a fetch ends when its time is over, and says that nobody has told anything."""
    lab.simulate("alpha")
    await lab.start()
    (client,) = await lab.clients(1)
    (request_id,) = await submitted(lab, ["question"])
    await fetched(client, request_id)
    for running in lab.of("coordinator"):
        running.kill()
    asked = time.monotonic()
    with pytest.raises(NotReady, match="Nobody has told how the request stands"):
        await client.fetch(request_id, timeout=3)
    assert time.monotonic() - asked < 12
    await lab.ready(lab.stack.coordinator())

    assert await fetched(client, request_id)
    with pytest.raises(NotFoundError):
        await client.fetch("never", timeout=5)
