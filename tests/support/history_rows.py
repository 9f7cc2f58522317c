"""A plausible history, as rows: a fleet that works by day more than by night, and asks most things twice."""

import bisect
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from optimizer_ops.history import tables
from optimizer_ops.history.database import migrate, open_engine
from optimizer_ops.history.sums import KEYS, by_day, hour_of, latencies_by_day, latencies_of, of_call, of_request

Row = dict[str, Any]

AGENTS = tuple(
    (f"{role}-{number}", tenant, role)
    for role, tenant in (("quality", "shop"), ("review", "shop"), ("search", "shop"), ("draft", "press"))
    for number in range(1, 8)
)
TASKS = {"quality": "general", "review": "code", "search": "reasoning", "draft": "creative"}
# Of each backend: its model, how often it is called, how long it usually takes, and what a million tokens cost.
BACKENDS = (
    ("groq", "llama-3.3-70b", 40, 700, 590),
    ("cerebras", "llama-3.3-70b", 25, 500, 850),
    ("gemini", "gemini-2.5-flash", 15, 1_400, 300),
    ("mistral", "mistral-small", 10, 1_800, 100),
    ("openrouter", "qwen-3-32b", 8, 2_500, None),
    ("local", "llama-3.2-1b", 2, 4_000, 0),
)
BY_DAY = (1, 1, 1, 1, 1, 2, 3, 6, 9, 10, 10, 9, 8, 9, 10, 10, 9, 8, 6, 5, 4, 3, 2, 1)
BATCH = 20_000
SUMS = tuple(column.name for column in tables.hourly.columns if not column.primary_key)


@dataclass
class Batch:
    """Rows of all tables."""

    requests: list[Row] = field(default_factory=list)
    calls: list[Row] = field(default_factory=list)
    happenings: list[Row] = field(default_factory=list)


def plausible(count: int, *, until: float, days: float, seed: int) -> Iterator[Batch]:
    """So many requests, asked over so many days, in order, with their calls and what else happened."""
    chance = random.Random(seed)
    agents = chance.choices(AGENTS, [1 / (place + 1) for place in range(len(AGENTS))], k=count)
    moments = iter(_moments(chance, count, until, days))
    batch = Batch()
    for number, (agent, asked) in enumerate(zip(agents, moments, strict=True)):
        _request(batch, chance, number, asked, *agent)
        if len(batch.requests) >= BATCH:
            yield batch
            batch = Batch()
    yield batch


def _moments(chance: random.Random, count: int, until: float, days: float) -> list[float]:
    hours = [until - days * 86_400 + hour * 3_600 for hour in range(round(days * 24))]
    weights = list(itertools.accumulate(BY_DAY[int(hour // 3_600) % 24] for hour in hours))
    last = weights[-1]
    return sorted(hours[bisect.bisect(weights, chance.random() * last)] + chance.random() * 3_600 for _ in range(count))


def _id(chance: random.Random, at: float) -> str:
    """A UUIDv7 of that moment."""
    digits = (
        f"{int(at * 1000):012x}7{chance.getrandbits(12):03x}{8 + chance.getrandbits(2):x}{chance.getrandbits(60):015x}"
    )
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _request(
    batch: Batch, chance: random.Random, number: int, asked: float, agent: str, tenant: str, role: str
) -> None:
    id_ = _id(chance, asked)
    who = {"tenant": tenant, "agent": agent, "op": "chat", "task": TASKS[role], "priority": "standard"}
    backend, model, _, usual_ms, price = chance.choices(BACKENDS, [each[2] for each in BACKENDS])[0]
    tokens = {"input_tokens": chance.randint(50, 3_000), "output_tokens": chance.randint(10, 900)}
    cost = None if price is None else (tokens["input_tokens"] + tokens["output_tokens"]) * price
    fate, flight = chance.random(), f"{chance.getrandbits(64):016x}.1"
    row: Row = {
        "id": id_,
        "asked": asked,
        **who,
        "fingerprint": flight.partition(".")[0],
        "flight": flight,
        "backend": backend,
        "model": model,
        "outcome": "answered",
        "message": None,
        **tokens,
        "cached_input_tokens": 0,
        "cache_write_tokens": 0,
        "cost_nano": None,
        "saved_nano": None,
        "call_ms": None,
        "age_s": None,
        "prompt_chars": tokens["input_tokens"] * 4,
        "tags": None,
    }
    if fate < 0.45:
        row |= {"source": "cache", "flight": None, "saved_nano": cost, "age_s": chance.expovariate(1 / 9_000)}
        total_ms = chance.lognormvariate(1.0, 0.5)
    elif fate < 0.57:
        total_ms = chance.lognormvariate(0, 0.6) * usual_ms
        row |= {"source": "collapsed", "saved_nano": cost, "call_ms": total_ms}
    else:
        total_ms = _led(batch, chance, row, usual_ms, cost, fails=fate > 0.985)
    row |= {"total_ms": total_ms, "wait_ms": total_ms - (row["call_ms"] or 0), "ended": asked + total_ms / 1000}
    batch.requests.append(row)


def _led(batch: Batch, chance: random.Random, row: Row, usual_ms: float, cost: int | None, *, fails: bool) -> float:
    """A request that led: its calls; returns how long it took."""
    at_ms = waited_ms = chance.expovariate(1 / 300) if chance.random() < 0.8 else chance.expovariate(1 / 6_000)
    attempts = 3 if fails else chance.choices((1, 2), (92, 8))[0]
    for attempt in range(1, attempts + 1):
        call_ms = chance.lognormvariate(0, 0.5) * usual_ms
        started, ended = row["asked"] + at_ms / 1000, row["asked"] + (at_ms + call_ms) / 1000
        answered = attempt == attempts and not fails
        call: Row = {
            **{name: row[name] for name in ("fingerprint", "flight", *KEYS, "op", "priority", "prompt_chars")},
            "id": _id(chance, started),
            "request_id": row["id"],
            "work_id": f"{row['flight']}.{attempt}",
            "worker": f"worker/{row['backend']}/1",
            "attempt": attempt,
            "started": started,
            "ended": ended,
            "outcome": "answered" if answered else chance.choice(("throttled", "transient", "timed_out")),
            "status": 200 if answered else 503,
            "error_code": None if answered else "backend_unavailable",
            "error_signature": None if answered else f"{row['backend']}:503",
            "message": None if answered else "The backend is overloaded.",
            "waiters": 1,
            "waited_for": "rpm 30",
            "waited_ms": waited_ms,
            "input_tokens": row["input_tokens"] if answered else None,
            "output_tokens": row["output_tokens"] if answered else None,
            "cached_input_tokens": 0 if answered else None,
            "cache_write_tokens": 0 if answered else None,
            "reasoning_tokens": 0 if answered else None,
            "usage": {"prompt_tokens": row["input_tokens"]} if answered else None,
            "cost_nano": cost if answered else None,
            "price_version": "2026-11" if answered else None,
            "wait_ms": at_ms,
            "call_ms": call_ms,
            "total_ms": at_ms + call_ms,
        }
        batch.calls.append(call)
        at_ms += call_ms
        if not answered:
            batch.happenings.append(_happening(chance, call, "optimizer.retry", ended))
            at_ms, waited_ms = at_ms + 1_000, 0.0
    row |= {"source": "backend", "cost_nano": None if fails else cost, "call_ms": call_ms}
    if fails:
        row |= {"outcome": "backend_unavailable", "message": "No backend of the route answered."}
        batch.happenings.append(_happening(chance, call, "optimizer.error", ended))
    return at_ms


def _happening(chance: random.Random, call: Row, kind: str, at: float) -> Row:
    return {
        "id": _id(chance, at),
        "at": at,
        "type": kind,
        "source": call["worker"],
        **{name: call[name] for name in ("request_id", "flight", "tenant", "agent", "backend", "model", "outcome")},
        "call_id": call["id"],
        "error_code": call["error_code"],
        "retry_after_s": 1.0,
        "waiters": 1,
        "message": "next: here again",
    }


def request_row(asked: float, **fields: Any) -> Row:
    """A request with these fields, and nothing in the others."""
    return {
        **dict.fromkeys((column.name for column in tables.requests.columns), None),
        "op": "chat",
        "priority": "standard",
        "asked": asked,
        **fields,
    }


def call_row(started: float, **fields: Any) -> Row:
    """A call with these fields, and nothing in the others."""
    return {
        **dict.fromkeys((column.name for column in tables.calls.columns), None),
        "op": "chat",
        "priority": "standard",
        "request_id": "",
        "worker": "worker/groq/1",
        "started": started,
        **fields,
    }


def fill(url: str, batches: Iterator[Batch], *, keep_since: float = 0.0) -> None:
    """Write rows and their sums into a new history; rows of before `keep_since` only as sums, as after retention."""
    engine = open_engine(url, create=True)
    migrate(engine)
    hours: defaultdict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    latencies: Counter[tuple[int, str, str, int]] = Counter()
    seen: dict[tuple[str, str], Row] = {}
    for batch in batches:
        for row in batch.requests:
            _add(hours, row, row["asked"], of_request(row))
            latencies.update(latencies_of(row))
            _see(seen, row)
        for row in batch.calls:
            _add(hours, row, row["started"], of_call(row))
        _write(engine, tables.requests, [row for row in batch.requests if row["asked"] >= keep_since])
        _write(engine, tables.calls, [row for row in batch.calls if row["started"] >= keep_since])
        _write(engine, tables.happenings, [row for row in batch.happenings if row["at"] >= keep_since])
    for table, begin, added in ((tables.hourly, "hour", hours), (tables.daily, "day", by_day(hours))):
        rows = [
            {**dict.fromkeys(SUMS, 0), begin: key[0], **dict(zip(KEYS, key[1:], strict=True)), **sums}
            for key, sums in added.items()
        ]
        _write(engine, table, rows)
    levels = (
        (tables.hourly_latency, "hour", latencies),
        (tables.daily_latency, "day", latencies_by_day(latencies)),
    )
    for table, begin, counts in levels:
        names = (begin, "by", "name", "bucket", "requests")
        _write(engine, table, [dict(zip(names, (*key, count), strict=True)) for key, count in counts.items()])
    _write(engine, tables.agents, list(seen.values()))
    if engine.dialect.name == "postgresql":
        # As its autovacuum does by itself after a while; SQLite has nothing of the kind.
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("VACUUM ANALYZE"))
    engine.dispose()


def _add(hours: Mapping[tuple[Any, ...], Counter[str]], row: Row, at: float, sums: Mapping[str, float]) -> None:
    hours[hour_of(at), *(row[name] for name in KEYS)].update(sums)  # type: ignore[arg-type]


def _see(seen: dict[tuple[str, str], Row], row: Row) -> None:
    known = seen.setdefault(
        (row["tenant"], row["agent"]),
        {
            "tenant": row["tenant"],
            "agent": row["agent"],
            "first_seen": row["asked"],
            "last_error": None,
            "last_error_code": None,
        },
    )
    known["last_seen"] = row["asked"]
    if row["outcome"] not in ("answered", "open"):
        known |= {"last_error": row["asked"], "last_error_code": row["outcome"]}


def _write(engine: sa.Engine, table: sa.Table, rows: Sequence[Row]) -> None:
    if not rows:
        return
    if engine.dialect.name == "postgresql":
        _copy(engine, table, rows)
        return
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        connection.execute(sa.insert(table), rows)
        connection.commit()


def _copy(engine: sa.Engine, table: sa.Table, rows: Sequence[Row]) -> None:
    from psycopg.types.json import Json  # an extra

    columns = [column.name for column in table.columns if column.name in rows[0]]
    names = ", ".join(f'"{name}"' for name in columns)
    with engine.connect() as connection:
        cursor = connection.connection.cursor()
        with cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:  # type: ignore[attr-defined]
            for row in rows:
                copy.write_row([Json(value) if isinstance(value, dict) else value for value in map(row.get, columns)])
        connection.connection.commit()
