"""Values as TOML. Pure, and no more than a configuration needs."""

import json
import re
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def key(word: str) -> str:
    """A key, in quotes where it needs them."""
    return word if _BARE.fullmatch(word) else json.dumps(word)


def value(given: Any) -> str:
    """A value on one line; tables are written inline."""
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, str):
        return json.dumps(given, ensure_ascii=False)
    if isinstance(given, float):
        return str(int(given)) if given.is_integer() else repr(given)
    if isinstance(given, dict):
        inside = ", ".join(f"{key(name)} = {value(each)}" for name, each in given.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(given, list | tuple):
        return f"[{', '.join(value(each) for each in given)}]"
    return str(given)


def table_head(path: tuple[str, ...]) -> str:
    """`[backends.groq]`."""
    return f"[{'.'.join(map(key, path))}]"
