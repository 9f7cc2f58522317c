"""Names and event patterns as the regular expressions that RabbitMQ goes by. Pure."""

import re
from collections.abc import Iterable, Sequence

from optimizer_wire.topology import topic_pattern

NOTHING = "^$"
_SPECIAL = re.compile(r"([\\.^$*+?{}\[\]|()])")


def escaped(name: str) -> str:
    """A name as a regular expression that means only it; quoting no more than needed, because people read it."""
    return _SPECIAL.sub(r"\\\1", name)


def any_of(expressions: Iterable[str]) -> str:
    """What matches a whole name if one of the expressions does."""
    each = sorted(set(expressions))
    if not each:
        return NOTHING
    return f"^{each[0]}$" if len(each) == 1 else f"^({'|'.join(each)})$"


def exactly(names: Iterable[str]) -> list[str]:
    """Each name as an expression."""
    return [escaped(name) for name in names]


def bindings_within(patterns: Iterable[str]) -> str:
    """What matches a binding key if all that it lets through is let through by one of the event patterns.

    RabbitMQ compares it with the key of a binding as it is written: `optimizer.#` is not within `optimizer.cache.*`.
    """
    return any_of(_within(topic_pattern(pattern).split(".")) for pattern in patterns)


def _within(words: Sequence[str]) -> str:
    first, rest = words[0], words[1:]
    if first == "#":
        return rf"([^.]+\.)*{_within(rest)}" if rest else ".*"
    here = "[^.#]+" if first == "*" else escaped(first)
    if not rest:
        return here
    if rest[0] == "#":
        further = rest[1:]
        return rf"{here}(\.[^.]+)*" + (rf"\.{_within(further)}" if further else "")
    return rf"{here}\.{_within(rest)}"
