"""Agents in a process of their own: a mixed load, each request noted in a file before it is asked and when it ended.

    python -m tests.soak.agents NAME NOTES RATE_PER_S SEED

Ends on SIGTERM: it asks nothing more, waits for what is under way, and leaves. RabbitMQ is found as by any agent
(OPTIMIZER_AMQP_URL, OPTIMIZER_PREFIX).
"""

import asyncio
import os
import random
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.history import Note, NoteFile
from tests.support.notes import CANCELLED

from optimizer_client import AsyncOptimizer, Optimizer, OptimizerError

TIMEOUT_S = 90.0
# Agents in different processes ask the same: the pool of questions moves on with time, the same for all.
POOL = 40
BLOCKING_SHARE = 0.1
# A broker that starts again may take longer than agents usually wait for a connection.
CONNECT_S = 60.0


@dataclass(frozen=True)
class Wish:
    """What to ask, and how."""

    prompt: str
    options: dict[str, Any] = field(default_factory=dict)
    cancel_after_s: float | None = None


class Mix:
    """The load: half of it repeats, long and short, of all priorities; some not cached, ordered or cancelled."""

    def __init__(self, name: str, seed: int) -> None:
        self._name = name
        self._dice = random.Random(seed)
        self._count = 0

    def next(self, second: int) -> Wish:
        """The next request, `second` seconds after some moment that all agents share."""
        self._count += 1
        dice = self._dice
        options: dict[str, Any] = {"priority": dice.choice(("interactive", "standard", "standard", "batch"))}
        kind = dice.random()
        if kind < 0.5:
            # Early questions of the pool are asked more often than late ones.
            prompt = f"shared {second // 20} {int(dice.paretovariate(1.2)) % POOL}"
        else:
            prompt = f"{self._name} {self._count}" + " word" * int(dice.paretovariate(0.8))
            if kind < 0.58:
                options["cache"] = dice.choice(("off", "refresh"))
            elif kind < 0.64:
                options["ordering_key"] = f"{self._name}.{dice.randrange(3)}"
        cancel = dice.uniform(0.0, 0.5) if 0.64 <= kind < 0.67 else None
        return Wish(prompt[:20_000], options, cancel)


class Agents:
    """One asking process: an asyncio client and a blocking one."""

    def __init__(self, name: str, notes: NoteFile, seed: int) -> None:
        self._name = name
        self._notes = notes
        self._written = threading.Lock()
        self._under_way: set[asyncio.Future[None]] = set()
        self._mix = Mix(name, seed)
        self._dice = random.Random(seed + 1)
        self._threads = ThreadPoolExecutor(8)

    async def work(self, rate_per_s: float, stop: asyncio.Event) -> None:
        """Ask until told to stop, then wait for what is under way."""
        loop = asyncio.get_running_loop()
        blocking = await asyncio.to_thread(lambda: Optimizer(f"{self._name}-b", connect_timeout=CONNECT_S).__enter__())
        try:
            async with AsyncOptimizer(f"{self._name}-a", connect_timeout=CONNECT_S) as client:
                while not stop.is_set():
                    wish = self._mix.next(int(loop.time()))
                    if wish.cancel_after_s is None and self._dice.random() < BLOCKING_SHARE:
                        asked: asyncio.Future[None] = loop.run_in_executor(self._threads, self._block, blocking, wish)
                    else:
                        asked = asyncio.ensure_future(self._ask(client, wish))
                    self._under_way.add(asked)
                    asked.add_done_callback(self._ended)
                    await asyncio.sleep(self._dice.expovariate(rate_per_s))
                await asyncio.gather(*self._under_way)
        finally:
            await asyncio.to_thread(blocking.close)
            self._threads.shutdown()

    def _ended(self, asked: "asyncio.Future[None]") -> None:
        self._under_way.discard(asked)

    def _note(self, agent: str, wish: Wish) -> Note:
        note = Note(agent, wish.prompt, TIMEOUT_S, str(wish.options["priority"]))
        note.cache = wish.options.get("cache", note.cache)
        self._write(note)
        return note

    def _write(self, note: Note) -> None:
        with self._written:
            self._notes.write(note)

    async def _ask(self, client: AsyncOptimizer, wish: Wish) -> None:
        note = self._note(client.agent, wish)
        asked = asyncio.ensure_future(
            client.chat(wish.prompt, timeout=TIMEOUT_S, request_id=note.id, **wish.options),
        )
        if wish.cancel_after_s is not None:
            asyncio.get_running_loop().call_later(wish.cancel_after_s, asked.cancel)
        try:
            reply = await asked
        except OptimizerError as error:
            note.failed(error.code, str(error))
        except asyncio.CancelledError:
            note.failed(CANCELLED)
        else:
            note.answered(reply.text, reply.backend)
        self._write(note)

    def _block(self, client: Optimizer, wish: Wish) -> None:
        note = self._note(client.agent, wish)
        try:
            reply = client.chat(wish.prompt, timeout=TIMEOUT_S, request_id=note.id, **wish.options)
        except OptimizerError as error:
            note.failed(error.code, str(error))
        else:
            note.answered(reply.text, reply.backend)
        self._write(note)


async def main(name: str, notes: Path, rate_per_s: float, seed: int) -> None:
    """Ask until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    file = NoteFile(notes)
    agents = Agents(name, file, seed)
    print(f'{{"event": "ready", "pid": {os.getpid()}}}', flush=True)
    try:
        await agents.work(rate_per_s, stop)
    finally:
        file.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
