"""Fetch later: what is submitted is answered though nobody waits, and fetched from any process of the same user."""

import asyncio
import json
import subprocess
import sys
import time
import uuid

import pytest
import redis
from tests.support.stack import Stack
from tests.support.tap import shared_stack

from optimizer_client import (
    AsyncOptimizer,
    BadRequestError,
    Cancelled,
    DeadlineExceeded,
    NotFoundError,
    NotReady,
    Optimizer,
    Status,
    UnknownModel,
)
from optimizer_state.flights import KEEP_MS

SLOW_S = 0.5


@pytest.fixture(scope="module")
def serving(tmp_path_factory, amqp_url, redis_url):
    """Two coordinators, a quick backend, and a slow one that does one call at a time."""
    with shared_stack(tmp_path_factory.mktemp("serving"), amqp_url, redis_url) as stack:
        stack.alpha = stack.simulate("alpha")
        stack.slow = stack.simulate("slow", {"latency": {"base_s": SLOW_S}}, limits={"concurrency": 1})
        stack.routes = {"default": ["alpha"]}
        yield stack.start(coordinators=2)


@pytest.fixture
async def client(serving):
    async with AsyncOptimizer("a", url=serving.amqp_url, prefix=serving.prefix) as made:
        yield made


async def command(stack: Stack, *words: str) -> tuple[int, str, str]:
    """Run a program with the environment of a deployment: its exit code, and what it printed."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, *words],
        env=stack.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.strip(), done.stderr


async def keep_busy(client: AsyncOptimizer, calls: int = 6) -> list[str]:
    """Give the slow backend so much to do; what has a later deadline waits behind it."""
    busy = [await client.submit(f"busy {uuid.uuid4()}", model="slow", timeout=600) for _ in range(calls)]
    await waits(client, busy[-1])
    return busy


async def let_go(client: AsyncOptimizer, busy: list[str]) -> None:
    """Let the slow backend do what comes next."""
    await asyncio.gather(*map(client.cancel_submitted, busy))


async def waits(client: AsyncOptimizer, request_id: str) -> Status:
    """How a request stands once it waits in a line."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        status = await client.status(request_id)
        if status.state == "waiting" and status.position is not None:
            return status
    raise AssertionError(f"{request_id} is {status}")


async def test_another_process_fetches(serving, client):
    """A process submits and ends; another one gets the answer, as often as it asks, and later only how it ended."""
    code = "from optimizer_client import Optimizer\nwith Optimizer('b') as o: print(o.submit('hello', timeout=30))"
    _, request_id, problem = await command(serving, "-c", code)
    assert not problem

    reply = await client.fetch(request_id, timeout=20)

    assert (reply.id, reply.source, reply.backend, reply.text[:5]) == (request_id, "backend", "alpha", "echo:")
    assert await client.fetch(request_id, timeout=0) == reply
    assert await client.status(request_id) == Status("answered")


async def test_every_end_is_kept(serving, client):
    """A stored answer, a refusal, an error of the backend and a missed deadline are fetched like an answer."""
    await client.chat("known", timeout=20)
    stored = await client.submit("known", timeout=20)
    refused = await client.submit("hello", model="no-such-model", timeout=20)
    serving.alpha.control(fail=[400])
    failed = await client.submit("what the backend does not like", timeout=20)
    busy = await keep_busy(client)
    late = await client.submit("late", model="slow", timeout=SLOW_S / 2)

    assert (await client.fetch(stored, timeout=20)).source == "cache"
    with pytest.raises(UnknownModel):
        await client.fetch(refused, timeout=20)
    with pytest.raises(BadRequestError) as of_backend:
        await client.fetch(failed, timeout=20)
    assert of_backend.value.request_id == failed
    with pytest.raises(DeadlineExceeded):
        await client.fetch(late, timeout=20)
    assert await client.status(late) == Status("failed")
    await let_go(client, busy)


async def test_identical_ones_share_a_call(serving, client):
    """Submitted requests that ask the same make one call, also together with one whose sender waits."""
    before = len(serving.slow.calls())
    asked = asyncio.ensure_future(client.chat("the same for all", model="slow", timeout=30))
    ids = [await client.submit("the same for all", model="slow", timeout=30) for _ in range(5)]

    replies = [await client.fetch(each, timeout=20) for each in ids]

    assert {reply.text for reply in replies} == {(await asked).text}
    assert len(serving.slow.calls()) == before + 1
    assert sum(reply.source == "backend" for reply in [*replies, await asked]) == 1


async def test_not_yet(client):
    """Who fetches too early is told how the request stands, within the time it gave, and may fetch again."""
    busy = await keep_busy(client)
    request_id = await client.submit("not yet", model="slow", timeout=601)
    await waits(client, request_id)
    asked = time.monotonic()

    with pytest.raises(NotReady, match="it waits, with") as early:
        await client.fetch(request_id, timeout=0.2)

    assert time.monotonic() - asked < 1
    assert isinstance(early.value, TimeoutError)
    assert early.value.status.state == "waiting"
    assert early.value.status.position >= 1
    await let_go(client, busy)
    assert (await client.fetch(request_id, timeout=20)).backend == "slow"


async def test_the_line(client):
    """Places fall to that of the call that runs, and expected waits come true within a factor of two."""
    await client.chat("tells how long calls take", model="slow", timeout=20)
    ids = [await client.submit(f"in line {n}", model="slow", timeout=60) for n in range(10)]
    await waits(client, ids[-1])
    seen: dict[str, list[int]] = {each: [] for each in ids}
    expected: dict[str, float] = {}
    started: dict[str, float] = {}
    since = time.monotonic()
    while len(started) < len(ids) and time.monotonic() - since < 30:
        for request_id, status in zip(ids, await asyncio.gather(*map(client.status, ids)), strict=True):
            now = time.monotonic() - since
            if status.state != "waiting":
                started.setdefault(request_id, now)
            elif status.position is not None and status.expected_wait_s is not None:
                seen[request_id].append(status.position)
                expected.setdefault(request_id, now + status.expected_wait_s)
        await asyncio.sleep(0.05)

    # Two that came in the same moment may have changed places on their way.
    assert all(abs(ids.index(request_id) - place) <= 1 for place, request_id in enumerate(started))
    assert all(places == sorted(places, reverse=True) for places in seen.values())
    assert all(abs(seen[each][0] - seen[ids[-1]][0] + 9 - place) <= 2 for place, each in enumerate(ids) if seen[each])
    assert all(seen[each][-1] <= 1 for each in ids[-5:])
    for request_id in ids[3:]:
        assert expected[request_id] / 2 < started[request_id] < expected[request_id] * 2


async def test_paused(serving, client):
    """Of what waits for a backend that an operator has paused, nobody tells when it will start."""
    assert (await command(serving, "-m", "optimizer_ops", "pause", "slow"))[0] == 0
    request_id = await client.submit("waits for an operator", model="slow", timeout=7_200)
    told = []
    end = time.monotonic() + 2
    while time.monotonic() < end:  # in a worker's line, and out of it when the worker rests
        told.append((await client.status(request_id)).expected_wait_s)
        await asyncio.sleep(0.05)
    assert told[-1] is None
    assert all(wait_s is None or wait_s < 60 for wait_s in told)
    assert (await command(serving, "-m", "optimizer_ops", "resume", "slow"))[0] == 0
    assert (await client.fetch(request_id, timeout=20)).backend == "slow"


async def test_unknown(client):
    """An id that nobody has submitted is told so in a sentence, within seconds."""
    with pytest.raises(NotFoundError, match="no submitted request 'nothing'"):
        await client.fetch("nothing", timeout=20)
    assert await client.status("nothing") == Status("unknown")
    assert not await client.cancel_submitted("nothing")
    assert not await client.cancel_submitted(await _answered(client))


async def _answered(client):
    request_id = await client.submit("hello", timeout=20)
    await client.fetch(request_id, timeout=20)
    return request_id


async def test_id_taken(serving, client):
    """The same request again under its id is the same; another one under that id does not change what is fetched."""
    before = len(serving.alpha.calls())
    for _ in range(3):
        assert await client.submit("first", request_id="mine", timeout=20) == "mine"
    text = (await client.fetch("mine", timeout=20)).text
    await client.submit("second", request_id="mine", timeout=20)
    await client.chat("after it", timeout=20)

    assert (await client.fetch("mine", timeout=20)).text == text
    assert len(serving.alpha.calls()) == before + 2


async def test_cancelled(serving, client):
    """A submitted request is cancelled from another client: it is not called, and who fetches it hears so."""
    before = len(serving.slow.calls())
    busy = await keep_busy(client)
    request_id = await client.submit("unwanted", model="slow", timeout=601)
    async with AsyncOptimizer("other", url=serving.amqp_url, prefix=serving.prefix) as other:
        assert (await waits(other, request_id)).position
        assert await other.cancel_submitted(request_id)
        assert await other.cancel_submitted(request_id)
        with pytest.raises(Cancelled):
            await other.fetch(request_id, timeout=5)

    await let_go(client, busy)
    await client.chat("behind it", model="slow", timeout=20)
    assert len(serving.slow.calls()) - before <= len(busy) - 2


async def test_blocking_client(serving):
    """The blocking client submits, fetches, tells how a request stands and cancels it."""

    def work():
        with Optimizer("b", url=serving.amqp_url, prefix=serving.prefix) as optimizer:
            first, second = (optimizer.submit(f"blocking {n}", model="slow", timeout=30) for n in range(2))
            early = optimizer.status(second).state
            with pytest.raises(NotReady):
                optimizer.fetch(second, timeout=0)
            cancelled = optimizer.cancel_submitted(second)
            vectors = optimizer.fetch(optimizer.submit_embed(["a", "b"], timeout=20), timeout=20).embeddings
            with pytest.raises(NotFoundError):
                optimizer.fetch("nothing", timeout=5)
            return early, cancelled, optimizer.fetch(first, timeout=20).backend, len(vectors)

    assert await asyncio.to_thread(work) == ("waiting", True, "slow", 2)


async def test_kept_for_fifteen_minutes(serving, client):
    """Redis keeps an answer for 15 minutes from when it was there, and what waits until then and its deadline."""
    answered = await client.submit("hello", timeout=600)
    await client.fetch(answered, timeout=20)
    busy = await keep_busy(client)
    waiting = await client.submit("waits behind it", model="slow", timeout=601)
    await waits(client, waiting)
    with redis.Redis.from_url(serving.redis_url) as store:
        left_ms = {
            name: store.pttl(next(store.scan_iter(f"{serving.prefix}:{{mailbox:*:{name}", count=1000)))
            for name in (answered, waiting)
        }

    assert KEEP_MS == 15 * 60_000
    assert KEEP_MS - 20_000 < left_ms[answered] <= KEEP_MS
    assert 601_000 + KEEP_MS - 20_000 < left_ms[waiting] <= 601_000 + KEEP_MS
    await let_go(client, [*busy, waiting])


async def test_command_line(serving, client):
    """`ask --submit` prints an id alone; `fetch` prints the answer, and its exit code tells that there is none yet."""
    ours = ("-m", "optimizer_ops")
    code, request_id, hint = await command(serving, *ours, "ask", "--submit", "--model", "slow", "an operator's")
    assert (code, hint.endswith(f"optimizer fetch {request_id}\n")) == (0, True)
    code, told, _ = await command(serving, *ours, "ask", "--submit", "--json", "--agent", "qa 1", "an operator's")
    other = json.loads(told)["id"]
    code, _, hint = await command(serving, *ours, "ask", "--submit", "--agent", "qa 1", "an operator's")
    assert hint.endswith(" --agent 'qa 1'\n")
    assert (await command(serving, *ours, "fetch", other, "--agent", "qa 1"))[1][:5] == "echo:"
    assert (await command(serving, *ours, "fetch", other, "--status", "--cancel"))[0] == 2
    code, printed, _ = await command(serving, *ours, "fetch", request_id, "--timeout", "20")
    assert (code, printed[:5]) == (0, "echo:")
    assert await command(serving, *ours, "fetch", "--status", request_id) == (0, "it has been answered", "")
    code, _, problem = await command(serving, *ours, "fetch", "nothing", "--timeout", "0")
    assert (code, problem[:21]) == (1, "optimizer: not_found:")
    busy = await keep_busy(client, 12)
    last = await client.submit("an operator's next", model="slow", timeout=601)
    code, _, problem = await command(serving, *ours, "fetch", last, "--timeout", "0")
    assert (code, problem[:21]) == (75, "optimizer: not_ready:")
    assert (await command(serving, *ours, "fetch", "--cancel", last))[:2] == (0, "cancelled")
    await let_go(client, busy)
