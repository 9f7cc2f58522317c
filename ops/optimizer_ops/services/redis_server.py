"""A Redis of our own on this machine, from the installed program."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from optimizer_ops.services.probe import redis_problem
from optimizer_ops.services.processes import ServerProcess, wait_until
from optimizer_ops.services.urls import ServicesUnavailable, parse, with_port

_START_S = 20.0


def installed() -> bool:
    """Whether a Redis server can be started here."""
    return program() is not None


def program() -> str | None:
    """The path of redis-server, looked for also where a user's PATH often does not lead."""
    return shutil.which("redis-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/bin:/opt/homebrew/bin")


@dataclass(frozen=True, slots=True)
class RedisInstance:
    """One private Redis: its data, settings and log live in `folder`, and it listens on one port of 127.0.0.1 only."""

    folder: Path
    port: int
    url: str

    @classmethod
    def like(cls, url: str, folder: Path, port: int) -> "RedisInstance":
        """One that answers like `url` (password and database), on `port`."""
        return cls(folder, port, with_port(url, port))

    def start(self) -> list[ServerProcess]:
        """Start it and wait until it answers, at most 20 s; raises `ServicesUnavailable` with what its log says."""
        server = program()
        if server is None:
            raise ServicesUnavailable("redis-server is not installed.")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = self.folder / "redis.conf"
        settings.touch(mode=0o600)
        settings.write_text("\n".join(self.settings()) + "\n")
        log = self.folder / "redis.log"
        process = ServerProcess.start([server, settings], dict(os.environ), self.folder, log)
        if not wait_until(lambda: not process.alive() or redis_problem(self.url) is None, _START_S) or (
            not process.alive()
        ):
            process.end(1.0)
            raise ServicesUnavailable(f"redis-server did not come up on port {self.port}; see {log}.")
        return [process]

    def settings(self) -> list[str]:
        """The lines of its configuration."""
        address = parse(self.url)
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"dir {self.folder.absolute()}",
            "daemonize no",
            # Budgets and flights survive a restart, at most the last second is lost.
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            # Only answers have a time to live, so only they can ever be evicted.
            "maxmemory 512mb",
            "maxmemory-policy volatile-lfu",
        ]
        if address.user:
            lines.append(f"user {address.user} on >{address.password} ~* &* +@all")
        elif address.password:
            lines.append(f'requirepass "{address.password}"')
        return lines
