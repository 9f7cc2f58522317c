"""Private servers of newer versions, from a folder in which another Debian is unpacked (`OPTIMIZER_TEST_SERVERS`).

They run inside that folder (chroot, so as root) and have their data in it, each instance on ports of its own.
`python -m tests.support.newer` says which versions these are.
"""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from optimizer_ops.services.probe import amqp_problem, redis_problem
from optimizer_ops.services.processes import ServerProcess, port_is_free, wait_until
from optimizer_ops.services.rabbitmq import RabbitMQInstance
from optimizer_ops.services.redis_server import RedisInstance
from optimizer_ops.services.urls import ServicesUnavailable

VARIABLE = "OPTIMIZER_TEST_SERVERS"

_START_S = 90.0
_CTL_S = 60.0
_SCRIPTS = "/usr/lib/rabbitmq/bin"
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def root() -> Path | None:
    """The folder of the newer servers, made ready to run them; None if tests are to use the installed ones."""
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    folder = Path(named).absolute()
    for program in (f"{folder}{_SCRIPTS}/rabbitmq-server", f"{folder}/usr/bin/redis-server"):
        if not Path(program).exists():
            raise ServicesUnavailable(f"{VARIABLE}={named}: {program} is not there.")
    for name, words in (("proc", ["-t", "proc", "proc"]), ("dev", ["--bind", "/dev"])):
        if not (folder / name).is_mount():
            subprocess.run(["mount", *words, str(folder / name)], check=True, timeout=10)
    shutil.copy("/etc/hosts", folder / "etc" / "hosts")
    return folder


def own_folder(kind: str) -> Path:
    """A new folder for an instance: inside the newer servers' one, if those are used."""
    newer = root()
    return Path(tempfile.mkdtemp(prefix=f"optimizer-{kind}-", dir=None if newer is None else newer / "tmp"))


def as_seen(path: str) -> str:
    """A path as the servers see it."""
    folder = os.environ.get(VARIABLE)
    return path if not folder else f"/{os.path.relpath(path, folder)}"


@dataclass(frozen=True, slots=True)
class NewerRedis:
    """A Redis inside the folder; `outside` is what an installed one would be."""

    root: Path
    outside: RedisInstance

    @property
    def url(self) -> str:
        """Where it answers."""
        return self.outside.url

    def start(self) -> list[ServerProcess]:
        """Start it and wait until it answers."""
        folder = self.outside.folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        inside = _inside(self.root, folder)
        settings = RedisInstance(inside, self.outside.port, self.url).settings()
        (folder / "redis.conf").write_text("\n".join(settings) + "\n")
        command = ["chroot", self.root, "/usr/bin/redis-server", inside / "redis.conf"]
        process = ServerProcess.start(command, {"PATH": _PATH}, folder, folder / "redis.log")
        return [_up(process, lambda: redis_problem(self.url), folder / "redis.log")]


@dataclass(frozen=True, slots=True)
class NewerRabbitMQ:
    """A RabbitMQ inside the folder; `outside` is what an installed one would be."""

    root: Path
    outside: RabbitMQInstance

    @property
    def url(self) -> str:
        """Where it answers."""
        return self.outside.url

    def start(self) -> list[ServerProcess]:
        """Start it and wait until it lets us in."""
        folder, log = self.outside.folder, self.outside.folder / "rabbitmq.log"
        self.outside._prepare()
        port = str(self.outside.epmd_port)
        epmd = ServerProcess.start(
            self._command("/usr/bin/epmd", "-address", "127.0.0.1", "-port", port), self._env(), folder, log
        )
        wait_until(lambda: not port_is_free(self.outside.epmd_port), 10.0)
        broker = ServerProcess.start(self._command(f"{_SCRIPTS}/rabbitmq-server"), self._env(), folder, log)
        try:
            return [_up(broker, lambda: amqp_problem(self.url), log), epmd]
        except BaseException:
            epmd.end(10.0)
            raise

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl on this broker; returns what it printed, raises `ServicesUnavailable` if it failed."""
        command = self._command(f"{_SCRIPTS}/rabbitmqctl", "--quiet", *arguments)
        done = subprocess.run(command, env=self._env(), capture_output=True, text=True, check=False, timeout=_CTL_S)
        if done.returncode:
            raise ServicesUnavailable(
                f"rabbitmqctl {' '.join(arguments)} failed: {(done.stderr or done.stdout).strip()}"
            )
        return done.stdout

    def _command(self, *words: str) -> list[str | Path]:
        return ["chroot", self.root, *words]

    def _env(self) -> dict[str, str]:
        """The environment of an installed one, with the folders as they are called inside."""
        here = str(self.outside.folder.absolute())
        inside = str(_inside(self.root, self.outside.folder))
        return {name: value.replace(here, inside) for name, value in self.outside.env().items()} | {"PATH": _PATH}


def versions() -> str:
    """Which servers are in the folder.

    :raises ServicesUnavailable: if there are none.
    """
    folder = root()
    if folder is None:
        raise ServicesUnavailable(f"{VARIABLE} is not set: name a folder with newer servers in it.")
    found = [_said(folder, f"{_SCRIPTS}/rabbitmqctl", "version"), _said(folder, "/usr/bin/redis-server", "--version")]
    return f"{folder}: RabbitMQ {found[0]}, {found[1]}"


def _said(folder: Path, *command: str) -> str:
    env = {"PATH": _PATH, "HOME": "/tmp"}
    done = subprocess.run(
        ["chroot", folder, *command], env=env, capture_output=True, text=True, check=True, timeout=_CTL_S
    )
    return done.stdout.strip()


def _inside(newer: Path, folder: Path) -> Path:
    return Path("/") / folder.absolute().relative_to(newer)


def _up(process: ServerProcess, problem, log: Path) -> ServerProcess:
    wait_until(lambda: not process.alive() or problem() is None, _START_S)
    if not process.alive() or problem() is not None:
        process.end(1.0)
        raise ServicesUnavailable(f"the server did not come up; see {log}:\n{log.read_text()[-2000:]}")
    return process


if __name__ == "__main__":
    try:
        print(versions())
    except (ServicesUnavailable, OSError, subprocess.SubprocessError) as error:
        raise SystemExit(f"No newer servers to test with: {error}") from error
