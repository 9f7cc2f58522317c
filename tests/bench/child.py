"""A load generator in a process of its own, told by its parent when to run: for clients that block, or that live in
another environment (this module and what it imports need nothing but the standard library).

The child writes `ready`, then for each line {"in_flight": N, "seconds": S} one line with the fields of a `Sample`.
"""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Self

from tests.bench.sample import Sample

START_S = 60.0
LINE_BYTES = 2**20


def answer(stretch: Callable[[int, float], Sample]) -> None:
    """In the child: run a stretch for each line, until there are no more."""
    print("ready", flush=True)
    for line in sys.stdin:
        _print(stretch(**json.loads(line)))


async def answer_async(stretch: Callable[[int, float], Awaitable[Sample]]) -> None:
    """In the child: the same on an event loop, which goes on meanwhile."""
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        _print(await stretch(**json.loads(line)))


def _print(found: Sample) -> None:
    print(json.dumps(asdict(found)), flush=True)


class Child:
    """In the parent: the child, from its start to its end. What it says besides goes to `log`."""

    def __init__(self, command: list[str], log: Path, environment: dict[str, str] | None = None) -> None:
        self._command = command
        self._log = log
        self._environment = os.environ | (environment or {})

    async def __aenter__(self) -> Self:
        with self._log.open("wb") as sink:
            self._process: Process = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, stderr=sink, env=self._environment, limit=LINE_BYTES
            )
        try:
            async with asyncio.timeout(START_S):
                await self._line()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def stretch(self, in_flight: int, seconds: float) -> Sample:
        """Let it run one stretch."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"in_flight": in_flight, "seconds": seconds}).encode() + b"\n")
        return Sample(**json.loads(await self._line()))

    async def _line(self) -> bytes:
        assert self._process.stdout
        line = await self._process.stdout.readline()
        if not line:
            raise AssertionError(f"{' '.join(self._command)} ended:\n{self._log.read_text()[-2000:]}")
        return line

    async def _end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
