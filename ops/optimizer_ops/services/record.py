"""What was started here: kept in one file, so that it is found again, not started twice, and ended by `stop`."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from optimizer_ops.services.processes import ServerProcess

_CHECKOUT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class Started:
    """A service that was started here."""

    way: str
    """`docker` or `private`."""
    url: str
    processes: list[ServerProcess] = field(default_factory=list)


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where services started here live: `OPTIMIZER_SERVICES_DIR`, `.run/services` of a checkout, the user's folder."""
    if chosen := environ.get("OPTIMIZER_SERVICES_DIR"):
        return Path(chosen)
    if (_CHECKOUT / "pyproject.toml").is_file() and os.access(_CHECKOUT, os.W_OK):
        return _CHECKOUT / ".run" / "services"
    base = environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "optimizer" / "services"


class Record:
    """The file of what was started, by the service's key (`rabbitmq`, `redis`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "started.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from starting or stopping at the same time; waits for them."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def read(self) -> dict[str, Started]:
        """All that was started and not stopped since; empty if the file is missing or not ours to understand."""
        try:
            entries = json.loads(self._file.read_text())
            return {
                key: Started(entry["way"], entry["url"], [ServerProcess(**process) for process in entry["processes"]])
                for key, entry in entries.items()
            }
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}

    def write(self, entries: Mapping[str, Started]) -> None:
        """Replace the record; it holds URLs with passwords, so only its owner may read it."""
        beside = self._file.with_suffix(".new")
        beside.touch(mode=0o600)
        beside.write_text(json.dumps({key: asdict(entry) for key, entry in entries.items()}, indent=2) + "\n")
        beside.replace(self._file)

    def add(self, key: str, entry: Started) -> None:
        """Note one more service."""
        self.write(self.read() | {key: entry})

    def remove(self, key: str) -> None:
        """Forget one."""
        self.write({other: entry for other, entry in self.read().items() if other != key})
