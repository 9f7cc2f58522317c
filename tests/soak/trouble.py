"""Random faults in everything that the deployment consists of, one after another, each noted for the checker."""

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import redis
from tests.soak.deployment import Deployment
from tests.support.stack import wait_until

from optimizer_wire.cancellation import set_within

# After a fault the next one waits at least so long: the soak is to meet every fault in a system that works.
REST_S = 2.0
REDIS_KEEPS_AWAY_S = 10.0

Fault = Callable[[], Awaitable[None]]


class Trouble:
    """Injects faults until it is told to end; a fault that has begun is healed first."""

    def __init__(self, deployment: Deployment, every_s: float, say: Callable[[str], None]) -> None:
        self._deployment = deployment
        self._every_s = every_s
        self._say = say
        self._history = deployment.lab.history
        self._kills = deployment.lab.kills
        self._dice: random.Random = deployment.lab.kills.dice
        self._ending = asyncio.Event()
        self.counted: Counter[str] = Counter()
        self._faults: dict[str, tuple[Fault, int]] = {
            "a process is killed": (self._kill, 6),
            "a process is told to stop": (self._stop, 3),
            "a process is frozen": (self._freeze, 4),
            "agents are killed": (self._kill_agents, 2),
            "connections of agents are reset": (self._reset, 3),
            "agents are cut off": (self._partition, 2),
            "RabbitMQ closes all connections": (self._close_connections, 2),
            "RabbitMQ is killed": (self._kill_rabbitmq, 1),
            "Redis is killed": (self._kill_redis, 1),
            "Redis forgets everything": (self._flush, 1),
            "Redis is frozen": (self._freeze_redis, 2),
            "a backend fails": (self._backend_fails, 3),
            "a backend hangs": (self._backend_hangs, 1),
            "a backend refuses": (self._backend_refuses, 2),
        }

    async def make(self) -> None:
        """One random fault after another: none is injected before the last one has healed."""
        names = list(self._faults)
        weights = [self._faults[name][1] for name in names]
        while not await set_within(self._ending, REST_S + self._dice.expovariate(1 / max(0.1, self._every_s - REST_S))):
            (name,) = self._dice.choices(names, weights)
            self.counted[name] += 1
            self._say(name)
            await self._faults[name][0]()

    def end(self) -> None:
        """Begin no other fault."""
        self._ending.set()

    # ── processes ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _kill(self) -> None:
        victim = self._dice.choice(self._deployment.victims)
        await self._kills.kill(victim, extra_calls=int(victim.name.startswith("worker")))
        await self._deployment.lab.ready(self._deployment.replace(victim))

    async def _stop(self) -> None:
        victim = self._dice.choice(self._deployment.victims)
        self._history.fault(f"SIGTERM {victim.name}")
        code = await asyncio.to_thread(victim.stop)
        if code != 0:
            raise AssertionError(f"{victim.name} left with code {code} when told to stop:\n{victim.text()[-2000:]}")
        await self._deployment.lab.ready(self._deployment.replace(victim))

    async def _freeze(self) -> None:
        ours = [each for each in self._deployment.survivors if each.name != "events"] + self._deployment.victims
        chosen = self._dice.choice(ours)
        await self._kills.freeze(
            chosen, self._dice.choice((0.3, 2.0, 8.0)), extra_calls=int(chosen.name.startswith("worker"))
        )

    async def _kill_agents(self) -> None:
        doomed = self._deployment.doomed
        if doomed is None:
            return
        await asyncio.to_thread(doomed.kill)
        self._history.fault("kill -9 of agents", callers=self._deployment.agents_of(doomed))
        self._deployment.replace_doomed()

    # ── connections ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _reset(self) -> None:
        self._history.fault("connections of agents reset")
        await asyncio.to_thread(self._deployment.proxy.reset)

    async def _partition(self) -> None:
        proxy, at = self._deployment.proxy, time.monotonic()
        direction = self._dice.choice(("up", "down", "both"))
        await asyncio.to_thread(proxy.partition, direction)
        await asyncio.sleep(self._dice.uniform(1.0, 8.0))
        await asyncio.to_thread(proxy.heal)
        self._history.fault(f"agents cut off ({direction})", at)

    async def _close_connections(self) -> None:
        self._history.fault("close_all_connections")
        await asyncio.to_thread(self._deployment.rabbitmq.ctl, "close_all_connections", "soak")

    # ── RabbitMQ and Redis ───────────────────────────────────────────────────────────────────────────────────────

    async def _kill_rabbitmq(self) -> None:
        rabbitmq, at = self._deployment.rabbitmq, time.monotonic()
        await asyncio.to_thread(rabbitmq.kill)
        await asyncio.sleep(self._dice.uniform(0.0, 2.0))
        await asyncio.to_thread(rabbitmq.start)
        self._deployment.vitals.watch("rabbitmq", rabbitmq.pid)
        self._history.fault("RabbitMQ killed", at, extra_calls=1, away=("*",))

    async def _kill_redis(self) -> None:
        server, at = self._deployment.redis, time.monotonic()
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(self._dice.uniform(0.0, 4.0))
        await asyncio.to_thread(server.start)
        self._deployment.vitals.watch("redis", server.pid)
        self._without_redis("Redis killed", at)

    async def _flush(self) -> None:
        at = time.monotonic()
        with redis.Redis.from_url(self._deployment.redis.url) as client:
            await asyncio.to_thread(client.flushall)
        self._without_redis("FLUSHALL", at)

    async def _freeze_redis(self) -> None:
        server, at = self._deployment.redis, time.monotonic()
        server.pause()
        try:
            await asyncio.sleep(self._dice.choice((0.2, 1.0, 4.0)))
        finally:
            server.resume()
        self._without_redis("Redis frozen", at)

    def _without_redis(self, what: str, at: float) -> None:
        """Until all have noticed that it is back, every request may lead a call of its own."""
        self._history.fault(what, at, time.monotonic() + REDIS_KEEPS_AWAY_S, extra_calls=math.inf)

    # ── backends ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _backend_fails(self) -> None:
        await self._backend("fails", fail_rate=1.0, fail_with=[500, 503, "reset", "cut"])

    async def _backend_hangs(self) -> None:
        await self._backend("hangs", fail_rate=1.0, fail_with=["hang", "hang_after_headers", "dribble"])

    async def _backend_refuses(self) -> None:
        await self._backend("refuses", fail_rate=1.0, fail_with=[429, "throttled"])

    async def _backend(self, what: str, **script: object) -> None:
        sim, at = self._dice.choice(self._deployment.sims()), time.monotonic()
        await asyncio.to_thread(sim.control, **script)
        await asyncio.sleep(self._dice.uniform(1.0, 5.0))
        await asyncio.to_thread(sim.control, fail_rate=0.02, fail_with=[503])
        self._history.fault(f"{sim.name} {what}", at, extra_calls=2, away=(sim.name,))


def queues_empty(deployment: Deployment, timeout_s: float) -> None:
    """Wait until nothing is left in any queue of the deployment.

    :raises AssertionError: if something stays.
    """
    wait_until(lambda: not any(deployment.lab.queued().values()), "the end of all queues", timeout_s)
