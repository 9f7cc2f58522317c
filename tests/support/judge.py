"""The judge of windows, calls and concurrency: recomputes everything from the raw times in a simulator's request log.

It is written apart from what it judges: it imports nothing but the standard library, and knows only the log's format,
one JSON object a line, a `start` line and an `end` line for each request (by backend, pid and seq).

    python tests/support/judge.py requests.jsonl --limit rpm=60 --limit groq:concurrency=8 --limit groq:10/2.5

exits with 1 if a limit was broken, with 2 if there is nothing to judge: no call, no such backend, no readable log.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

SPANS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
COUNTED_OPS = ("chat", "messages", "embeddings")
TOKENS = ("tokens", "input_tokens", "output_tokens")


@dataclass(frozen=True)
class Call:
    """One request as the backend saw it. `end` is None while nobody knows that it ended."""

    backend: str
    pid: int
    seq: int
    op: str
    start: float
    end: float | None = None
    status: int | None = None
    outcome: str | None = None
    model: str | None = None
    question: str | None = None
    body: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def tokens(self) -> int:
        """What a limit of tokens counts."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True)
class Limit:
    """`count` of `what` ("requests", a kind of tokens or "concurrency") within `per_s`, of one backend or of each."""

    name: str
    what: str
    count: int
    per_s: float = 0.0
    backend: str | None = None


@dataclass(frozen=True)
class Violation:
    """A limit that was broken: how far, and at which time the worst window began."""

    backend: str
    limit: str
    allowed: int
    seen: int
    start: float


def max_in_window(arrivals: Iterable[float], window_s: float) -> tuple[int, float | None]:
    """The most arrivals in any window [t, t + window_s), and the first t where it is reached."""
    return max_weight_in_window(((at, 1) for at in arrivals), window_s)


def max_weight_in_window(arrivals: Iterable[tuple[float, int]], window_s: float) -> tuple[int, float | None]:
    """As max_in_window, for arrivals that weigh something. A heaviest window can always begin at an arrival."""
    ordered = sorted(arrivals)
    best, best_start, weight, right = 0, None, 0, 0
    for at, own in ordered:
        while right < len(ordered) and ordered[right][0] - at < window_s:
            weight += ordered[right][1]
            right += 1
        if weight > best:
            best, best_start = weight, at
        weight -= own
    return best, best_start


def used_share(arrivals: Iterable[tuple[float, int]], count: int, per_s: float) -> float:
    """How much of a sliding window is used while there is always work: 1 if every `count` that began to arrive is
    followed by more exactly `per_s` later. 0 if less than one full window and the next arrival were seen.
    """
    ordered = sorted(arrivals)
    before = [0, *accumulate(weight for _, weight in ordered)]
    spans, follower = [], 0
    for (at, _), sofar in zip(ordered, before, strict=False):
        while follower < len(ordered) and before[follower] < sofar + count:
            follower += 1
        if follower == len(ordered):
            break
        spans.append(ordered[follower][0] - at)
    return per_s * len(spans) / sum(spans) if spans else 0.0


def max_concurrency(starts: Sequence[float], ends: Sequence[float | None]) -> tuple[int, float | None]:
    """The most intervals [start, end) that hold one moment, and the first such moment. An end of None is never."""
    if len(starts) != len(ends):
        raise ValueError("starts and ends must be pairs")
    moments = [(start, 1) for start, end in zip(starts, ends, strict=True) if end is None or end > start]
    moments += [(end, -1) for start, end in zip(starts, ends, strict=True) if end is not None and end > start]
    best, best_at, now = 0, None, 0
    for at, change in sorted(moments):
        now += change
        if now > best:
            best, best_at = now, at
    return best, best_at


def calls_per_question(calls: Iterable[Call], key: str = "question") -> Counter[str]:
    """How often each question was asked; `key` may be "body" for the hash of the whole request."""
    counted = (getattr(call, key) for call in calls if call.op in COUNTED_OPS)
    return Counter(value for value in counted if value is not None)


def read_log(lines: Iterable[str], clock: str = "mono") -> list[Call]:
    """The calls in a request log, by arrival. `clock` is "mono" or "at" (Unix time). A torn last line is left out.

    A request without an end is open for ever, unless a later process of the same backend has logged: then its own
    process is gone, and the request ended at the last that was heard of it.
    """
    calls: dict[tuple[str, int, int], Call] = {}
    heard: dict[tuple[str, int], float] = {}
    for record in _records(lines):
        key = (record["backend"], record["pid"], record["seq"])
        heard[key[:2]] = max(record[clock], heard.get(key[:2], record[clock]))
        if record["event"] == "start":
            calls[key] = _started(record, clock)
        elif key in calls:
            call = calls[key]
            calls[key] = replace(
                call,
                end=record[clock],
                status=record["status"],
                outcome=record["outcome"],
                output_tokens=record.get("completion_tokens", 0),
            )
    newest = {backend: pid for (backend, pid), _ in sorted(heard.items(), key=lambda item: item[1])}
    ended = (_buried(call, newest, heard) for call in calls.values())
    return sorted(ended, key=lambda call: call.start)


def _records(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The lines, decoded. Raises ValueError for one that is torn and not the last."""
    pending: Exception | None = None
    for line in lines:
        if pending is not None:
            raise ValueError(f"a line that is not the last is not JSON: {pending}")
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            pending = error
            continue
        yield record


def _started(record: dict[str, Any], clock: str) -> Call:
    """The call that a start line tells of."""
    return Call(
        backend=record["backend"],
        pid=record["pid"],
        seq=record["seq"],
        op=record["op"],
        start=record[clock],
        model=record.get("model"),
        question=record.get("question"),
        body=record.get("body_sha"),
        input_tokens=record.get("prompt_tokens", 0),
    )


def _buried(call: Call, newest: dict[str, int], heard: dict[tuple[str, int], float]) -> Call:
    """The call, ended with its process if that is gone."""
    if call.end is None and newest[call.backend] != call.pid:
        return replace(call, end=heard[call.backend, call.pid])
    return call


def parse_limit(text: str) -> Limit:
    """`rpm=60`, `tpd=100000`, `concurrency=8`, `10/2.5` (requests), `500/60:tokens`, `500/60:output_tokens`; `groq:`
    before it names a backend.

    Raises ValueError.
    """
    backend, spec = None, text
    head, colon, rest = text.partition(":")
    if colon and "/" not in head and "=" not in head:
        backend, spec = head, rest
    name, equals, value = spec.partition("=")
    try:
        if equals and name == "concurrency":
            return Limit(name, name, int(value), backend=backend)
        if equals and len(name) == 3 and name[0] in "rt" and name[1] == "p":
            what = "requests" if name[0] == "r" else "tokens"
            return Limit(name, what, int(value), SPANS_S[name[2]], backend)
        if not equals and "/" in spec:
            amount, _, what = spec.partition(":")
            count, _, per_s = amount.partition("/")
            if what in {"", "requests", *TOKENS}:
                return Limit(spec, what or "requests", int(count), float(per_s), backend)
    except (ValueError, KeyError):
        pass
    raise ValueError(f"cannot read the limit {text!r}: write rpm=60, concurrency=8, 10/2.5 or backend:rpm=60")


def measured(calls: Sequence[Call], limit: Limit) -> tuple[int, float | None]:
    """The worst that one backend's calls did to one limit, and when."""
    if limit.what == "concurrency":
        return max_concurrency([call.start for call in calls], [call.end for call in calls])
    if limit.what in TOKENS:
        return max_weight_in_window([(call.start, getattr(call, limit.what)) for call in calls], limit.per_s)
    return max_in_window([call.start for call in calls], limit.per_s)


def violations(calls: Iterable[Call], limits: Iterable[Limit]) -> list[Violation]:
    """The limits that were broken. Everything that arrived counts, refused requests too; lists of models do not."""
    by_backend = _by_backend(calls)
    broken = []
    for limit in limits:
        for backend, own in by_backend.items():
            if limit.backend in {None, backend}:
                seen, start = measured(own, limit)
                if seen > limit.count and start is not None:
                    broken.append(Violation(backend, limit.name, limit.count, seen, start))
    return broken


def _by_backend(calls: Iterable[Call]) -> dict[str, list[Call]]:
    """The calls that count, by backend."""
    by_backend: dict[str, list[Call]] = {}
    for call in calls:
        if call.op in COUNTED_OPS:
            by_backend.setdefault(call.backend, []).append(call)
    return by_backend


def summary(calls: Sequence[Call], limits: Sequence[Limit]) -> dict[str, Any]:
    """What the log shows of each backend, and what was broken."""
    backends = {}
    for name, own in sorted(_by_backend(calls).items()):
        relevant = [limit for limit in limits if limit.backend in {None, name}]
        backends[name] = {
            "calls": len(own),
            "questions": len(calls_per_question(own)),
            "most_calls_of_a_question": max(calls_per_question(own).values(), default=0),
            "statuses": dict(Counter(str(call.status) for call in own)),
            "max_concurrency": measured(own, Limit("", "concurrency", 0))[0],
            "worst": {limit.name: f"{measured(own, limit)[0]} of {limit.count}" for limit in relevant},
        }
    return {"backends": backends, "violations": [asdict(item) for item in violations(calls, limits)]}


def _check_something_to_judge(calls: Sequence[Call], limits: Sequence[Limit]) -> None:
    """A mistyped backend or an empty log must not look like a passed judgement."""
    seen = set(_by_backend(calls))
    if not seen:
        raise ValueError("there is no call in the log")
    missing = {limit.backend for limit in limits if limit.backend is not None} - seen
    if missing:
        raise ValueError(f"no calls of {', '.join(sorted(missing))} in the log; it has {', '.join(sorted(seen))}")


def main(argv: Sequence[str] | None = None) -> int:
    """Judge a log. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Judge a simulator's request log.")
    parser.add_argument("log", type=Path, nargs="+")
    parser.add_argument("--limit", action="append", default=[], metavar="[BACKEND:]LIMIT", help="rpm=60, 10/2.5, …")
    parser.add_argument("--max-calls", type=int, metavar="N", help="no question may be asked more often than this")
    parser.add_argument("--clock", choices=("mono", "at"), default="mono")
    options = parser.parse_args(argv)
    try:
        limits = [parse_limit(text) for text in options.limit]
        calls = [call for path in options.log for call in read_log(path.read_text().splitlines(), options.clock)]
        _check_something_to_judge(calls, limits)
    except (OSError, ValueError, KeyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    found = summary(calls, limits)
    print(json.dumps(found, indent=2))
    most = max(calls_per_question(calls).values(), default=0)
    too_often = options.max_calls is not None and most > options.max_calls
    if too_often:
        print(f"a question was asked {most} times, allowed are {options.max_calls}", file=sys.stderr)
    return 1 if found["violations"] or too_often else 0


if __name__ == "__main__":
    sys.exit(main())
