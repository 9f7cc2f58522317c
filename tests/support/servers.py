"""Servers of a test's own, to be stopped, killed, frozen and started again: `PrivateRabbitMQ` and `PrivateRedis`.

They are the product's own launchers (`optimizer_ops.services`) in a folder of their own, on ports that stay the same
over restarts; with OPTIMIZER_TEST_SERVERS newer versions from another folder (`newer.py`). Every call blocks until its
effect is there; from an async test: `await asyncio.to_thread(server.kill)`.
"""

import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from tests.support import newer

from optimizer_ops.services import rabbitmq, redis_server
from optimizer_ops.services.processes import ServerProcess, free_port, port_is_free, wait_until
from optimizer_ops.services.rabbitmq import RabbitMQInstance
from optimizer_ops.services.redis_server import RedisInstance
from optimizer_ops.services.urls import parse

_STOP_S = 30.0

# Ends the servers of a test run that was itself killed: the pipe closes when its only writer is gone.
_GUARD = 'read -r _; for group in $1; do kill -s KILL -- "-$group" 2>/dev/null; done; rm -rf -- "$2"'


class _Instance(Protocol):
    """What both launchers of the product can do."""

    @property
    def url(self) -> str:
        """Where it answers."""

    def start(self) -> list[ServerProcess]:
        """Start it and wait until it answers."""


class _PrivateServer:
    """A server in a temporary folder; a context manager that starts it and leaves nothing behind."""

    def __init__(self, folder: Path, instance: _Instance) -> None:
        self.folder = folder
        self.url = instance.url
        self.port = parse(instance.url).port
        self._instance = instance
        self._processes: list[ServerProcess] = []
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the server itself."""
        return self._processes[0].pid

    def running(self) -> bool:
        """Whether its process is there; a frozen one is."""
        return bool(self._processes) and self._processes[0].alive()

    def start(self) -> Self:
        """Start it, with the data that it has; returns when it answers. A running one is left as it is."""
        if not self.running():
            self._ended()
            self._processes = self._instance.start()
            groups = " ".join(str(process.pid) for process in self._processes)
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "guard", groups, str(self.folder)],
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
        return self

    def stop(self) -> None:
        """Stop it in order, so that it saves what it has."""
        for process in self._processes:
            process.end(_STOP_S)
        self._ended()

    def kill(self) -> None:
        """`kill -9`: what it had not written is lost; connections break at once."""
        for process in self._processes:
            process.send(signal.SIGKILL)
            process.end(_STOP_S)
        self._ended()

    def restart(self) -> Self:
        """Start it again on the same port with the same data; stops it first if it runs."""
        self.stop()
        return self.start()

    def lose_data(self) -> Self:
        """Start it again with nothing of what it had: the crash that takes the disk with it."""
        self.kill()
        shutil.rmtree(self.folder)
        return self.start()

    def pause(self) -> None:
        """`SIGSTOP`: connections stay open and nobody answers."""
        self._processes[0].send(signal.SIGSTOP)

    def resume(self) -> None:
        """`SIGCONT`: go on after `pause`; does nothing to a server that is not frozen."""
        self._processes[0].send(signal.SIGCONT)

    def close(self) -> None:
        """End it for good and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ended(self) -> None:
        """Wait until the port is closed too, and dismiss the guard: its numbers may belong to others from now on."""
        if self._processes:
            wait_until(lambda: port_is_free(self.port), _STOP_S)
        self._processes = []
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None


class PrivateRedis(_PrivateServer):
    """A Redis of the test's own, with an append-only file."""

    def __init__(self, port: int | None = None) -> None:
        folder = newer.own_folder("redis")
        instance = RedisInstance.like("redis://127.0.0.1/0", folder, port or free_port())
        root = newer.root()
        super().__init__(folder, instance if root is None else newer.NewerRedis(root, instance))

    @staticmethod
    def installed() -> bool:
        """Whether there is a redis-server."""
        return newer.root() is not None or redis_server.installed()


class PrivateRabbitMQ(_PrivateServer):
    """A RabbitMQ of the test's own (guest:guest); its start takes some seconds."""

    def __init__(self, port: int | None = None) -> None:
        folder = newer.own_folder("rabbitmq")
        ports = (port or free_port(), free_port(), free_port())
        instance = RabbitMQInstance.like("amqp://guest:guest@127.0.0.1/", folder, ports)
        root = newer.root()
        self._broker = instance if root is None else newer.NewerRabbitMQ(root, instance)
        super().__init__(folder, self._broker)

    @staticmethod
    def installed() -> bool:
        """Whether there is a rabbitmq-server."""
        return newer.root() is not None or rabbitmq.installed()

    def ctl(self, *arguments: str) -> str:
        """`rabbitmqctl` on this broker: `ctl("stop_app")`, `ctl("start_app")`, `ctl("list_queues", "name")`."""
        return self._broker.ctl(*arguments)
