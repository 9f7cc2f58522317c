"""The fault laboratory: a deployment, agents whose every request is noted, faults that are noted, and the checker.

::

    async def test_…(lab: Laboratory):
        sim = lab.stack.simulate("alpha", {"latency": {"base_s": 1.0}})
        await lab.start(workers=2)
        (client,) = await lab.clients(1)
        lab.ask(client, "question", 30)
        await lab.kills.kill(lab.stack.running[-1])       # noted, with the further calls that it may explain
        await lab.all()
        await lab.verify()                                # fails with the story of the first request that broke a rule
"""

import asyncio
import json
import re
import time
import urllib.request
from collections.abc import Collection, Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

import msgpack
import pika
from tests.lab import checker, story
from tests.lab.history import History, Note
from tests.lab.kills import Kills
from tests.support.fleet import clients
from tests.support.judge import Call, Limit
from tests.support.notes import Notebook
from tests.support.stack import Running, Simulated, Stack, wait_until

from optimizer_client import AsyncOptimizer
from optimizer_wire.topology import Names, backend_topology, shared_topology

EMPTY_S = 20.0
_TRAIL = {"x-queue-type": "classic", "x-max-length": 100_000, "x-overflow": "drop-head", "x-expires": 3_600_000}


class Laboratory:
    """Use it as an async context manager around one test."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.names = Names(stack.prefix)
        self.history = History()
        self.kills = Kills(self.history)
        self.book = Notebook(self.history)
        self.sims: dict[str, Simulated] = {}
        self.pool = AsyncExitStack()
        # Where the laboratory itself talks to RabbitMQ: never through a proxy that a test has put in between.
        self.amqp_url = stack.amqp_url
        self._trail = f"{stack.prefix}.lab.trail"
        self._events: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.book.drop()
        await self.pool.aclose()
        await asyncio.to_thread(self._forget_trail)

    # ── running it ───────────────────────────────────────────────────────────────────────────────────────────────

    def simulate(self, name: str, spec: dict[str, Any] | None = None, **backend: Any) -> Simulated:
        """Start a simulated backend; see `Stack.simulate`."""
        self.sims[name] = self.stack.simulate(name, spec, **backend)
        return self.sims[name]

    async def start(self, coordinators: int = 1, workers: int = 1) -> Self:
        """Start the deployment, and listen to its events."""
        await asyncio.to_thread(self._lay_trail)
        await asyncio.to_thread(self.stack.start, coordinators, workers)
        return self

    async def ready(self, *processes: Running) -> None:
        """Wait until processes that the test has started are ready."""
        await asyncio.to_thread(self.stack.ready, *processes)

    async def clients(self, count: int, **more: Any) -> list[AsyncOptimizer]:
        """Connected clients; they are closed with the laboratory."""
        return await clients(self.stack, self.pool, count, **more)

    def ask(self, client: AsyncOptimizer, prompt: str, timeout_s: float = 60.0, **options: Any) -> "asyncio.Task[None]":
        """Ask without waiting, and note what becomes of it."""
        return self.book.ask(client, prompt, timeout_s, **options)

    async def all(self, timeout_s: float | None = None) -> None:
        """Wait until every request has ended, or for so long: what is pending then, `verify` reports as lost."""
        await self.book.all(timeout_s)

    async def until(self, condition: Any, what: str, timeout_s: float = 15.0) -> Any:
        """Wait for a condition without keeping the clients from their work."""
        return await asyncio.to_thread(wait_until, condition, what, timeout_s)

    def of(self, kind: str) -> list[Running]:
        """The live processes of a kind: "coordinator", "worker/alpha"."""
        return [each for each in self.stack.running if each.name.startswith(kind) and each.process.poll() is None]

    # ── looking at it ────────────────────────────────────────────────────────────────────────────────────────────

    def calls(self) -> list[Call]:
        """What reached the backends."""
        return [call for sim in self.sims.values() for call in sim.judged()]

    def queued(self) -> dict[str, int]:
        """What lies in the deployment's queues; what is unacked is not counted."""
        queues = [*shared_topology(self.names).queues, *backend_topology(self.names, self.stack.backends).queues]
        found = {}
        with pika.BlockingConnection(pika.URLParameters(self.amqp_url)) as connection:
            for queue in queues:
                found[queue.name] = _count(connection, queue.name)
        return found

    async def verify(
        self,
        *,
        limits: Sequence[Limit] = (),
        allowed: Collection[str] = (),
        service_s: float = 0.0,
        dead_letters: int = 0,
        notes: Sequence[Note] = (),
    ) -> checker.Findings:
        """End the processes, and hold everything against the rules. `notes` are of clients in processes of their own.

        :raises AssertionError: with the story of the first request that broke a rule.
        """
        self.history.notes.extend(notes)
        leftovers = await asyncio.to_thread(self._left, dead_letters)
        calls = self.calls()
        findings = checker.check(
            self.history, calls, limits=limits, leftovers=leftovers, allowed=allowed, service_s=service_s
        )
        if not findings.ok:
            await asyncio.to_thread(self._follow_trail)
            logs = {f"{each.name} {each.process.pid}": each.text() for each in self.stack.running}
            raise AssertionError(story.report(findings, self.history, calls, logs, self._events))
        return findings

    def _left(self, dead_letters: int) -> dict[str, int]:
        """What is left in the queues once nobody works on it: also what was taken and never acked."""
        end = time.monotonic() + EMPTY_S
        while (self._surplus(dead_letters) or self.held()) and time.monotonic() < end:
            time.sleep(0.1)
        ours = [*self.of("coordinator"), *self.of("worker")]
        for running in ours:
            running.process.terminate()
        for running in ours:
            running.stop()
        # A broker makes what was unacked ready again soon after its connection has gone.
        time.sleep(0.2)
        return self._surplus(dead_letters)

    def held(self) -> float:
        """How many calls the workers say that they hold or run: copies of calls that run are held for a while."""
        return sum(metric(running, "optimizer_held_calls", "optimizer_running_calls") for running in self.of("worker"))

    def _surplus(self, dead_letters: int) -> dict[str, int]:
        found = self.queued()
        found[self.names.kept] -= dead_letters
        return {name: count for name, count in found.items() if count}

    # ── the trail of events ──────────────────────────────────────────────────────────────────────────────────────

    def _lay_trail(self) -> None:
        with pika.BlockingConnection(pika.URLParameters(self.amqp_url)) as connection:
            channel = connection.channel()
            channel.exchange_declare(self.names.events, "topic", durable=True)
            channel.queue_declare(self._trail, durable=True, arguments=_TRAIL)
            channel.queue_bind(self._trail, self.names.events, "#")

    def events(self) -> list[dict[str, Any]]:
        """All events until now, as RabbitMQ had them."""
        self._follow_trail()
        return self._events

    def _follow_trail(self) -> None:
        with pika.BlockingConnection(pika.URLParameters(self.amqp_url)) as connection:
            self._events += list(_drained(connection.channel(), self._trail))

    def _forget_trail(self) -> None:
        with pika.BlockingConnection(pika.URLParameters(self.amqp_url)) as connection:
            connection.channel().queue_delete(self._trail)


def _count(connection: pika.BlockingConnection, queue: str) -> int:
    channel = connection.channel()
    try:
        return channel.queue_declare(queue, passive=True).method.message_count
    except pika.exceptions.ChannelClosedByBroker:
        return 0
    finally:
        if channel.is_open:
            channel.close()


def _drained(channel: Any, queue: str) -> Iterator[dict[str, Any]]:
    while True:
        method, _, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            return
        yield msgpack.unpackb(body)


def log_lines(running: Running) -> list[dict[str, Any]]:
    """The JSON lines of a process's log."""
    return [json.loads(line) for line in running.text().splitlines() if line.startswith("{")]


def metric(running: Running, *names: str, label: str = "") -> float:
    """The sum of a process's metrics of these names, those with this in their labels; 0 while it has no admin port."""
    url = next((line["url"] for line in log_lines(running) if line["event"] == "admin"), None)
    if url is None:
        return 0.0
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as response:
        text = response.read().decode()
    return sum(
        float(value)
        for name in names
        for labels, value in re.findall(rf"^{name}((?:{{.*}})?) (\S+)$", text, re.MULTILINE)
        if label in labels
    )
