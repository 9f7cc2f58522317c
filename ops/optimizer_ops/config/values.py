"""The effective configuration in the terms of its file: every key with its value, in an order that TOML can be written
in. Pure.

What has a default comes from the typed configuration, so that it is what holds; what is only ever written (routes,
users, quotas, who is told of alerts) is shown as the file has it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from optimizer_config.alert_settings import masked_place
from optimizer_config.limits import MONEY, SHORTHANDS
from optimizer_config.model import Backend, BreakerSettings, Config, Limit, Reset
from optimizer_ops.config.lines import Path
from optimizer_wire.urls import masked_url

Values = Iterator[tuple[Path, Any]]
MASK = "***"
_MICRO = 1e6
_TOP = ("prefix", "amqp_url", "redis_url", "log_level", "prices_file")
# Sections that are shown by their typed values; of `alerts` the rest is shown as it is written.
_TYPED = frozenset({"backends", "cache", "waits", "breaker", "retries", "dead_letters", "history", "tls", "alerts"})
_WRITTEN_ALERTS = ("quiet", "budgets", "sinks")


def values_of(config: Config, raw: Mapping[str, Any], tls: Mapping[str, str], *, every: bool = False) -> Values:
    """(path, value) of everything; secrets are masked.

    :param raw: what the file says. :param tls: the files of certificates that hold.
    :param every: also the backends of the catalogue that the configuration does not name.
    """
    for key in _TOP:
        given = getattr(config, key)
        if given is not None:
            yield (key,), masked_url(given) if key.endswith("_url") else given
    yield from ((("tls", key), path) for key, path in tls.items())
    yield from ((("cache", "ttl_s", task), ttl) for task, ttl in config.cache.ttl_s.items())
    yield from _struct(("waits",), config.waits)
    yield from _struct(("breaker",), msgspec.structs.replace(BreakerSettings(), **raw.get("breaker", {})))
    yield from _struct(("retries",), config.retries)
    yield ("dead_letters", "keep_s"), config.keep_dead_s
    yield ("history", "url"), masked_url(config.history_url)
    yield ("history", "keep_days"), config.keep_days
    yield ("history", "keep_hourly_days"), config.keep_hourly_days
    yield from ((path, each) for path, each in _struct(("alerts",), config.alerts) if path[1] not in _WRITTEN_ALERTS)
    yield from (
        (("alerts", key), _masked(raw["alerts"][key])) for key in _WRITTEN_ALERTS if key in raw.get("alerts", {})
    )
    for section, given in raw.items():
        if section not in _TYPED and isinstance(given, dict):
            yield from _written((section,), given)
    for backend in config.backends.values():
        if every or backend.name in config.configured:
            yield from _backend(backend)


def _struct(path: Path, struct: msgspec.Struct) -> Values:
    for key in struct.__struct_fields__:
        given = getattr(struct, key)
        if given is not None:
            yield (*path, key), given


def _written(path: Path, table: Mapping[str, Any]) -> Values:
    """Plain values before tables, because a table in TOML goes on until the next one."""
    for key, given in table.items():
        if not isinstance(given, dict):
            yield (*path, key), given
    for key, given in table.items():
        if isinstance(given, dict):
            yield from _written((*path, key), given)


def _masked(given: Any) -> Any:
    """Who is told, without what is secret: chat services write it in the path of a URL."""
    if isinstance(given, list):
        return [_masked(each) for each in given]
    if isinstance(given, dict):
        return {key: masked_place(each) if key == "url" else each for key, each in given.items()}
    return given


def _backend(backend: Backend) -> Values:
    path = ("backends", backend.name)
    plain = {
        "display": backend.display or None,
        "api": backend.api,
        "base_url": backend.base_url,
        "kind": backend.kind,
        "api_key_env": backend.api_key_env,
        "api_key_file": backend.api_key_file,
        "models": backend.models,
        "limits": [limit_of(limit) for limit in backend.limits] or None,
        "concurrency": backend.concurrency,
        "max_share": backend.max_share,
        "max_workers": backend.max_workers,
        "timeout_s": backend.timeout_s,
        "genai_prices": backend.prices,
        "ratelimit_headers": backend.ratelimit_headers or "none",
        "counts_max_tokens": backend.counts_max_tokens,
        "headers": dict.fromkeys(backend.headers, MASK) or None,
    }
    yield from (((*path, key), given) for key, given in plain.items() if given is not None)
    yield from _struct((*path, "breaker"), backend.breaker)


def limit_of(limit: Limit) -> dict[str, Any]:
    """A limit as a table of `limits`, in short where there is a short name."""
    models = {"models": limit.models} if limit.models else {}
    name = limit.name.removesuffix(f"[{','.join(limit.models)}]") if limit.models else limit.name
    if name in MONEY and limit.dimension == "usd":
        return {name: limit.count / _MICRO, **models}
    if SHORTHANDS.get(name) == (limit.dimension, limit.per_s):
        return {name: limit.count, **models, **_reset(limit.reset)}
    count = limit.count / _MICRO if limit.dimension == "usd" else limit.count
    window = {"name": name, "count": count, "per_s": limit.per_s, "dimension": limit.dimension}
    return {**window, **models, **_reset(limit.reset)}


def _reset(reset: Reset | None) -> dict[str, str]:
    if reset is None:
        return {}
    every = "month " if reset.every == "month" else ""
    return {"reset": f"{every}{reset.hour:02}:{reset.minute:02} {reset.zone}"}
