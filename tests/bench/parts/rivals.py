"""j: others on the same work, where they are installed: echo RPCs of queue systems, chat completions of proxies.

`OPTIMIZER_BENCH_PYTHON` names the Python of an environment that has them.
"""

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path

from tests.bench import proxies
from tests.bench.asking import BARE, OURS, Direct
from tests.bench.bench import Bench, Stretch, in_turn
from tests.bench.child import Child
from tests.bench.loops import closed_loop
from tests.bench.parts.cached import AIO_PIKA, PIKA, echoes, hits, learn
from tests.bench.parts.uncached import calls
from tests.bench.questions import PROMPT_CHARS, QUESTIONS, known_prompts, new_prompt
from tests.bench.usage import Usage, family

IN_FLIGHT = 100
ECHOES = f"j  RPCs, {IN_FLIGHT} in flight"
CACHED = f"j  cached chat completions, {IN_FLIGHT} in flight"
UNCACHED = f"j  uncached chat completions, {IN_FLIGHT} in flight, backend without latency"
MEMORY = "j  memory after work"
WARM_S = 1.0

# Module to import, what serves (without the Python in front), and what asks.
QUEUES = {
    "Celery": (
        "celery",
        ["celery", "--app", "tests.bench.rivals.celery_echo", "worker", "--concurrency", "2"],
        ["tests.bench.rivals.celery_echo"],
    ),
    "FastStream": (
        "faststream.rabbit",
        ["tests.bench.rivals.faststream_echo", "serve"],
        ["tests.bench.rivals.faststream_echo", "ask"],
    ),
    "taskiq": (
        "taskiq_redis",
        ["taskiq", "worker", "tests.bench.rivals.taskiq_echo:broker"],
        ["tests.bench.rivals.taskiq_echo"],
    ),
}


async def measure(bench: Bench) -> None:
    """Measure whoever is here, each beside ours."""
    async with AsyncExitStack() as pool:
        ways = await _queues(bench, pool)
        prompts = known_prompts()
        await learn(bench.asking.ours, prompts)
        ours = {name: hits(ask, prompts) for name, ask in bench.asking.ways.items()}
        if ways:
            ways |= {AIO_PIKA: echoes(bench, PROMPT_CHARS), PIKA: bench.pika.stretch, **ours}
            await _rounds(bench, ECHOES, ways)
    async with AsyncExitStack() as pool:
        pids: dict[str, int] = {}
        cached, uncached = await _proxies(bench, pool, pids)
        if cached:
            await _rounds(bench, CACHED, cached | ours)
        if uncached:
            await _rounds(bench, UNCACHED, uncached | {name: calls(ask) for name, ask in bench.asking.ways.items()})
            for name, rss_mb in Usage({name: family(pid) for name, pid in pids.items()}).rss_mb().items():
                bench.results.add(MEMORY, name, rss_mb, "MB")


async def _rounds(bench: Bench, part: str, ways: dict[str, Stretch]) -> None:
    ours, left = (OURS, BARE), dict(ways)
    for number in range(bench.length.rounds):
        bench.say(f"{part}, round {number + 1}")
        for name, stretch in in_turn(left, number):
            try:
                await bench.run(part, name, stretch, IN_FLIGHT)
            except Exception as error:
                # What others do wrong ends their own measurement.
                if name in ours:
                    raise
                bench.results.remark(f"{part}: {name} failed and is left out from round {number + 1} on: {error!r}")
                del left[name]
    for name in left:
        for way in ours if name not in ours else ():
            bench.results.rates(part, way, name)


async def _queues(bench: Bench, pool: AsyncExitStack) -> dict[str, Stretch]:
    """The queue systems that are here, started and warm."""
    ways: dict[str, Stretch] = {}
    python = os.environ.get(proxies.PYTHON, "")
    folder = Path(pool.enter_context(tempfile.TemporaryDirectory()))
    for name, (module, serve, ask) in QUEUES.items():
        if not await asyncio.to_thread(_has, python, module):
            bench.results.remark(f"{name} is not measured: {proxies.PYTHON} names no Python that has {module}.")
            continue
        bench.say(f"j  starting {name}")
        queue = f"{bench.where.stack.prefix}.{name.lower()}"
        bench.where.queues.add(queue)
        # taskiq's is a name of keys in Redis, which go with the prefix and a colon.
        environment = {
            "BENCH_AMQP_URL": bench.servers.amqp_url,
            "BENCH_REDIS_URL": bench.servers.redis_url,
            "BENCH_QUEUE": queue if name != "taskiq" else f"{bench.where.stack.prefix}:{name}",
        }
        log = folder / f"{name}.log"
        pool.enter_context(_serving([python, "-m", *serve], environment, log))
        client = Child([python, "-m", *ask], folder / f"{name}-client.log", environment)
        child = await pool.enter_async_context(client)
        try:
            async with asyncio.timeout(30):
                await child.stretch(IN_FLIGHT, WARM_S)
        except TimeoutError:
            bench.results.remark(f"{name} is not measured: it did not answer. {log.read_text()[-300:]}")
            continue
        ways[name] = child.stretch
    return ways


async def _proxies(
    bench: Bench, pool: AsyncExitStack, pids: dict[str, int]
) -> tuple[dict[str, Stretch], dict[str, Stretch]]:
    """The proxies that are here, started and warm: those that cache, and all."""
    cached: dict[str, Stretch] = {}
    uncached: dict[str, Stretch] = {}
    backend_url = bench.servers.backend_url
    for name in proxies.PROGRAMS:
        if sentence := proxies.missing(name):
            bench.results.remark(sentence)
            continue
        bench.say(f"j  starting {name}")
        folder = Path(pool.enter_context(tempfile.TemporaryDirectory()))
        running = (
            proxies.litellm(folder, backend_url, cached=True)
            if name == proxies.LITELLM
            else proxies.hivemind(folder, backend_url, concurrency=IN_FLIGHT, unlimited=True)
        )
        proxy = await asyncio.to_thread(pool.enter_context, running)
        pids[name] = proxy.pid
        http = await pool.enter_async_context(Direct(proxy.url, proxy.key))
        await asyncio.gather(*(http.post(f"{proxy.url}/chat/completions", prompt) for prompt in known_prompts()))
        uncached[name] = _completions(http, proxy.url, new=True)
        if name == proxies.LITELLM:
            cached[name] = _completions(http, proxy.url, new=False)
    return cached, uncached


def _completions(http: Direct, url: str, *, new: bool) -> Stretch:
    prompts = known_prompts()

    async def one(number: int) -> None:
        await http.post(f"{url}/chat/completions", new_prompt() if new else prompts[number % QUESTIONS])

    return lambda in_flight, seconds: closed_loop(one, in_flight, seconds)


def _has(python: str, module: str) -> bool:
    command = [python, "-c", f"import {module}"]
    return bool(python) and subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def _serving(command: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    """A server with all the processes that it starts, to its end."""
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
