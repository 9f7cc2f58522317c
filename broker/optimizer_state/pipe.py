"""A connection to Redis for many commands in one round trip.

A pipeline of redis-py's does the same. But it packs commands in Python, takes a connection out of a pool and puts it
back, and makes a timer for each answer, which together is more than half of what a round trip costs.
"""

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from redis.asyncio.connection import Connection, ConnectionPool
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

try:
    from hiredis import pack_command as _pack_command
except ImportError:  # not built for this platform; redis-py packs the same, slower
    _pack_command = None  # type: ignore[assignment]

Command = tuple[str | int | bytes, ...]


class Pipe:
    """One connection, made when it is needed and again after it broke. Not for two callers at the same time."""

    def __init__(self, pool: ConnectionPool, timeout_s: float) -> None:
        """Take from the pool how to connect. An answer may come `timeout_s` after the one before it."""
        self._connection: Connection = pool.make_connection()  # type: ignore[no-untyped-call]
        self._timeout_s = timeout_s
        self._busy = False

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to some commands; that Redis refuses one is an answer too.

        :raises RedisError: if there is no connection, it breaks, or an answer is late. It is closed then.
        """
        self._busy = True
        try:
            await self._drop_stale()
            await self._connection.send_packed_command(self._packed(commands))
            return await self._answers(len(commands))
        finally:
            self._busy = False

    async def close(self) -> None:
        """Close the connection, unless somebody waits on it, who will see for himself that it is broken.

        Nothing is waited for: whoever needs it meanwhile connects anew, and would find that connection taken away.
        """
        if not self._busy:
            await self._connection.disconnect(nowait=True)

    async def _drop_stale(self) -> None:
        """Redis may have closed it since: a restart, or its own limit to idle connections."""
        if self._connection.is_connected and await self._connection.can_read():
            await self._connection.disconnect(nowait=True)

    def _packed(self, commands: Sequence[Command]) -> list[bytes]:
        if _pack_command is None:
            return self._connection.pack_commands(commands)
        return [b"".join([_pack_command(command) for command in commands])]  # type: ignore[arg-type]

    async def _answers(self, count: int) -> list[Any]:
        answers: list[Any] = []
        now = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(self._timeout_s) as patience:
                for _ in range(count):
                    try:
                        answers.append(await self._connection.read_response(timeout=math.inf))
                    except ResponseError as error:
                        answers.append(error)
                    patience.reschedule(now() + self._timeout_s)
        except TimeoutError as error:
            raise RedisTimeoutError("Timeout reading from Redis") from error
        return answers
