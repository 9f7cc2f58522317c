"""The processes of the demo: simulators first, because optimizer.toml names their ports, then all others."""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from optimizer_coordinator.snapshot import REFRESH_S
from optimizer_ops.demo.backends import BACKENDS, KEY, KEY_VARIABLE, SimulatedBackend, optimizer_toml
from optimizer_ops.processes import Process, ProcessSet
from optimizer_ops.services import ServiceUrls

COORDINATORS = 2
DASHBOARD_PORT = 8502
START_S = 60.0
_LOOK_S = 0.1
_TAIL_LINES = 12


class StartFailed(Exception):
    """The processes did not become ready; the message says which, and what they wrote last."""


class Deployment:
    """Everything that runs beside the agents, in a folder of its own."""

    def __init__(self, folder: Path, urls: ServiceUrls, prefix: str, report: Callable[[str], None]) -> None:
        self.folder = folder
        self.config = folder / "optimizer.toml"
        self.history_url = f"sqlite:///{folder / 'history.db'}"
        self._common = {"amqp_url": urls.amqp_url, "redis_url": urls.redis_url, "prefix": prefix}
        self._dashboard: Process | None = None
        self._processes = ProcessSet(
            _environment(self._common, self.history_url, self.config), log_dir=folder, report=report
        )
        self._workers: dict[str, list[Process]] = {}

    async def start(self) -> dict[str, str]:
        """Start everything and wait until it is ready; returns the URLs of the simulators by backend.

        :raises StartFailed: with the end of the log of the process that did not make it.
        """
        try:
            async with asyncio.timeout(START_S):
                simulators = {backend.name: self._simulate(backend) for backend in BACKENDS}
                urls = {name: await self._listening(process) for name, process in simulators.items()}
                self._write_config(urls)
                for process in [*self._coordinators(), *self._all_workers(), *self._watchers()]:
                    while not self._announced(process):
                        await self._look_again()
                # By then every coordinator knows every worker.
                await asyncio.sleep(REFRESH_S)
        except TimeoutError:
            late = [process.name for process in self._processes.processes if not self._announced(process)]
            names = ", ".join(late) or "the processes"
            raise StartFailed(f"Not ready after {START_S:.0f} s: {names}; see {self.folder}.") from None
        return urls

    async def stop(self) -> None:
        """Stop everything, with time to finish."""
        await self._processes.stop()

    def log_of(self, backend: SimulatedBackend) -> Path:
        """The request log that the simulator of a backend writes."""
        return self.folder / f"{backend.name}.requests.jsonl"

    def workers_of(self, backend: str) -> list[Process]:
        """The worker processes of a backend."""
        return self._workers.get(backend, [])

    def running_workers(self, backend: str) -> int:
        """How many workers of a backend live now."""
        return sum(
            1 for worker in self.workers_of(backend) if worker.running is not None and worker.running.returncode is None
        )

    @property
    def dashboard_url(self) -> str | None:
        """Where the dashboard is."""
        lines = self._lines(self._dashboard) if self._dashboard else ()
        said = (json.loads(line) for line in lines if '"event": "ready"' in line)
        return next((str(line["url"]) for line in said), None)

    def instance_of(self, worker: Process) -> str | None:
        """The name that a worker process gave itself when it started last."""
        found = [json.loads(line).get("instance") for line in self._lines(worker) if line.startswith("{")]
        return str(found[-1]) if found else None

    def _simulate(self, backend: SimulatedBackend) -> Process:
        spec = self.folder / f"{backend.name}.json"
        spec.write_text(json.dumps(backend.spec(), indent=2), encoding="utf-8")
        arguments = ("--spec", str(spec), "--port", "0", "--log", str(self.log_of(backend)))
        return self._processes.start(f"simulator/{backend.name}", "optimizer_ops.simulator", *arguments)

    def _write_config(self, urls: dict[str, str]) -> None:
        # The services' URLs may have passwords.
        self.config.touch(mode=0o600)
        self.config.write_text(optimizer_toml(urls, self._common, self.history_url), encoding="utf-8")

    def _watchers(self) -> list[Process]:
        """The recorder, and the dashboard on its usual port if that is free."""
        port = DASHBOARD_PORT if _is_free(DASHBOARD_PORT) else 0
        self._dashboard = self._processes.start("dashboard", "optimizer_ops", "dashboard", "--port", str(port))
        return [self._processes.start("recorder", "optimizer_ops", "recorder"), self._dashboard]

    def _coordinators(self) -> list[Process]:
        return [
            self._processes.start(f"coordinator/{number}", "optimizer_ops", "coordinator")
            for number in range(1, COORDINATORS + 1)
        ]

    def _all_workers(self) -> list[Process]:
        for backend in BACKENDS:
            self._workers[backend.name] = [
                self._processes.start(f"worker/{backend.name}/{number}", "optimizer_ops", "worker", backend.name)
                for number in range(1, backend.workers + 1)
            ]
        return [worker for workers in self._workers.values() for worker in workers]

    async def _listening(self, process: Process) -> str:
        while True:
            for line in self._lines(process):
                if line.startswith('{"name"'):
                    return str(json.loads(line)["url"])
            await self._look_again()

    def _announced(self, process: Process) -> bool:
        return any('"event": "ready"' in line or line.startswith('{"name"') for line in self._lines(process))

    async def _look_again(self) -> None:
        """Wait a moment.

        :raises StartFailed: if any process has ended meanwhile.
        """
        for process in self._processes.processes:
            if process.restarts or process.gave_up is not None:
                raise StartFailed(f"{process.name} ended while it started. It wrote last:\n{self._tail(process)}")
        await asyncio.sleep(_LOOK_S)

    def _lines(self, process: Process) -> Iterator[str]:
        """The complete lines of the log."""
        path = self.folder / f"{process.name.replace('/', '-')}.log"
        if path.exists():
            text, _, _ = path.read_text(encoding="utf-8", errors="replace").rpartition("\n")
            yield from text.splitlines()

    def _tail(self, process: Process) -> str:
        return "\n".join(f"    {line}" for line in list(self._lines(process))[-_TAIL_LINES:]) or "    (nothing)"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _environment(common: dict[str, str], history_url: str, config: Path) -> dict[str, str]:
    """What the processes are told; whatever the user's own environment says of the optimizer is overruled."""
    return {
        "OPTIMIZER_AMQP_URL": common["amqp_url"],
        "OPTIMIZER_AMQP_URL_FILE": "",
        "OPTIMIZER_REDIS_URL": common["redis_url"],
        "OPTIMIZER_REDIS_URL_FILE": "",
        "OPTIMIZER_HISTORY_URL": history_url,
        "OPTIMIZER_HISTORY_URL_FILE": "",
        "OPTIMIZER_ADMIN_TOKEN": "",
        "OPTIMIZER_ADMIN_TOKEN_FILE": "",
        "OPTIMIZER_PRICES_FILE": "",
        "OPTIMIZER_PREFIX": common["prefix"],
        "OPTIMIZER_CONFIG": str(config),
        "OPTIMIZER_LOG_LEVEL": "info",
        KEY_VARIABLE: KEY,
    }
