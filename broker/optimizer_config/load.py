"""Finding and reading the configuration: optimizer.toml, the environment over it, the catalogue below it."""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from optimizer_config.alerts import read_alerts
from optimizer_config.backends import read_backend, refuse_key, relative_to
from optimizer_config.breaker import read_breaker, read_retries
from optimizer_config.catalogue import catalogue
from optimizer_config.credentials import credential, read_secret_file
from optimizer_config.errors import ConfigError
from optimizer_config.history import default_history_url, history_from_environment, read_history
from optimizer_config.model import ALIASES, DEFAULT_TTL_S, Backend, BreakerSettings, CacheSettings, Config, Waits
from optimizer_config.quotas import read_quotas
from optimizer_config.reader import Table
from optimizer_config.routes import backends_of, read_models, read_routes, warnings_about
from optimizer_config.tracing import TracingSettings, read_tracing, with_environment
from optimizer_config.users import read_tenants, read_users
from optimizer_wire.tls import TlsFiles, with_tls
from optimizer_wire.urls import masked_url

SYSTEM_FILE = "/etc/optimizer/optimizer.toml"
LOG_LEVELS = ("debug", "info", "warning", "error")
SCHEMES = {"amqp_url": ("amqp", "amqps"), "redis_url": ("redis", "rediss", "unix")}
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
# With the longest call (`timeout_s` of a backend) it stays below the 30 minutes after which RabbitMQ ends a consumer.
_LONGEST_HOLD_S = 900.0
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_MAX_TTL_S = 366 * 24 * 3600.0


def load(path: str | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration: built-in catalogue, then the file, then the environment.

    The file is `path`, else `$OPTIMIZER_CONFIG`, else the first that exists of
    `$XDG_CONFIG_HOME/optimizer/optimizer.toml` and `/etc/optimizer/optimizer.toml`; none at all is fine.

    :raises ConfigError: if a file that was named does not exist, or anything in it or in the environment is wrong.
    """
    environ = os.environ if environ is None else environ
    file = _find(path, environ)
    root = Table(_parse(file) if file else {}, file or "optimizer.toml")
    tls = _tls(root)
    fields = _from_file(root)
    if file:
        fields["path"] = file
    fields |= _from_environment(environ)
    fields.setdefault("history_url", default_history_url(environ))
    fields["tracing"] = with_environment(fields.get("tracing", TracingSettings()), environ)
    return _with_tls(Config(**fields), TlsFiles.from_environment(environ).over(tls))


def _tls(root: Table) -> TlsFiles:
    table = root.table("tls")
    written = (table.text(key) for key in ("ca_file", "cert_file", "key_file"))
    files = TlsFiles(*(path and relative_to(root.file, path) for path in written))
    table.finish()
    return files


def _with_tls(config: Config, files: TlsFiles) -> Config:
    """The configuration with the TLS files in its URLs; a warning where a URL is for plain text over a network."""
    try:
        urls = {key: with_tls(getattr(config, key), files) for key in SCHEMES}
    except ValueError as error:
        raise ConfigError(f"tls: {error}.") from None
    plain = tuple(
        f"{key} ({masked_url(url)}) is not encrypted, although [tls] or OPTIMIZER_TLS_… names files for it; "
        f"write {SCHEMES[key][1]}:// instead."
        for key, url in urls.items()
        if files != TlsFiles() and url.startswith(f"{SCHEMES[key][0]}://") and urlsplit(url).hostname not in _LOOPBACK
    )
    return msgspec.structs.replace(config, **urls, warnings=(*config.warnings, *plain))


def _find(path: str | None, environ: Mapping[str, str]) -> str | None:
    if named := path or environ.get("OPTIMIZER_CONFIG"):
        if not Path(named).expanduser().is_file():
            origin = "" if path else "OPTIMIZER_CONFIG: "
            raise ConfigError(f"{origin}The configuration file {named} does not exist.")
        return str(Path(named).expanduser())
    folder = environ.get("XDG_CONFIG_HOME", "")
    home = Path(folder) if Path(folder).is_absolute() else Path(environ.get("HOME") or Path.home()) / ".config"
    found = (str(file) for file in (home / "optimizer/optimizer.toml", Path(SYSTEM_FILE)) if file.is_file())
    return next(found, None)


def _parse(file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: this is not valid TOML: {error}.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: this is not UTF-8 text (at byte {error.start}).") from None
    except OSError as error:
        raise ConfigError(f"{file}: the file cannot be read: {error.strerror}.") from None


def _from_file(root: Table) -> dict[str, Any]:
    refuse_key(root)
    backends, written = _backends(root)
    routes, models = read_routes(root, backends), read_models(root, backends)
    prices = root.text("prices_file")
    fields: dict[str, Any] = {
        "amqp_url": _url(root, "amqp_url"),
        "redis_url": _url(root, "redis_url"),
        "prefix": checked_prefix(root.text("prefix"), f"{root.file}: prefix"),
        "log_level": root.choice("log_level", LOG_LEVELS),
        "prices_file": prices and relative_to(root.file, prices),
        "cache": _cache(root),
        "waits": _waits(root),
        "users": read_users(root, backends),
        "tenants": read_tenants(root),
        "quotas": read_quotas(root),
        "retries": read_retries(root),
        "keep_dead_s": _keep_dead_s(root),
        "alerts": read_alerts(root),
        "tracing": read_tracing(root),
        **read_history(root),
    }
    root.finish()
    return {name: value for name, value in fields.items() if value is not None} | {
        "backends": backends,
        "configured": frozenset(written | backends_of(routes)),
        "routes": routes,
        "models": models,
        "warnings": warnings_about({"routes": routes, "models": models}, backends, root.file),
    }


def _backends(root: Table) -> tuple[dict[str, Backend], set[str]]:
    breaker = read_breaker(root, BreakerSettings())
    table = root.table("backends")
    backends = {name: msgspec.structs.replace(each, breaker=breaker) for name, each in catalogue().items()}
    written: set[str] = set()
    for key in table.unread():
        name = ALIASES.get(key, key)
        if name in written:
            table.fail(key, f"describes the backend {name} a second time.")
        written.add(name)
        backends[name] = read_backend(table, key, backends.get(name), breaker)
    return backends, written


def _url(root: Table, key: str) -> str | None:
    """A URL, or the content of the file that `<key>_file` names, because a URL holds a password."""
    url, file = root.text(key), root.text(f"{key}_file")
    if url and file:
        root.fail(key, f"and {key}_file are both written; keep one of them.")
    if file:
        url = read_secret_file(relative_to(root.file, file), f"{root.file}: {key}_file")
    return checked_url(url, key, f"{root.file}: {key}")


def checked_url(url: str | None, key: str, place: str) -> str | None:
    """The URL if it is usable as `amqp_url` or `redis_url`.

    :raises ConfigError: naming the place, with the password masked.
    """
    if url is None:
        return None
    schemes = SCHEMES[key]
    if not url.startswith(tuple(f"{scheme}://" for scheme in schemes)) or masked_url(url) == "(not a URL)":
        words = " or ".join(f"{scheme}://" for scheme in schemes)
        raise ConfigError(f'{place} must be a URL that begins with {words}, got "{masked_url(url)}".')
    try:
        url = with_tls(url, TlsFiles())
    except ValueError as error:
        raise ConfigError(f"{place}: {error}.") from None
    if key == "redis_url" and "?" in url and (problem := _redis_problem(url)):
        raise ConfigError(f"{place}: the options after the ? of {masked_url(url)} cannot be used: {problem}.")
    return url


def _redis_problem(url: str) -> str | None:
    """Why no connection could be made with the options of a URL, without their values; None if one could."""
    from redis.asyncio.connection import Connection, parse_url  # only who writes options pays for it

    try:
        options: dict[str, Any] = {**parse_url(url)}
        options.pop("connection_class", Connection)(**options)
    except (TypeError, ValueError) as error:
        return str(error).rpartition("() ")[2].rstrip(".")
    return None


def checked_prefix(prefix: str | None, place: str) -> str | None:
    """The prefix if RabbitMQ and Redis can use it in their names.

    :raises ConfigError: naming the place.
    """
    if prefix is not None and not _PREFIX.fullmatch(prefix):
        raise ConfigError(f'{place} must consist of at most 64 letters, digits, ".", "_" and "-", got "{prefix}".')
    return prefix


def _cache(root: Table) -> CacheSettings:
    table = root.table("cache")
    ttls = table.table("ttl_s")
    given = {task: ttl for task in (*DEFAULT_TTL_S, "long", "general") if (ttl := ttls.seconds(task)) is not None}
    for task, ttl in given.items():
        if ttl > _MAX_TTL_S:
            ttls.fail(task, f"must be at most {_MAX_TTL_S:.0f} seconds (366 days), got {ttl:.0f}.")
    ttls.finish()
    table.finish()
    return CacheSettings({**DEFAULT_TTL_S, **given})


def _waits(root: Table) -> Waits:
    table = root.table("waits")
    given: dict[str, Any] = {}
    if (drain_s := table.seconds("drain_s")) is not None:
        given["drain_s"] = drain_s
    for key, least_s, most_s in (("hold_s", 1.0, _LONGEST_HOLD_S), ("self_check_s", 0.1, 300.0)):
        if (seconds := table.seconds(key, least=least_s)) is not None:
            if seconds > most_s:
                table.fail(key, f"must be at most {most_s:g} seconds, got {seconds:g}.")
            given[key] = seconds
    if (pauses := table.take("retry_s")) is not None:
        if not isinstance(pauses, list):
            table.fail("retry_s", "must be a list of seconds, for example [1, 2, 4].")
        given["retry_s"] = tuple(table.as_seconds("retry_s", pause) for pause in pauses)
    table.finish()
    return Waits(**given)


def _keep_dead_s(root: Table) -> float | None:
    table = root.table("dead_letters")
    keep_s = table.seconds("keep_s")
    if keep_s is not None and not 60 <= keep_s <= _MAX_TTL_S:
        table.fail("keep_s", f"must be between 60 and {_MAX_TTL_S:.0f} seconds (366 days), got {keep_s:g}.")
    table.finish()
    return keep_s


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key in SCHEMES:
        name = f"OPTIMIZER_{key.upper()}"
        url, file = environ.get(name), environ.get(f"{name}_FILE")
        if url and file:
            raise ConfigError(f"{name} and {name}_FILE are both set; keep one of them.")
        found = read_secret_file(file, f"{name}_FILE") if file else url or credential(key, environ)
        fields[key] = checked_url(found, key, name)
    fields["history_url"] = history_from_environment(environ)
    fields["prefix"] = checked_prefix(environ.get("OPTIMIZER_PREFIX") or None, "OPTIMIZER_PREFIX")
    fields["prices_file"] = environ.get("OPTIMIZER_PRICES_FILE") or None
    level = (environ.get("OPTIMIZER_LOG_LEVEL") or "").lower() or None
    fields["log_level"] = Table({"OPTIMIZER_LOG_LEVEL": level}, "environment").choice("OPTIMIZER_LOG_LEVEL", LOG_LEVELS)
    return {name: value for name, value in fields.items() if value is not None}
