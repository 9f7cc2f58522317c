"""Servers as processes: start them apart from us, know them again later, end them and nothing else."""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Below the range the kernel takes for outgoing connections: there a client that keeps trying to reach a stopped
# server can get the server's own port and connect to itself.
_PORTS = range(20_000, 32_000)
_STEP_S = 0.05


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A process that leads its own group, with the moment it started: a number that was given out again is not it."""

    pid: int
    started: str

    @classmethod
    def start(cls, command: Sequence[str | Path], env: Mapping[str, str], folder: Path, log: Path) -> "ServerProcess":
        """Start a server that outlives us, in `folder`, its output appended to `log`."""
        with log.open("ab") as output:
            child = subprocess.Popen(  # noqa: S603 - servers that we looked up ourselves
                command,
                env=env,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process = cls(child.pid, _started(child.pid) or "")
        _children[process] = child
        return process

    def alive(self) -> bool:
        """Whether this very process still runs."""
        child = _children.get(self)
        if child is not None:
            # Nothing but this: a server's first thread is a zombie already while others of it still end.
            if child.poll() is None:
                return True
            del _children[self]
            return False
        return bool(self.started) and _started(self.pid) == self.started

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and the group it leads, if it still runs."""
        if self.alive():
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def end(self, patience_s: float) -> None:
        """Ask it to end, and kill it when it has not within `patience_s`; returns when it is gone."""
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)
        if not wait_until(lambda: not self.alive(), patience_s):
            self.send(signal.SIGKILL)
            wait_until(lambda: not self.alive(), patience_s)


# A child must be waited for, or it stays a zombie that looks alive.
_children: dict[ServerProcess, subprocess.Popen[bytes]] = {}


def wait_until(condition: Callable[[], bool], patience_s: float) -> bool:
    """Wait for a condition, looking every 50 ms; returns whether it came true in time."""
    until = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(_STEP_S)
    return True


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, and that no outgoing connection will be given."""
    return next(port for port in iter(lambda: random.choice(_PORTS), None) if port_is_free(port))


def _started(pid: int) -> str | None:
    """When a process started, in words that only ever fit this process; None when there is none or it is a zombie."""
    proc = Path("/proc")
    if (proc / "self").exists():
        try:
            # The name in parentheses may hold spaces; the fields after it do not. 19 on is the start in clock ticks.
            fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
            boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return None
        return None if fields[0] in {"Z", "X"} else f"{boot}/{fields[19]}"
    shown = subprocess.run(["ps", "-o", "lstart=,stat=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607
    moment, _, state = shown.stdout.strip().rpartition(" ")
    return None if not moment or state.startswith("Z") else moment.strip()
