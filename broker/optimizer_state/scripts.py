"""The scripts that Redis runs for us: their names, their sources, and a step, which is one of them on one key."""

from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Literal

import msgspec

Script = Literal[
    "admit",
    "gate",
    "begin",
    "renew",
    "complete",
    "release",
    "cancel",
    "sweep",
    "forget",
    "reserve",
    "arrive",
    "settle",
    "keep",
    "lapse",
    "restore",
    "block",
    "unblock",
    "look",
    "settings",
    "entries",
    "learn",
    "share",
    "retries",
    "turn_take",
    "turn_keep",
    "turn_leave",
    "withdraw",
    "fate",
    "mailbox_open",
    "mailbox_put",
    "mailbox_look",
    "mailbox_forget",
    "places",
    "place",
]
_BUDGET_SCRIPTS = frozenset({"reserve", "arrive", "settle", "keep", "lapse", "restore", "block", "unblock", "look"})
_TURN_SCRIPTS = frozenset({"turn_take", "turn_keep", "turn_leave"})
_MAILBOX_SCRIPTS = frozenset({"mailbox_open", "mailbox_put", "mailbox_look", "mailbox_forget"})
_FAMILIES = {"budget": _BUDGET_SCRIPTS, "turn": _TURN_SCRIPTS, "mailbox": _MAILBOX_SCRIPTS}
_ALONE_SCRIPTS = frozenset({"learn", "share", "retries", "settings", "entries", "places", "place"})


class Step(msgspec.Struct, frozen=True):
    """One script to run on one key, with its arguments."""

    script: Script
    key: str
    arguments: Sequence[str | int | bytes]


def backend_key(prefix: str, backend: str) -> str:
    """The base of the keys of a backend; all of them carry its hash tag."""
    return f"{prefix}:{{backend:{backend}}}"


@cache
def source(script: Script) -> str:
    """The Lua text of a script, with what its family has in common before it."""
    lua = resources.files("optimizer_state") / "lua"
    if script in _ALONE_SCRIPTS:
        return (lua / f"{script}.lua").read_text()
    common = next((name for name, scripts in _FAMILIES.items() if script in scripts), "flight")
    return (lua / f"{common}.lua").read_text() + (lua / f"{script}.lua").read_text()
