"""The keys of backends: whether they are there, never what they are."""

from pathlib import Path

from optimizer_config.credentials import api_key
from optimizer_config.errors import ConfigError
from optimizer_config.model import Backend, Config
from optimizer_ops.doctor.finding import Area, Finding
from optimizer_ops.live.status import LiveStatus

_OTHERS = 0o007


def examine(config: Config, live: LiveStatus) -> list[Finding]:
    """What is found of the keys of all backends that are configured or served."""
    area = Area("keys")
    served = {backend.name for backend in live.backends if backend.workers}
    for status in live.backends:
        _key(area, config.backends[status.name], served=status.name in served)
    return area.findings


def _key(area: Area, backend: Backend, *, served: bool) -> None:
    name = backend.name
    if backend.kind == "local" and not backend.api_key_env and not backend.api_key_file:
        area.ok(f"{name} needs no key.")
        return
    try:
        found = api_key(backend)
    except ConfigError as error:
        area.failed(f"{name}: {error}", "Correct the file or variable that holds the key.")
        return
    if found is None:
        _missing(area, backend, served=served)
    elif backend.api_key_file and _open_to_all(backend.api_key_file):
        area.warning(
            f"{name}: everybody on this machine can read {backend.api_key_file}.", f"chmod 600 {backend.api_key_file}"
        )
    else:
        area.ok(f"{name} has a key.")


def _missing(area: Area, backend: Backend, *, served: bool) -> None:
    where = backend.api_key_env or backend.api_key_file or "a systemd credential"
    if served:
        # Under systemd each worker has its own.
        area.ok(f"{backend.name} has no key in this environment ({where}), but a worker runs.")
        return
    do = f"Set {where} where its workers run, or take {backend.name} out of the configuration."
    if backend.kind == "local":
        area.warning(f"{backend.name} has no key here ({where}); perhaps it needs none.", do)
    else:
        area.failed(f"{backend.name} has no key here ({where}).", do)


def _open_to_all(path: str) -> bool:
    try:
        return bool(Path(path).stat().st_mode & _OTHERS)
    except OSError:
        return False
