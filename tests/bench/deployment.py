"""What is measured: real processes with a prefix of their own, all of it removed at the end."""

import asyncio
import json
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.backend import MODEL
from tests.support.leftovers import AmqpCleanup, delete_entities, delete_keys
from tests.support.stack import Running, Stack, wait_until

from optimizer_wire.topology import Names

BACKENDS_MS = {"fast": 0, "near": 50, "far": 200}
"""The configured backends and their latency. Only `fast` has workers from the start."""
CONCURRENCY = 1_000
NEVER_REACHED = {"rpm": 10**7, "rpd": 10**9, "tpm": 10**11, "tpd": 10**13}
LOST_S = 20.0
"""A recorder that has written nothing for so long has nothing more to write."""


@dataclass(frozen=True, slots=True)
class Servers:
    """What every deployment of a run uses."""

    amqp_url: str
    redis_url: str
    backend_url: str


@dataclass(slots=True)
class Deployment:
    """Coordinators, workers and, unless it is plain, a recorder.

    `asked` is how many requests it got, `queues` what is to be deleted besides its own.
    """

    stack: Stack
    coordinators: list[Running] = field(default_factory=list)
    workers: list[Running] = field(default_factory=list)
    recorder: Running | None = None
    asked: int = 0
    queues: set[str] = field(default_factory=set)
    _lost: int = 0

    def pids(self) -> dict[str, list[int]]:
        """The processes by role."""
        roles = {"coordinator": self.coordinators, "worker": self.workers, "recorder": [self.recorder]}
        return {role: [running.process.pid for running in found if running] for role, found in roles.items()}

    @contextmanager
    def worker(self, backend: str) -> Iterator[Running]:
        """A worker of another backend, for a while."""
        running = self.stack.worker(backend)
        self.ready(running)
        wait_until(lambda: backend in self.stack.backends_seen(self.coordinators[0]), f"the worker of {backend}")
        try:
            yield running
        finally:
            running.stop()

    def ready(self, *started: Running) -> None:
        """Wait until these are."""
        self.stack.ready(*started)

    async def caught_up(self) -> None:
        """Wait until the recorder has written all that was asked; what has not come after `LOST_S` is lost."""
        left, since = -1, time.perf_counter()
        while self.recorder and (missing := self.missing()) > self._lost:
            if missing != left:
                left, since = missing, time.perf_counter()
            elif time.perf_counter() - since > LOST_S:
                self._lost = missing
            await asyncio.sleep(0.05)

    def missing(self) -> int:
        """How many of the requests have no finished row in the history."""
        with closing(sqlite3.connect(f"file:{self.stack.folder / 'history.db'}?mode=ro", uri=True)) as history:
            (rows,) = history.execute("SELECT count(*) FROM requests").fetchone()
            (unfinished,) = history.execute("SELECT count(*) FROM requests WHERE outcome = 'open'").fetchone()
        return self.asked - rows + unfinished


@contextmanager
def backend(folder: Path) -> Iterator[str]:
    """A zero-latency backend; yields its URL."""
    stack = Stack(folder, "", "", "")
    try:
        running = stack.launch("backend", "tests.bench.backend")
        stack.ready(running)
        yield f"http://127.0.0.1:{json.loads(running.text())['port']}"
    finally:
        stack.close()


@contextmanager
def deployment(
    servers: Servers, *, coordinators: int = 1, workers: int = 1, plain: bool = False
) -> Iterator[Deployment]:
    """Start everything; end and remove it afterwards. A plain one has neither a recorder nor limits."""
    prefix = f"bench-{uuid.uuid4().hex[:12]}"
    with TemporaryDirectory() as folder:
        stack = Stack(Path(folder), servers.amqp_url, servers.redis_url, prefix)
        where = Deployment(stack)
        try:
            _start(where, servers.backend_url, coordinators, workers, plain=plain)
            yield where
        finally:
            stack.close()
            cleanup = AmqpCleanup(Names(prefix))
            cleanup.shared()
            cleanup.backends(*stack.backends)
            delete_entities(servers.amqp_url, cleanup.queues | where.queues, cleanup.exchanges)
            delete_keys(servers.redis_url, prefix)


def _start(where: Deployment, url: str, coordinators: int, workers: int, *, plain: bool) -> None:
    stack = where.stack
    limits = {} if plain else {"limits": NEVER_REACHED}
    for name, latency_ms in BACKENDS_MS.items():
        stack.backends[name] = {
            "api": "openai",
            "base_url": f"{url}/{latency_ms}/v1",
            "models": [MODEL],
            "kind": "local",
            "concurrency": CONCURRENCY,
            **limits,
        }
    stack.routes["default"] = ["fast"]
    stack.configure()
    if not plain:
        where.recorder = stack.launch("recorder", "optimizer_ops", "recorder")
        where.ready(where.recorder)
    where.coordinators = [stack.coordinator() for _ in range(coordinators)]
    where.workers = [stack.worker("fast") for _ in range(workers)]
    where.ready(*where.coordinators, *where.workers)
    for running in where.coordinators:
        wait_until(lambda c=running: "fast" in stack.backends_seen(c), "the workers, at a coordinator")
