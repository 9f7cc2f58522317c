"""The cache as an operator sees it: text for terminals, JSON for programs."""

import time
from collections.abc import Sequence
from typing import Any

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from optimizer_ops.cache.lookup import Found
from optimizer_ops.cache.stats import CacheStats
from optimizer_ops.formatting.sums import saved
from optimizer_ops.formatting.units import count_of, duration, size
from optimizer_ops.history.views import Totals
from optimizer_state.answer import Answer
from optimizer_state.selection import Entry

_MOST_ROWS = 8


def stats_page(stats: CacheStats, last_day: Totals | str) -> RenderableType:
    """How the cache stands; `last_day` are the sums of the last 24 hours, or why there are none."""
    return Group(*(Text(line) for line in _lines(stats, last_day)), *_tables(stats))


def _lines(stats: CacheStats, last_day: Totals | str) -> list[str]:
    counted = "" if stats.exact else f" (estimated from {stats.looked:,} of {stats.keys:,} keys: --exact looks at all)"
    lines = [f"Stored: {count_of(stats.answers, 'answer')}, {size(stats.memory_bytes)} in Redis{counted}"]
    if stats.oldest_s is not None and stats.newest_s is not None:
        lines.append(f"Age: from {duration(stats.newest_s)} to {duration(stats.oldest_s)}")
    lines.append(f"Last 24 h: {last_day if isinstance(last_day, str) else _day(last_day)}")
    redis, limit = stats.redis, "no limit"
    if redis.max_memory_bytes:
        limit = f"{size(redis.max_memory_bytes)} at most, {redis.policy or 'policy unknown'}"
    lines.append(
        f"Redis {redis.version}: {size(redis.used_memory_bytes)} used, {limit}; "
        f"{redis.evicted:,} keys evicted, {redis.expired:,} expired since it started"
    )
    return [*lines, f"Warning: {redis.warning}"] if redis.warning else lines


def _day(day: Totals) -> str:
    if not day.requests:
        return "no requests"
    rate = f"{100 * (day.hit_rate or 0):.1f} % needed no call of their own"
    return (
        f"{count_of(day.requests, 'request')}, {day.hits:,} hits and {day.collapsed:,} collapsed: {rate}, "
        f"{saved(day)} saved"
    )


def _tables(stats: CacheStats) -> list[RenderableType]:
    return [
        _table(
            (f"by {dimension}", "answers", "memory"),
            [(part.name or "(none)", f"{part.answers:,}", size(part.memory_bytes)) for part in parts[:_MOST_ROWS]],
        )
        for dimension, parts in stats.by.items()
        if parts and (len(parts) > 1 or parts[0].name)
    ]


def entries_page(found: Found, now_ms: int) -> RenderableType:
    """A line for each answer, the latest first."""
    if not found.of:
        return Text("No stored answer is meant.")
    rows = [
        (
            entry.fingerprint,
            duration(max(0, now_ms - entry.stored_ms) / 1000) if entry.stored_ms else "?",
            duration(entry.ttl_ms / 1000),
            entry.tenant or "?",
            entry.agent or "?",
            "?" if entry.namespace is None else entry.namespace or "(none)",
            entry.task or "?",
            "/".join(filter(None, (entry.backend, entry.model))) or "?",
            size(entry.memory),
        )
        for entry in found.entries
    ]
    names = ("fingerprint", "age", "stays", "tenant", "agent", "namespace", "task", "from", "memory")
    more = [Text(f"{len(found.entries)} of {found.of:,}: --limit shows more.")] if found.of > len(found.entries) else []
    return Group(_table(names, rows), *more)


def answer_page(entry: Entry, answer: Answer, now_ms: int, *, text: bool) -> str:
    """What is known of one answer, and with `text` itself."""
    lines = [f"{name + ':':14}{value}" for name, value in _details(entry, answer, now_ms)]
    return "\n".join([*lines, "", text_of(answer)] if text else lines)


def _details(entry: Entry, answer: Answer, now_ms: int) -> list[tuple[str, str]]:
    usage, cost = answer.usage, answer.cost_usd
    stored = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(entry.stored_ms / 1000))
    return [
        ("fingerprint", entry.fingerprint),
        ("tenant", entry.tenant or "not known"),
        ("agent", entry.agent or "not known"),
        ("namespace", "not known" if entry.namespace is None else entry.namespace or "(none)"),
        ("task", entry.task or "not known"),
        ("from", "/".join(filter(None, (entry.backend, entry.model))) or "not known"),
        ("request", answer.leader),
        ("stored", f"{stored}, {duration(max(0, now_ms - entry.stored_ms) / 1000)} ago"),
        ("stays", duration(entry.ttl_ms / 1000)),
        ("size", f"{size(entry.bytes)}, {size(entry.memory)} in Redis"),
        ("tokens", f"{usage.input_tokens:,} in, {usage.output_tokens:,} out" if usage else "not known"),
        ("cost", "not known" if cost is None else f"${cost:.6f}, saved by every hit"),
        ("call", f"{duration(answer.call_ms / 1000)}, {count_of(answer.attempts, 'attempt')}"),
    ]


def text_of(answer: Answer) -> str:
    """The text of an answer; its JSON where it is no chat."""
    result = _result(answer)
    match result:
        case {"choices": [{"message": {"content": str(content)}}, *_]} if content:
            return content
        case _:
            return msgspec.json.format(msgspec.json.encode(result)).decode()


def answer_json(entry: Entry, answer: Answer, *, text: bool) -> str:
    """One answer for programs; `result` only with `text`."""
    fields: dict[str, Any] = {
        **{name: getattr(entry, name) for name in entry.__struct_fields__},
        "request_id": answer.leader,
        "usage": answer.usage,
        "cost_usd": answer.cost_usd,
        "call_ms": answer.call_ms,
        "attempts": answer.attempts,
    }
    return msgspec.json.encode(fields | ({"result": _result(answer)} if text else {})).decode()


def found_json(found: Found) -> str:
    """Answers for programs, with all fields of each."""
    entries = [{name: getattr(entry, name) for name in entry.__struct_fields__} for entry in found.entries]
    return msgspec.json.encode({"of": found.of, "entries": entries}).decode()


def _result(answer: Answer) -> Any:
    return msgspec.msgpack.decode(answer.result) if bytes(answer.result) else None


def _table(names: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        table.add_column(name, justify="right" if name in {"answers", "memory", "age", "stays"} else "left")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
