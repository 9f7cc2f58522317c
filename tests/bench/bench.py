"""What every part of the benchmark works with."""

import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

from tests.bench.asking import Asking, Direct
from tests.bench.child import Child
from tests.bench.deployment import Deployment, Servers
from tests.bench.echo import EchoClient
from tests.bench.report import Results
from tests.bench.sample import Sample
from tests.bench.usage import Usage, server_pids

Way = TypeVar("Way")
Stretch = Callable[[int, float], Awaitable[Sample]]
"""Keep so many in flight for so many seconds."""


@dataclass(frozen=True, slots=True)
class Length:
    """How long to measure: rounds, and seconds of each stretch of load."""

    rounds: int = 5
    seconds: float = 1.5
    quick: bool = False
    long: bool = False


@dataclass
class Bench:
    """The deployment that is measured and everything beside it, all of it running and connected."""

    folder: Path
    servers: Servers
    where: Deployment
    length: Length
    results: Results = field(default_factory=Results)
    began: float = field(default_factory=time.perf_counter)

    async def __aenter__(self) -> Self:
        stack = self.where.stack
        queues = {kind: f"{stack.prefix}.{kind}" for kind in ("echo", "pika-echo")}
        self.where.queues.update(queues.values())
        servers = [
            stack.launch("echo", "tests.bench.echo", stack.amqp_url, queues["echo"]),
            stack.launch("pika-echo", "tests.bench.pika_echo", "serve", stack.amqp_url, queues["pika-echo"]),
        ]
        self.where.ready(*servers)
        pika = [sys.executable, "-m", "tests.bench.pika_echo", "ask", stack.amqp_url, queues["pika-echo"]]
        async with AsyncExitStack() as pool:
            self.asking = await pool.enter_async_context(Asking(self.where))
            self.echo = await pool.enter_async_context(EchoClient(stack.amqp_url, queues["echo"]))
            self.pika = await pool.enter_async_context(Child(pika, self.folder / "pika-client.log"))
            self.direct = await pool.enter_async_context(Direct(self.servers.backend_url))
            self._pool = pool.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.aclose()

    def usage(self) -> Usage:
        """What our processes use, this one as the client, and the servers where they are local."""
        ours = {"client": [os.getpid()], **self.where.pids()}
        rabbitmq = server_pids(self.servers.amqp_url, "beam")
        return Usage({**ours, "RabbitMQ": rabbitmq, "Redis": server_pids(self.servers.redis_url, "redis")})

    async def run(self, part: str, name: str, stretch: Stretch, in_flight: int, *others: Deployment) -> None:
        """Run one stretch of the usual length, and note it.

        What the recorder has still to write then must not slow down whoever is next: it is waited for.
        """
        self.results.add_sample(part, name, await stretch(in_flight, self.length.seconds))
        for where in (self.where, *others):
            await where.caught_up()

    async def rounds(self, what: str, ways: Mapping[str, Stretch], parts: Mapping[int, str]) -> None:
        """Run every way at every load, in as many rounds as are wanted; `parts` are titles by number in flight."""
        for number in range(self.length.rounds):
            self.say(f"{what}, round {number + 1}")
            for in_flight, part in parts.items():
                for name, stretch in in_turn(ways, number):
                    await self.run(part, name, stretch, in_flight)

    def say(self, what: str) -> None:
        """Tell on stderr how far it is."""
        print(f"{time.perf_counter() - self.began:6.0f} s  {what}", file=sys.stderr, flush=True)


def in_turn(ways: Mapping[str, Way], number: int) -> list[tuple[str, Way]]:
    """The ways in the order of one round: who goes first changes, so that none always has the quieter machine."""
    ordered = list(ways.items())
    return ordered[::-1] if number % 2 else ordered
