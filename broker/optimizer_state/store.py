"""Redis, as the optimizer uses it: scripts in pipelines, a deadline on everything, and a clear "away".

Nothing here waits for Redis to come back. From the first failure on (no answer in `TIMEOUT_S`, a broken connection
and a fresh one that breaks too, a Redis that writes nothing: it is full, a replica, its disk is gone) every call raises
`RedisAway` at once. A probe in the background looks whether it is back, at once and then every `PROBE_S`: a slow Redis
costs a request about half a second in all, coordinator and worker together, and not half a second each.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ClusterDownError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from optimizer_state.clock import FleetClock
from optimizer_state.outages import Outages
from optimizer_state.pipe import Pipe
from optimizer_state.scripts import Script, Step, source
from optimizer_state.together import Together
from optimizer_wire.cancellation import end
from optimizer_wire.tls import tls_trouble
from optimizer_wire.urls import masked_url

# A coordinator and a worker may each wait for so long before they know.
TIMEOUT_S = 0.25
CONNECT_TIMEOUT_S = 1.0
PROBE_S = 1.0
PROBE_JITTER = 1.5
# So long after Redis is back everybody who asks now and then has noticed: the longest time from one probe to the next,
# and what the next may take to connect, to load a script and to run it.
NOTICE_S = PROBE_S * PROBE_JITTER + CONNECT_TIMEOUT_S + 2 * TIMEOUT_S
LATE_TIMER_S = 0.1
PROBE_KEEP_MS = 5_000
# What a Redis says that reads, at best, and writes nothing: of no use until somebody has seen to it.
_USELESS = (ClusterDownError, OutOfMemoryError, ReadOnlyError)
_USELESS_WORDS = ("BUSY ", "MISCONF ", "NOREPLICAS ", "UNKILLABLE ")


class RedisAway(Exception):
    """Redis cannot be reached, is too slow, or lost its mind; the caller goes on without it."""


class NotSent(RedisAway):
    """Redis was away before, and has not been asked at all."""


def _useless(answer: object) -> bool:
    """Whether an error says that this Redis as a whole does not do its work, and not that one command was wrong."""
    return isinstance(answer, _USELESS) or (
        isinstance(answer, ResponseError) and str(answer).startswith(_USELESS_WORDS)
    )


class Store:
    """Connections to Redis with their own circuit breaker, and the fleet's clock.

    `on_change` is called with the reason when Redis is away, and with None when it is back.
    """

    def __init__(self, url: str, prefix: str, *, on_change: Callable[[str | None], None] | None = None) -> None:
        self.prefix = prefix
        self.clock = FleetClock()
        self._url = url
        self._on_change = on_change or (lambda _: None)
        self._redis: redis.Redis = redis.from_url(
            url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._pipe = Pipe(self._redis.connection_pool, TIMEOUT_S)
        self._together: Together[Step] = Together(self._round_trip)
        self._sha: dict[Script, str] = {}
        self._away = False
        self._probing: asyncio.Task[None] | None = None
        self._outages = Outages()

    @property
    def away(self) -> bool:
        """Whether Redis was away when last looked at."""
        return self._away

    def outage_ms(self, *, within_s: float) -> int:
        """How long the last outage took, if it ended within the last so many seconds; else 0."""
        return self._outages.length_ms(within_s, time.monotonic())

    def rejoin_ms(self, *, within_s: float) -> int:
        """How much is left of so many seconds after the last outage; while Redis is away 0."""
        return self._outages.rest_ms(within_s, time.monotonic())

    def missed_outage(self) -> None:
        """Redis was away and is back, and this process did not notice, as what it lost tells. Others may have."""
        self._outages.missed(time.monotonic())

    async def close(self) -> None:
        """Close all connections."""
        if self._probing is not None:
            await end([self._probing])
        # Who was cancelled in a round trip has left it behind, and with it a connection in use.
        await self._together.idle()
        await self._pipe.close()
        await self._redis.aclose()

    async def run(self, steps: Sequence[Step]) -> list[list[Any]]:
        """Run scripts in one round trip, shared with others who ask meanwhile; returns the answer of each.

        Every script may be repeated, so a failed round trip leaves nothing to undo.

        :raises RedisAway: if any of them could not be run.
        """
        self._check()
        answers = await self._together.run(steps)
        for step, answer in zip(steps, answers, strict=True):
            if isinstance(answer, Exception):
                raise RedisAway(f"Redis refused the script {step.script}: {answer}") from answer
        return answers

    async def _round_trip(self, steps: Sequence[Step]) -> list[Any]:
        answers: list[Any] = await self._guarded(lambda: self._evaluate(steps))
        missing = [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if missing:
            # SCRIPT FLUSH, or a restart.
            self._sha.clear()
            again = await self._guarded(lambda: self._evaluate([steps[i] for i in missing]))
            for i, answer in zip(missing, again, strict=True):
                answers[i] = answer
        return answers

    async def _evaluate(self, steps: Sequence[Step]) -> list[Any]:
        shas = await self._load({step.script for step in steps})
        answers = await self._pipe.run([("EVALSHA", shas[step.script], 1, step.key, *step.arguments) for step in steps])
        for answer in answers:
            if _useless(answer):
                raise answer
        return answers

    async def _load(self, scripts: set[Script]) -> dict[Script, str]:
        # A copy: somebody else may find meanwhile that Redis has forgotten them all.
        shas = dict(self._sha)
        for script in scripts - shas.keys():
            shas[script] = self._sha[script] = str(await self._redis.script_load(source(script)))
        return shas

    async def command(self, *words: str | int | bytes) -> Any:
        """Run one plain command.

        :raises RedisAway: if Redis is away or refuses it.
        """
        work = self._guarded(lambda: self._redis.execute_command(*words))  # type: ignore[no-untyped-call]
        return await asyncio.shield(work)

    async def synchronise_clock(self) -> None:
        """Learn Redis' time.

        :raises RedisAway: if it is away.
        """
        asked = time.monotonic()
        seconds, microseconds = await self.command("TIME")
        self.clock.learn(int(seconds) * 1000 + int(microseconds) / 1000, asked, time.monotonic())

    async def _guarded(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do it under the breaker. Never to be cancelled: a cancelled command could leave its answer to the next."""
        self._check()
        return await self._try(work, again=True)

    def _check(self) -> None:
        if self._away:
            raise NotSent(f"Redis at {masked_url(self._url)} is away.")

    async def _probe(self) -> None:
        """Look whether Redis is back until it is. One that is full, or a replica, still reads: it is to write."""
        while True:
            await self._drop_connections()
            with suppress(RedisError, OSError):
                await self._redis.set(f"{self.prefix}:probe", 1, px=PROBE_KEEP_MS)
                break
            await asyncio.sleep(PROBE_S * random.uniform(1, PROBE_JITTER))
        self._away = False
        self._outages.back(time.monotonic())
        self._on_change(None)

    async def _try(self, work: Callable[[], Awaitable[Any]], *, again: bool = False) -> Any:
        """Do it; `again` if what may not be Redis' fault is to be tried once more."""
        started = time.monotonic()
        try:
            answer = await work()
        except RedisTimeoutError as error:
            if again and time.monotonic() - started > TIMEOUT_S + LATE_TIMER_S:
                # The timer fired late: this process was busy, not Redis.
                return await self._try(work)
            self._failed(error)
        except (RedisConnectionError, OSError) as error:
            if again and not self._away:
                return await self._try_anew(work)
            self._failed(error)
        except ResponseError as error:
            if _useless(error):
                self._failed(error)
            raise RedisAway(f"Redis refused a command: {error}") from error
        except RedisError as error:
            self._failed(error)
        else:
            return answer

    async def _try_anew(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """A connection broke. All in the pool may be from before a restart, which says nothing about Redis now."""
        await self._drop_connections()
        answer = await self._try(work)
        self.missed_outage()
        return answer

    async def _drop_connections(self) -> None:
        with suppress(RedisError, OSError):
            await self._redis.connection_pool.disconnect(inuse_connections=False)
            await self._pipe.close()

    def _failed(self, error: Exception) -> NoReturn:
        why = tls_trouble(error) or str(error)
        if not self._away:
            self._away = True
            self._outages.left(time.monotonic())
            self._on_change(f"{masked_url(self._url)}: {why}")
            self._probing = asyncio.ensure_future(self._probe())
        raise RedisAway(f"Redis at {masked_url(self._url)} does not answer: {why}") from error
