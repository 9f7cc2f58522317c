"""Who is told of alerts, as people write it: `[[alerts.sinks]]`."""

import re
from collections.abc import Callable
from typing import Any, NoReturn
from urllib.parse import urlsplit

from optimizer_config.alert_settings import (
    SEVERITIES,
    AnySink,
    CommandSink,
    DesktopSink,
    EmailSink,
    Kept,
    WebhookSink,
    masked_place,
)
from optimizer_config.backends import relative_to
from optimizer_config.reader import Table, shown

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")
_PORTS = {"starttls": 587, "tls": 465, "none": 25}
# Kept for what is told as an event, which is no sink that anybody writes.
RESERVED = "event"
_LONGEST_S = 120.0


def read_sinks(alerts: Table) -> tuple[AnySink, ...]:
    """`[[alerts.sinks]]`.

    :raises ConfigError: naming the place.
    """
    value = alerts.take("sinks")
    if value is None:
        return ()
    if not isinstance(value, list):
        alerts.fail("sinks", f"must be a list of tables, each written under [[alerts.sinks]], got {shown(value)}.")
    sinks: list[AnySink] = []
    for number, entry in enumerate(value, 1):
        sink = _sink(alerts.as_table(f"sinks[{number}]", entry))
        if any(sink.name == other.name for other in sinks):
            alerts.fail("sinks", f'has two sinks called "{sink.name}"; give one of them another name.')
        sinks.append(sink)
    return tuple(sinks)


def _sink(table: Table) -> AnySink:
    kind = table.choice("kind", tuple(_KINDS))
    if kind is None:
        table.fail("kind", f"is missing; it is one of {', '.join(_KINDS)}.")
    name = table.text("name") or kind
    if not _NAME.fullmatch(name) or name == RESERVED:
        table.fail("name", f'must consist of letters, digits, _ and -, and not be "{RESERVED}", got {shown(name)}.')
    common: dict[str, Any] = {
        "name": name,
        "least": table.choice("least", SEVERITIES),
        "timeout_s": table.seconds("timeout_s", least=0.1),
    }
    if (common["timeout_s"] or 0) > _LONGEST_S:
        table.fail("timeout_s", f"must be at most {_LONGEST_S:g} seconds, got {common['timeout_s']:g}.")
    sink = _KINDS[kind](table, {key: value for key, value in common.items() if value is not None})
    table.finish()
    return sink


def _webhook(table: Table, common: dict[str, Any]) -> AnySink:
    url = _kept(table, common["name"], "url", written=table.text("url"))
    if url.text is not None:
        checked_webhook_url(url.text, lambda sentence: table.fail("url", sentence))
    header = table.text("header")
    if header is not None and not _HEADER.fullmatch(header):
        table.fail("header", f"must be the name of an HTTP header, got {shown(header)}.")
    _refuse_written(table, "secret")
    return WebhookSink(
        **common,
        url=url,
        secret=_kept(table, common["name"], "secret"),
        header=header or "Authorization",
        slack=table.choice("format", ("json", "slack")) == "slack",
        ca_file=_path(table, "ca_file"),
    )


def checked_webhook_url(url: str, fail: Callable[[str], NoReturn]) -> str:
    """The URL if a webhook can be called by it; `fail` is given a sentence that shows no secret of it."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or any(not character.isprintable() or character == " " for character in url):
        fail(f'must be a URL that begins with http:// or https://, got "{masked_place(url)}".')
    return url


def _email(table: Table, common: dict[str, Any]) -> AnySink:
    security = table.choice("security", tuple(_PORTS)) or "starttls"
    _refuse_written(table, "password")
    port = table.whole("port") or _PORTS[security]
    if port > 65_535:
        table.fail("port", f"must be at most 65535, got {port}.")
    return EmailSink(
        **common,
        host=_needed(table, "host"),
        port=port,
        security=security,  # type: ignore[arg-type]
        sender=_address(table, "from", _needed(table, "from")),
        to=tuple(_address(table, "to", each) for each in table.texts("to") or _missing(table, "to")),
        user=table.text("user"),
        password=_kept(table, common["name"], "password"),
        ca_file=_path(table, "ca_file"),
    )


def _desktop(_: Table, common: dict[str, Any]) -> AnySink:
    return DesktopSink(**common)


def _command(table: Table, common: dict[str, Any]) -> AnySink:
    argv = table.take("argv")
    if not isinstance(argv, list) or not argv or not all(isinstance(word, str) and word for word in argv):
        table.fail("argv", 'must be a program and its arguments, for example ["/usr/local/bin/page", "--now"].')
    return CommandSink(**common, argv=tuple(argv))


_KINDS: dict[str, Callable[[Table, dict[str, Any]], AnySink]] = {
    "webhook": _webhook,
    "email": _email,
    "desktop": _desktop,
    "command": _command,
}


def _kept(table: Table, sink: str, key: str, written: str | None = None) -> Kept:
    file, env = _path(table, f"{key}_file"), table.text(f"{key}_env")
    if sum(each is not None for each in (written, file, env)) > 1:
        table.fail(f"{key}_file" if file else f"{key}_env", f"and another place of {key} are both written; keep one.")
    return Kept(f"alerts_{sink}_{key}", written, env, file)


def _refuse_written(table: Table, key: str) -> None:
    if table.has(key):
        table.fail(key, f"is a secret: write {key}_file or {key}_env, which say where it is.")


def _path(table: Table, key: str) -> str | None:
    path = table.text(key)
    return path and relative_to(table.file, path)


def _needed(table: Table, key: str) -> str:
    return table.text(key) or _missing(table, key)


def _missing(table: Table, key: str) -> NoReturn:
    table.fail(key, "is missing.")


def _address(table: Table, key: str, text: str) -> str:
    if not _ADDRESS.fullmatch(text) or not text.isprintable():
        table.fail(key, f"must be a mail address, for example optimizer@example.org, got {shown(text)}.")
    return text
