"""kill -9 and SIGSTOP at random moments, from a seed that is printed when a test fails."""

import asyncio
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from tests.lab.history import Fault, History
from tests.support.seeds import seed
from tests.support.stack import Running


class Kills:
    """Kills and freezes processes, and notes each as a fault of the history."""

    def __init__(self, history: History) -> None:
        self.history = history
        if history.seed is None:
            history.seed = seed()
        self.dice = random.Random(history.seed)

    async def kill(self, running: Running, *, extra_calls: float = 1) -> Fault:
        """kill -9 now. A worker's death may cost each question that it called one further call."""
        at = time.monotonic()
        await asyncio.to_thread(running.kill)
        return self.history.fault(f"kill -9 {running.name} {running.process.pid}", at, extra_calls=extra_calls)

    async def freeze(self, running: Running, for_s: float, *, extra_calls: float = 1) -> Fault:
        """SIGSTOP, and SIGCONT after a while."""
        at = time.monotonic()
        running.process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(for_s)
        finally:
            with suppress(ProcessLookupError):
                running.process.send_signal(signal.SIGCONT)
        return self.history.fault(
            f"SIGSTOP {running.name} {running.process.pid} for {for_s:.1f} s", at, extra_calls=extra_calls
        )

    async def own_death(
        self, running: Running, since: float, timeout_s: float = 30.0, *, extra_calls: float = 1
    ) -> Fault:
        """Wait until a process has killed itself at the crash point that it was started with, and note it.

        :raises AssertionError: if it did not come to that point, or left in another way.
        """
        end = time.monotonic() + timeout_s
        while running.process.poll() is None:
            if time.monotonic() > end:
                raise AssertionError(f"{running.name} did not come to its crash point within {timeout_s:g} s")
            await asyncio.sleep(0.02)
        if running.process.returncode != -signal.SIGKILL:
            raise AssertionError(f"{running.name} left with code {running.process.returncode}:\n{running.text()}")
        return self.history.fault(f"{running.name} died at its crash point", since, extra_calls=extra_calls)

    async def at_random(
        self, victims: Callable[[], list[Running]], replace: Callable[[Running], Running], for_s: float, every_s: float
    ) -> int:
        """Kill or freeze one of the victims every so often; who was killed is replaced. Returns how many faults."""
        end, count = time.monotonic() + for_s, 0
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, self.dice.uniform(0.2, 1.8) * every_s))
            victim = self.dice.choice(victims())
            extra = 1 if victim.name.startswith("worker") else 0
            if self.dice.random() < 0.75:
                await self.kill(victim, extra_calls=extra)
                replace(victim)
            else:
                await self.freeze(victim, self.dice.uniform(0.2, 3.0), extra_calls=extra)
            count += 1
        return count
