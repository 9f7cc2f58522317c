"""One endpoint of the API: what it takes, what it answers, and what it does. The routes and the description follow."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from optimizer_ops.dashboard.access import Access
from optimizer_ops.dashboard.sources import Sources


class NoParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing is asked for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as an endpoint gets it: `query` and `body` are of the types that the endpoint names, and valid.

    `path` are the variable parts of the path, `knows` whether whoever asks may read what others may not.
    """

    sources: Sources
    access: Access
    path: Mapping[str, str]
    query: Any
    body: Any
    knows: bool


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint. `needs` are the services without which it answers 503, `text` the media type where it is no JSON.

    `open`: for everybody. `may_be_missing`: it answers 404 if there is no such thing.
    """

    method: Literal["GET", "POST"]
    path: str
    group: str
    summary: str
    does: Callable[[Asked], Awaitable[Any]]
    answers: Any
    query: type[msgspec.Struct] = NoParameters
    body: type[msgspec.Struct] | None = None
    needs: tuple[Literal["history", "redis", "rabbitmq"], ...] = ()
    details: str = ""
    open: bool = False
    text: str | None = None
    may_be_missing: bool = False
