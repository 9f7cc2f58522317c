"""Letters as people and programs read them. Pure."""

import time
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.text import Text

from optimizer_ops.dead.letters import Kept
from optimizer_ops.formatting.units import duration, size
from optimizer_ops.terminal.grid import Head, grid
from optimizer_wire.dead_letters import DeadLetter

HEADS = ("id", "died", "age", "why", "queue", "agent", "tenant", "kind", "size", "reason")
# What a narrow terminal leaves out first is highest: `dead show` has all of it.
_RANKS = {"size": 7, "kind": 6, "tenant": 5, "died": 4, "queue": 3, "age": 2, "agent": 1}
_NOTHING = "-"
_REASON_CHARS = 60


def described(kept: Kept) -> dict[str, Any]:
    """All that is known of a letter but its body, for JSON."""
    letter = kept.letter
    fields = {name: getattr(letter, name) for name in letter.__struct_fields__ if name != "body"}
    return {**fields, "bytes": kept.size, "copies": len(kept.tags)}


def json_of(letters: Sequence[Kept], *, with_body: bool = False) -> str:
    """One JSON object; `body` is JSON where it is msgpack, else a string as Python writes bytes."""
    shown = [described(kept) | ({"body": _readable(kept.letter)} if with_body else {}) for kept in letters]
    return msgspec.json.encode({"letters": shown}).decode()


def row(kept: Kept, now_s: float) -> tuple[str, ...]:
    """A letter as a row under `HEADS`."""
    letter = kept.letter
    reason = letter.reason if len(letter.reason) <= _REASON_CHARS else f"{letter.reason[: _REASON_CHARS - 1]}…"
    cells = (
        letter.id,
        time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(letter.died_ms / 1000)),
        duration(max(0.0, now_s - letter.died_ms / 1000)),
        letter.why,
        letter.queue,
        letter.agent,
        letter.tenant,
        letter.kind.removeprefix("optimizer.").removesuffix(".v1"),
        size(kept.size),
        reason,
    )
    return tuple(cell or _NOTHING for cell in cells)


def plain(letters: Sequence[Kept], now_s: float) -> str:
    """Aligned rows, for a pipe and for a terminal."""
    lines = [HEADS, *(row(kept, now_s) for kept in letters)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADS) - 1)]
    return "\n".join("  ".join([*map(str.ljust, line, widths), line[-1]]).rstrip() for line in lines)


def fitted(letters: Sequence[Kept], now_s: float, width: int) -> list[Text]:
    """Rows for a terminal that is so wide: what matters less is left out."""
    heads = [Head(name, rank=_RANKS.get(name, 0), least=20 if name == "reason" else 0) for name in HEADS]
    return grid(heads, [row(kept, now_s) for kept in letters], width)


def page(kept: Kept) -> str:
    """One letter in full, but for its body."""
    facts = {**described(kept), "died": row(kept, time.time())[1]}
    del facts["died_ms"]
    return "\n".join(f"{name:<11} {value if value != '' else _NOTHING}" for name, value in facts.items())


def body_of(letter: DeadLetter) -> str:
    """The body as JSON where it is msgpack, else as Python writes bytes."""
    readable = _readable(letter)
    return readable if isinstance(readable, str) else msgspec.json.format(bytes(readable), indent=2).decode()


def _readable(letter: DeadLetter) -> msgspec.Raw | str:
    try:
        return msgspec.Raw(msgspec.json.encode(msgspec.msgpack.decode(letter.body)))
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        return repr(letter.body)
