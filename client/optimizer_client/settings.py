"""Where the client finds the optimizer: arguments, then the environment, then a local RabbitMQ."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

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
        """Settings from arguments over `OPTIMIZER_AMQP_URL` (or a file that it names, `…_FILE`) and `OPTIMIZER_PREFIX`."""
        from_file = environ.get("OPTIMIZER_AMQP_URL_FILE")
        kept = Path(from_file).read_text().strip() if from_file and not url else None
        return cls(
            url or environ.get("OPTIMIZER_AMQP_URL") or kept or DEFAULT_AMQP_URL,
            prefix or environ.get("OPTIMIZER_PREFIX") or DEFAULT_PREFIX,
        )

    def __repr__(self) -> str:
        return f"ClientSettings({masked_url(self.amqp_url)!r}, {self.prefix!r})"
