"""What is measured: real processes with a prefix of their own, all of it removed at the end."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.leftovers import AmqpCleanup, delete_entities, delete_keys
from tests.support.services import amqp_service, redis_service
from tests.support.stack import Running, Simulated, Stack, wait_until

from optimizer_wire.topology import Names

SLOW_CALL_S = 0.2


@dataclass
class Deployment:
    """A coordinator, a worker for each of two backends (without latency, and `SLOW_CALL_S`), and an echo server."""

    stack: Stack
    fast: Simulated
    echo_queue: str
    coordinator: Running
    worker: Running
    echo: Running
    start_s: dict[str, float]


@contextmanager
def deployment() -> Iterator[Deployment]:
    """Start everything; end and remove it afterwards."""
    prefix = f"bench-{uuid.uuid4().hex[:12]}"
    with TemporaryDirectory() as folder, amqp_service() as amqp_url, redis_service() as redis_url:
        stack = Stack(Path(folder), amqp_url, redis_url, prefix)
        try:
            yield _start(stack)
        finally:
            stack.close()
            cleanup = AmqpCleanup(Names(prefix))
            cleanup.shared()
            cleanup.backends(*stack.backends)
            delete_entities(amqp_url, cleanup.queues, cleanup.exchanges)
            delete_keys(redis_url, prefix)


def _start(stack: Stack) -> Deployment:
    start_s: dict[str, float] = {}

    def timed(name: str, start) -> Running:
        began = time.perf_counter()
        running = start()
        wait_until(lambda: _said_ready(running), f"readiness of {name}", 30)
        start_s[name] = time.perf_counter() - began
        return running

    fast = stack.simulate("fast", concurrency=1_000)
    stack.simulate("slow", {"latency": {"base_s": SLOW_CALL_S}}, concurrency=1_000)
    stack.configure()
    coordinator = timed("coordinator", stack.coordinator)
    worker = timed("worker", lambda: stack.worker("fast"))
    timed("worker slow", lambda: stack.worker("slow"))
    del start_s["worker slow"]
    queue = f"{stack.prefix}.echo"
    echo = timed("echo server", lambda: stack.launch("echo", "tests.bench.echo", stack.amqp_url, queue))
    return Deployment(stack, fast, queue, coordinator, worker, echo, start_s)


def _said_ready(running: Running) -> bool:
    if running.process.poll() is not None:
        raise AssertionError(f"{running.name} left with code {running.process.returncode}:\n{running.text()}")
    return '"event": "ready"' in running.text()
