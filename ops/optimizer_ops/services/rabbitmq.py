"""A RabbitMQ of our own on this machine, from the installed program.

Everything that brokers on one machine could share is its own: the ports, the node's name and cookie, the port mapper
(epmd) and all folders. It runs as whoever started it, so nothing of an installed system-wide broker is touched.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from optimizer_ops.services.probe import amqp_problem
from optimizer_ops.services.processes import ServerProcess, port_is_free, wait_until
from optimizer_ops.services.urls import ServicesUnavailable, parse, with_port

_START_S = 180.0
_CTL_S = 180.0
_NODE = "optimizer@localhost"


def installed() -> bool:
    """Whether a RabbitMQ server can be started here."""
    return scripts() is not None


def scripts() -> Path | None:
    """The folder of RabbitMQ's own scripts.

    What a distribution puts on the PATH is a wrapper that insists on its own user and folders.
    """
    on_path = shutil.which("rabbitmq-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    folders = [
        Path("/usr/lib/rabbitmq/bin"),
        *([Path(on_path).parent] if on_path else []),
        Path("/opt/homebrew/sbin"),
    ]
    needed = ("rabbitmq-server", "rabbitmqctl")
    return next((folder for folder in folders if all((folder / name).exists() for name in needed)), None)


def _epmd() -> str:
    """The port mapper's program; the one inside Erlang's own tree when it is not on the PATH."""
    found = shutil.which("epmd") or next((str(path) for path in Path("/usr/lib/erlang").glob("erts-*/bin/epmd")), None)
    if found is None:
        raise ServicesUnavailable("RabbitMQ is installed, but Erlang's program epmd is not on the PATH; add it.")
    return found


@dataclass(frozen=True, slots=True)
class RabbitMQInstance:
    """One private broker: its data, settings and logs live in `folder`, and it listens on 127.0.0.1 only."""

    folder: Path
    port: int
    epmd_port: int
    dist_port: int
    url: str

    @classmethod
    def like(cls, url: str, folder: Path, ports: tuple[int, int, int]) -> "RabbitMQInstance":
        """One that answers like `url` (login and virtual host), on these ports: AMQP, epmd, Erlang's distribution."""
        return cls(folder, *ports, with_port(url, ports[0]))

    def start(self) -> list[ServerProcess]:
        """Start it and wait until it lets us in, at most three minutes; raises `ServicesUnavailable` naming its log."""
        folder = scripts()
        if folder is None:
            raise ServicesUnavailable("rabbitmq-server is not installed.")
        self._prepare()
        log = self.folder / "rabbitmq.log"
        processes = [self._start_epmd(log)]
        try:
            broker = ServerProcess.start([folder / "rabbitmq-server"], self.env(), self.folder, log)
            processes.insert(0, broker)
            self._wait(broker, log)
        except BaseException:
            for process in processes:
                process.end(10.0)
            raise
        return processes

    def _wait(self, broker: ServerProcess, log: Path) -> None:
        """Wait until a login succeeds: long after the port is open, and well before rabbitmqctl says so."""
        wait_until(lambda: not broker.alive() or amqp_problem(self.url) is None, _START_S)
        problem = amqp_problem(self.url) if broker.alive() else "it ended at once"
        if problem:
            raise ServicesUnavailable(f"rabbitmq-server did not come up on port {self.port} ({problem}); see {log}.")

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl on this broker; returns what it printed, raises `ServicesUnavailable` if it failed."""
        folder = scripts()
        if folder is None:
            raise ServicesUnavailable("rabbitmqctl is not installed.")
        done = subprocess.run(  # noqa: S603 - the installed program
            [folder / "rabbitmqctl", "--quiet", *arguments],
            env=self.env(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=_CTL_S,
        )
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise ServicesUnavailable(f"rabbitmqctl {' '.join(arguments)} failed: {said}")
        return done.stdout

    def env(self) -> dict[str, str]:
        """The environment that keeps the broker and its tools inside its own folder and ports."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ_")}
        return inherited | {
            "HOME": str(self.folder.absolute()),  # where Erlang keeps its cookie
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": _NODE,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CONFIG_FILE": str(self._settings.absolute()),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._plugins.absolute()),
            "RABBITMQ_MNESIA_BASE": str((self.folder / "data").absolute()),
            "RABBITMQ_LOG_BASE": str((self.folder / "log").absolute()),
            "RABBITMQ_PID_FILE": str((self.folder / "pid").absolute()),
            # The start script then becomes the broker instead of waiting for it, so a signal meets the right process.
            "detached": "1",
        }

    @property
    def _settings(self) -> Path:
        return self.folder / "rabbitmq.conf"

    @property
    def _plugins(self) -> Path:
        return self.folder / "enabled_plugins"

    def _prepare(self) -> None:
        address = parse(self.url)
        (self.folder / "log").mkdir(mode=0o700, parents=True, exist_ok=True)
        self._plugins.write_text("[].\n")
        self._settings.touch(mode=0o600)
        self._settings.write_text(
            "# Taken at the first start only, while there is no data.\n"
            f"default_user = {address.user or 'guest'}\n"
            f"default_pass = {address.password or 'guest'}\n"
            f"default_vhost = {address.path or '/'}\n"
            "default_permissions.configure = .*\n"
            "default_permissions.read = .*\n"
            "default_permissions.write = .*\n"
        )

    def _start_epmd(self, log: Path) -> ServerProcess:
        command = [_epmd(), "-address", "127.0.0.1", "-port", str(self.epmd_port)]
        process = ServerProcess.start(command, self.env(), self.folder, log)
        wait_until(lambda: not process.alive() or not port_is_free(self.epmd_port), 10.0)
        return process
