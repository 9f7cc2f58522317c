"""Where each value of the configuration comes from. Pure: the environment is passed in."""

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from optimizer_config.catalogue import catalogue
from optimizer_config.model import ALIASES
from optimizer_ops.config.lines import Path

_VARIABLES = {
    ("amqp_url",): "OPTIMIZER_AMQP_URL",
    ("redis_url",): "OPTIMIZER_REDIS_URL",
    ("history", "url"): "OPTIMIZER_HISTORY_URL",
    ("prefix",): "OPTIMIZER_PREFIX",
    ("log_level",): "OPTIMIZER_LOG_LEVEL",
    ("prices_file",): "OPTIMIZER_PRICES_FILE",
    ("tls", "ca_file"): "OPTIMIZER_TLS_CA_FILE",
    ("tls", "cert_file"): "OPTIMIZER_TLS_CERT_FILE",
    ("tls", "key_file"): "OPTIMIZER_TLS_KEY_FILE",
}
# What a process may also be given as a systemd credential, by its name.
_CREDENTIALS = {("amqp_url",): "amqp_url", ("redis_url",): "redis_url", ("history", "url"): "history_url"}


class Origins:
    """Says of each key where its value comes from: a variable, a line of the file, the catalogue, or the default."""

    def __init__(self, file: str | None, lines: Mapping[Path, int], environ: Mapping[str, str]) -> None:
        self._file = FilePath(file).name if file else ""
        self._lines = lines
        self._environ = environ

    def of(self, path: Path, value: Any) -> str:
        """`environment OPTIMIZER_PREFIX`, `optimizer.toml:12`, `catalogue` or `default`."""
        return self._variable(path) or self._line(path) or self._built_in(path, value)

    def _variable(self, path: Path) -> str:
        name = _VARIABLES.get(path)
        for variable in (name, f"{name}_FILE") if name else ():
            if self._environ.get(variable):
                return f"environment {variable}"
        credential, folder = _CREDENTIALS.get(path), self._environ.get("CREDENTIALS_DIRECTORY")
        if credential and folder and (FilePath(folder) / credential).is_file():
            return f"systemd credential {credential}"
        return ""

    def _line(self, path: Path) -> str:
        line = next((self._lines[each] for each in self._written_as(path) if each in self._lines), None)
        return "" if line is None else f"{self._file}:{line}"

    def _written_as(self, path: Path) -> list[Path]:
        """The places in the file that decide about a key."""
        places = [path, (*path[:-1], f"{path[-1]}_file")]
        if path[0] == "backends":
            names = [path[1], *(alias for alias, name in ALIASES.items() if name == path[1])]
            places = [("backends", name, *path[2:]) for name in names]
            if path[2] == "concurrency":
                places += [("backends", name, "limits", "concurrency") for name in names]
            if path[2] == "breaker":
                places.append(path[2:])
        return places

    def _built_in(self, path: Path, value: Any) -> str:
        if path[0] == "backends" and path[1] in catalogue() and path[2] != "breaker":
            backend = catalogue()[path[1]]
            limits = backend.limits if path[2] == "limits" and value else ()
            said = {f", {limit.source}, {limit.as_of}" for limit in limits if limit.source}
            return f"catalogue{said.pop() if len(said) == 1 else ''}"
        return "default"
