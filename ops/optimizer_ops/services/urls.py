"""Where RabbitMQ and Redis are: the two URLs, their parts, and what may be started for them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit, urlunsplit

from optimizer_wire.tls import TlsFiles, with_tls
from optimizer_wire.urls import masked_url

AMQP_VARIABLE = "OPTIMIZER_AMQP_URL"
REDIS_VARIABLE = "OPTIMIZER_REDIS_URL"
DEFAULT_AMQP_URL = "amqp://guest:guest@127.0.0.1:5672/"
DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class ServicesUnavailable(Exception):
    """RabbitMQ or Redis is missing and could not be started; the message says what to do."""


@dataclass(frozen=True, slots=True)
class ServiceUrls:
    """The URLs of the broker and of Redis, in full: they may hold passwords."""

    amqp_url: str
    redis_url: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> "ServiceUrls":
        """What the environment asks for, else the usual ports on this machine.

        :raises ServicesUnavailable: if it names a file for TLS that cannot be read.
        """
        files = TlsFiles.from_environment(environ)
        try:
            return cls(
                amqp_url=with_tls(environ.get(AMQP_VARIABLE) or DEFAULT_AMQP_URL, files),
                redis_url=with_tls(environ.get(REDIS_VARIABLE) or DEFAULT_REDIS_URL, files),
            )
        except ValueError as error:
            raise ServicesUnavailable(f"{error}.") from None


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of a service's URL."""

    scheme: str
    host: str
    port: int
    user: str
    password: str
    path: str
    """Without its leading slash, unquoted: the virtual host or the number of the database."""

    @property
    def on_this_machine(self) -> bool:
        """Whether a server started here could answer it."""
        return self.host in _LOOPBACK

    @property
    def plain(self) -> bool:
        """Whether it asks for neither TLS nor a Unix socket."""
        return self.scheme in {"amqp", "redis"}


def parse(url: str) -> Address:
    """Take a service's URL apart; raises `ServicesUnavailable` if it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ServicesUnavailable(f"{masked_url(url)} is not a URL: {error}.") from None
    defaults = {"amqp": 5672, "amqps": 5671, "redis": 6379, "rediss": 6379}
    if parts.scheme not in defaults:
        known = ", ".join(f"{scheme}://" for scheme in defaults)
        raise ServicesUnavailable(f"The URL {masked_url(url)} must begin with one of {known}.")
    return Address(
        scheme=parts.scheme,
        host=parts.hostname or "127.0.0.1",
        port=port or defaults[parts.scheme],
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        path=unquote(parts.path.removeprefix("/")),
    )


def with_port(url: str, port: int) -> str:
    """The same URL on another port of 127.0.0.1."""
    parts = urlsplit(url)
    login, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{port}"))


def shown(url: str) -> str:
    """The URL for people: in full with the well-known login of a fresh broker, else without its password."""
    return url if parse(url).password in {"", "guest"} else masked_url(url)
