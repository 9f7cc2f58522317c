"""A set of our own processes on one machine: started together, restarted when one dies, stopped together."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

STOP_S = 30.0
RESTART_S = 1.0
# What a process says with these is final: starting it again would end the same way (wrong configuration, wrong usage).
_FINAL = frozenset({2, 64, 78})


@dataclass(slots=True)
class Process:
    """One process of the set. `restarts` counts how often it had to be started again."""

    name: str
    arguments: Sequence[str]
    running: asyncio.subprocess.Process | None = None
    restarts: int = 0
    gave_up: int | None = None
    _keeper: "asyncio.Task[None] | None" = field(default=None, repr=False)


class ProcessSet:
    """Runs `python -m …` processes. With `log_dir` each writes to a file there, else to `report`, line by line."""

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        log_dir: Path | None = None,
        report: Callable[[str], None] = print,
    ) -> None:
        self._environment = {**os.environ, **environment}
        self._log_dir = log_dir
        self._report = report
        self._stopping = False
        self.processes: list[Process] = []

    def start(self, name: str, *arguments: str) -> Process:
        """Start `python -m <arguments>` and keep it running."""
        process = Process(name, arguments)
        process._keeper = asyncio.ensure_future(self._keep(process))  # noqa: SLF001 - of this file
        self.processes.append(process)
        return process

    async def _keep(self, process: Process) -> None:
        while not self._stopping:
            code = await self._run(process)
            if self._stopping:
                return
            if code in _FINAL:
                process.gave_up = code
                self._report(f"{process.name} left with code {code} and is not started again")
                return
            process.restarts += 1
            self._report(f"{process.name} left with code {code}; starting it again")
            await asyncio.sleep(RESTART_S)

    async def _run(self, process: Process) -> int:
        output = asyncio.subprocess.PIPE
        log = None if self._log_dir is None else (self._log_dir / f"{process.name.replace('/', '-')}.log").open("ab")
        try:
            process.running = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *process.arguments,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log or output,
                stderr=log or asyncio.subprocess.STDOUT,
                # Ctrl-C is ours to pass on, in order.
                start_new_session=True,
            )
            if self._stopping:
                # Asked to stop while this one was just being made.
                _signal(process, signal.SIGTERM)
            if process.running.stdout is not None:
                async for line in process.running.stdout:
                    self._report(f"{process.name:<22} {line.decode(errors='replace').rstrip()}")
            return await process.running.wait()
        finally:
            if log is not None:
                log.close()

    async def stop(self) -> None:
        """Ask every process to stop, and end what has not stopped after 30 s."""
        self._stopping = True
        for process in self.processes:
            _signal(process, signal.SIGTERM)
        keepers = [process._keeper for process in self.processes if process._keeper]  # noqa: SLF001
        if not keepers:
            return
        _, late = await asyncio.wait(keepers, timeout=STOP_S)
        for process in self.processes:
            if process._keeper in late:  # noqa: SLF001
                _signal(process, signal.SIGKILL)
        if late:
            await asyncio.wait(late)


def _signal(process: Process, number: signal.Signals) -> None:
    if process.running is not None and process.running.returncode is None:
        with suppress(ProcessLookupError):
            process.running.send_signal(number)
