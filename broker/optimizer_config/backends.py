"""One backend from its table, laid over its entry in the catalogue."""

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from optimizer_config.breaker import read_breaker
from optimizer_config.limits import read_limits
from optimizer_config.model import ALIASES, Backend, BreakerSettings
from optimizer_config.reader import Table
from optimizer_wire.urls import masked_url

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_TABLES = (
    "openai",
    "groq",
    "cerebras",
    "mistral",
    "anthropic",
    "together",
    "azure",
    "huggingface",
    "sambanova",
    "replicate",
)
# For backends that the file describes under names of its own.
_HEADERS_BY_HOST = {
    "api.openai.com": "openai",
    "api.groq.com": "groq",
    "api.cerebras.ai": "cerebras",
    "api.mistral.ai": "mistral",
    "api.anthropic.com": "anthropic",
    "api.together.xyz": "together",
    "openai.azure.com": "azure",
    "router.huggingface.co": "huggingface",
    "api.sambanova.ai": "sambanova",
}
_KEYS = ("api_key", "key", "token", "secret", "password")


_LONGEST_CALL_S = 600.0


def read_backend(owner: Table, written: str, base: Backend | None, breaker: BreakerSettings) -> Backend:
    """The backend at a key of `[backends]`. What it does not say is taken from `base`; of its breaker from `breaker`.

    If it writes rate limits, these replace those of `base` as a whole; the concurrency is a matter of its own.

    :raises ConfigError: naming the place.
    """
    name = ALIASES.get(written, written)
    if not _NAME.fullmatch(name):
        owner.fail(written, "must consist of letters, digits, _ and -.")
    table = owner.table(written)
    refuse_key(table)
    limits, concurrency = read_limits(table, "limits")
    fields: dict[str, Any] = {
        "display": table.text("display"),
        "api": table.choice("api", ("openai", "anthropic")),
        "base_url": _base_url(table),
        "models": table.texts("models"),
        "limits": limits or None,
        "concurrency": table.whole("concurrency") or concurrency,
        "api_key_env": _variable(table),
        "api_key_file": _path(table),
        "kind": table.choice("kind", ("free", "paid", "local")),
        "timeout_s": _timeout_s(table),
        "prices": table.text("genai_prices"),
        "headers": _headers(table) or None,
        "max_workers": table.whole("max_workers"),
        "breaker": read_breaker(table, breaker),
        "counts_max_tokens": table.flag("counts_max_tokens"),
    }
    given = {field: value for field, value in fields.items() if value is not None}
    given |= _max_share(table) | _ratelimit_headers(table)
    table.finish()
    return msgspec.structs.replace(base, **given) if base else _new(table, name, given)


def _timeout_s(table: Table) -> float | None:
    timeout_s = table.seconds("timeout_s", least=0.1)
    if timeout_s is not None and timeout_s > _LONGEST_CALL_S:
        why = "RabbitMQ lets nobody keep a message for more than 30 minutes, of which it may wait for 15"
        table.fail("timeout_s", f"must be at most {_LONGEST_CALL_S:g} seconds ({why}), got {timeout_s:g}.")
    return timeout_s


def _new(table: Table, name: str, given: dict[str, Any]) -> Backend:
    """A backend that the catalogue does not know must say where it is and what it serves."""
    for key, example in (("base_url", '"http://127.0.0.1:8000/v1"'), ("models", '["some-model"]')):
        if key not in given:
            table.fail(key, f"is missing; a backend outside the catalogue needs it, for example {key} = {example}.")
    host = urlsplit(given["base_url"]).hostname or ""
    kind = "local" if _is_here(host) else "paid"
    headers = "anthropic" if given.get("api") == "anthropic" else _headers_of(host)
    return Backend(**{"name": name, "api": "openai", "kind": kind, "ratelimit_headers": headers, **given})


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _headers_of(host: str) -> str | None:
    """The table for a provider's own host, or one below it (each Azure resource has a host of its own)."""
    known = (table for name, table in _HEADERS_BY_HOST.items() if f".{host}".endswith(f".{name}"))
    return next(known, None)


def _max_share(table: Table) -> dict[str, float | None]:
    """1 is no limit; it takes one away that the backend would have otherwise."""
    share = table.share("max_share")
    if share == 0:
        table.fail("max_share", "must be above 0; a backend that is to get nothing is left out of the routes.")
    return {} if share is None else {"max_share": share if share < 1 else None}


def _ratelimit_headers(table: Table) -> dict[str, str | None]:
    word = table.choice("ratelimit_headers", (*_HEADER_TABLES, "none"))
    return {} if word is None else {"ratelimit_headers": None if word == "none" else word}


def refuse_key(table: Table) -> None:
    """A key in a file that is shown, shared and committed is a leak: say where it belongs instead."""
    for word in _KEYS:
        if table.has(word):
            table.fail(word, "does not belong into this file; name where the key is: api_key_env or api_key_file.")


def _base_url(table: Table) -> str | None:
    url = table.text("base_url")
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        table.fail("base_url", f'must be a URL that begins with http:// or https://, got "{masked_url(url)}".')
    if parts.username or parts.password or parts.query or parts.fragment:
        table.fail("base_url", "must hold neither a user nor a password nor a query.")
    return url.rstrip("/")


def _variable(table: Table) -> str | None:
    name = table.text("api_key_env")
    if name is not None and not _VARIABLE.fullmatch(name):
        table.fail("api_key_env", "must be the name of an environment variable, not the key itself.")
    return name


def _path(table: Table) -> str | None:
    path = table.text("api_key_file")
    return None if path is None else relative_to(table.file, path)


def relative_to(file: str, path: str) -> str:
    """A path written in a configuration file, relative to that file's folder."""
    return str(Path(file).parent / Path(path).expanduser())


def _headers(table: Table) -> dict[str, str]:
    headers = table.table("headers")
    found = {}
    for name in headers.unread():
        value = headers.take(name)
        if not _HEADER.fullmatch(name) or not isinstance(value, str) or not value.isprintable():
            headers.fail(name, "must be a header name with text of one line.")
        found[name] = value
    return found
