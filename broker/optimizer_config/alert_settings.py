"""What is watched, and who is told, as the recorder sees it. Durations are seconds, money millionths of a US dollar."""

from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

AlertSeverity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[AlertSeverity, ...] = ("info", "warning", "critical")
Security = Literal["starttls", "tls", "none"]
Spender = Literal["fleet", "tenant", "agent", "backend"]
SPENDERS: tuple[Spender, ...] = ("fleet", "tenant", "agent", "backend")
_MASK = "***"


class Kept(msgspec.Struct, frozen=True):
    """Where a secret is: written out, in a variable or a file, else the systemd credential of this name."""

    credential: str
    text: str | None = None
    env: str | None = None
    file: str | None = None

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("text", self.text and _MASK), ("env", self.env), ("file", self.file), ("credential", self.credential)]

    def __repr__(self) -> str:
        return f"Kept({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__() if value)})"


class Sink(msgspec.Struct, frozen=True, kw_only=True):
    """A way to tell people. It is told what is at least as severe as `least`; `timeout_s` is for one attempt."""

    name: str
    least: AlertSeverity = "info"
    timeout_s: float = 10.0


class WebhookSink(Sink, frozen=True, kw_only=True, tag="webhook"):
    """POSTs JSON: with `slack` one `text`, else all that is known beside it.

    `secret`, if there is one, travels in `header`; `ca_file` is an authority of one's own.
    """

    url: Kept
    secret: Kept
    header: str = "Authorization"
    slack: bool = False
    ca_file: str | None = None


class EmailSink(Sink, frozen=True, kw_only=True, tag="email"):
    """Sends mail over SMTP; logs in if there is a `user`."""

    host: str
    port: int
    security: Security
    sender: str
    to: tuple[str, ...]
    password: Kept
    user: str | None = None
    ca_file: str | None = None


class DesktopSink(Sink, frozen=True, kw_only=True, tag="desktop"):
    """Shows a notification on the desktop of whoever runs the recorder."""


class CommandSink(Sink, frozen=True, kw_only=True, tag="command"):
    """Runs a program with the message as JSON on its standard input."""

    argv: tuple[str, ...]


AnySink = WebhookSink | EmailSink | DesktopSink | CommandSink


class Quiet(msgspec.Struct, frozen=True):
    """From one minute of the day to another, in a time zone, only what is critical is told at once."""

    start_minute: int
    end_minute: int
    zone: str


class SpendBudget(msgspec.Struct, frozen=True):
    """What may be spent in a calendar day or month (UTC). Without a `name` it is for each tenant, agent or backend."""

    spender: Spender
    every: Literal["day", "month"]
    micro_usd: int
    name: str = ""


class AlertSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[alerts]`.

    The fleet is judged by the requests that ended in the last `window_s`, if there were `least_requests` of them: the
    share that was served must be `success_rate` (a common SLO is 99 %; 0 is off), 95 % of the answers must take at most
    `p95_ms`, and the share without a call of their own must be `hit_rate` (both off unless written). `throttled` is how
    often a backend may refuse calls for their rate in `throttled_s`.

    An alert is raised when something was wrong for `for_s`, cleared when it was well for `clear_s`, and told again
    every `repeat_s` (0: never).
    """

    success_rate: float = 0.99
    p95_ms: float | None = None
    hit_rate: float | None = None
    window_s: float = 300.0
    least_requests: int = 20
    throttled: int = 10
    throttled_s: float = 300.0
    for_s: float = 60.0
    clear_s: float = 300.0
    repeat_s: float = 4 * 3600.0
    quiet: Quiet | None = None
    budgets: tuple[SpendBudget, ...] = ()
    sinks: tuple[AnySink, ...] = ()


def masked_place(url: str) -> str:
    """A URL without all that may be secret: scheme and host alone, since chat services write the secret in the path."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(not a URL)"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{_MASK}"
