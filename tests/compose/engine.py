"""A Docker engine for `make test-compose`: the one that answers, else one of our own that leaves nothing behind."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from optimizer_ops.services.processes import wait_until

_START_S = 60.0
_STOP_S = 60.0
_BRIDGE = Path("/sys/class/net/docker0")


@dataclass(frozen=True)
class Engine:
    """A running engine and the client for it."""

    environ: dict[str, str] = field(repr=False)
    private: bool
    """Whether it was started here: nothing can be pulled then, and it has no network of its own to the outside."""

    def run(self, *words: str, stdin: IO[bytes] | None = None, timeout: float = 600.0) -> str:
        """Run a docker command; returns what it printed, raises `CalledProcessError` with what it complained of."""
        done = subprocess.run(
            ["docker", *words],
            env=self.environ,
            stdin=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        if done.returncode:
            error = subprocess.CalledProcessError(done.returncode, ["docker", *words], done.stdout, done.stderr)
            error.add_note(f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
            raise error
        return done.stdout

    def answers(self) -> bool:
        """Whether the engine is there."""
        return self._succeeds("info")

    def has_image(self, name: str) -> bool:
        """Whether an image of this name is there."""
        return self._succeeds("image", "inspect", name)

    def pull(self, name: str) -> bool:
        """Fetch an image; False if it cannot be fetched."""
        return self._succeeds("pull", "--quiet", name)

    def has_compose(self) -> bool:
        """Whether the client has the compose command, version 2."""
        return self._succeeds("compose", "version")

    def _succeeds(self, *words: str) -> bool:
        try:
            self.run(*words)
        except (subprocess.SubprocessError, OSError):
            return False
        return True


@contextmanager
def running(folder: Path) -> Iterator[Engine]:
    """The engine that answers; else one started for this, with all that it has in `folder`, and ended with it.

    Raises `RuntimeError` where there is none and none can be started.
    """
    there = Engine(dict(os.environ), private=False)
    if shutil.which("docker") is not None and there.answers():
        if not there.has_compose():
            raise RuntimeError("The Docker engine answers, but docker compose, version 2, is not installed.")
        yield there
        return
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        raise RuntimeError("No Docker engine answers; start one, or be root and run: apt-get install docker.io")
    with _own(folder) as engine:
        yield engine


@contextmanager
def _own(folder: Path) -> Iterator[Engine]:
    # No rules for the firewall, which would outlive it; containers reach each other all the same.
    socket = f"unix://{folder}/docker.sock"
    command = ["dockerd", f"--host={socket}", f"--data-root={folder}/data", f"--exec-root={folder}/exec"]
    command += [f"--pidfile={folder}/dockerd.pid", "--iptables=false", "--ip-masq=false", "--ip-forward=false"]
    client = folder / "client"
    (client / "cli-plugins").mkdir(parents=True)
    engine = Engine(os.environ | {"DOCKER_HOST": socket, "DOCKER_CONFIG": str(client)}, private=True)
    bridge_was_there = _BRIDGE.exists()
    with (folder / "dockerd.log").open("wb") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        if not wait_until(lambda: daemon.poll() is not None or engine.answers(), _START_S) or daemon.poll() is not None:
            raise RuntimeError(f"dockerd did not come up within {_START_S:.0f} s; see {folder}/dockerd.log")
        yield engine
    finally:
        _stop(engine, daemon)
        # It leaves its bridge, and the network namespace of the machine mounted in its folder.
        if not bridge_was_there and _BRIDGE.exists():
            subprocess.run(["ip", "link", "delete", _BRIDGE.name], check=True)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in reversed(mounts):
            if mount.startswith(f"{folder}/"):
                subprocess.run(["umount", mount], check=True)


def _stop(engine: Engine, daemon: "subprocess.Popen[bytes]") -> None:
    """Remove what is in the engine, its bridges too, then end it."""
    if daemon.poll() is None:
        if containers := engine.run("ps", "--all", "--quiet").split():
            engine.run("rm", "--force", "--volumes", *containers)
        engine.run("network", "prune", "--force")
        daemon.send_signal(signal.SIGTERM)
    daemon.wait(_STOP_S)


def add_compose(engine: Engine, plugin: Path) -> None:
    """Give a private engine's client the compose command, unless the machine has it."""
    if engine.has_compose():
        return
    shutil.copy(plugin, Path(engine.environ["DOCKER_CONFIG"]) / "cli-plugins" / "docker-compose")
