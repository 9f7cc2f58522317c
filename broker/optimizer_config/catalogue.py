"""The built-in backends of `catalogue.toml`."""

import tomllib
from functools import cache
from importlib import resources

from optimizer_config.backends import read_backend
from optimizer_config.model import Backend, BreakerSettings
from optimizer_config.reader import Table


@cache
def catalogue() -> dict[str, Backend]:
    """The built-in backends by name, in the order in which they are tried when no route is written."""
    text = resources.files("optimizer_config").joinpath("catalogue.toml").read_text(encoding="utf-8")
    table = Table(tomllib.loads(text), "catalogue.toml")
    return {name: read_backend(table, name, None, BreakerSettings()) for name in table.unread()}
