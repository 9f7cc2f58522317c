"""Where the client finds the optimizer: arguments, then the environment, then a local RabbitMQ."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from optimizer_wire.tls import TlsFiles, with_tls
from optimizer_wire.urls import masked_url

DEFAULT_AMQP_URL = "amqp://guest:guest@127.0.0.1:5672/"
DEFAULT_PREFIX = "optimizer"


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """The AMQP URL and the prefix of the deployment."""

    amqp_url: str
    prefix: str

    @classmethod
    def read(cls, environ: Mapping[str, str], *, url: str | None = None, prefix: str | None = None) -> Self:
        """Arguments over `OPTIMIZER_AMQP_URL` (or its file, or the systemd credential `amqp_url`), `OPTIMIZER_PREFIX`.

        An `amqps://` URL is completed by `OPTIMIZER_TLS_CA_FILE`, `OPTIMIZER_TLS_CERT_FILE`, `OPTIMIZER_TLS_KEY_FILE`.

        :raises ValueError: with a sentence without the password, if the URL cannot be used.
        """
        from_file = environ.get("OPTIMIZER_AMQP_URL_FILE") or _credential(environ)
        kept = Path(from_file).read_text().strip() if from_file and not url else None
        found = _checked(url or environ.get("OPTIMIZER_AMQP_URL") or kept or DEFAULT_AMQP_URL)
        return cls(
            with_tls(found, TlsFiles.from_environment(environ)),
            prefix or environ.get("OPTIMIZER_PREFIX") or DEFAULT_PREFIX,
        )

    def __repr__(self) -> str:
        return f"ClientSettings({masked_url(self.amqp_url)!r}, {self.prefix!r})"


def _credential(environ: Mapping[str, str]) -> str | None:
    """Where systemd put the URL (`LoadCredential=amqp_url:…`), if it did."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder) / "amqp_url" if folder else None
    return str(path) if path and path.is_file() else None


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"amqp", "amqps"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"The AMQP URL must read amqp://user:password@host:port/vhost, got {masked_url(url)}.")
    return url
