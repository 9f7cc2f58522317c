"""The story of one request in time order: what its callers, our processes, RabbitMQ's events and backends say of it."""

import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from tests.lab.checker import Broken, Findings
from tests.lab.history import History, Note
from tests.support.judge import Call

Line = tuple[float, str]
_MOST_LINES = 200


def report(
    findings: Findings,
    history: History,
    calls: Iterable[Call],
    logs: Mapping[str, str],
    events: Iterable[Mapping[str, Any]] = (),
) -> str:
    """What was broken, and the story of the first request that broke a rule."""
    lines = [f"seed: {history.seed}"] if history.seed is not None else []
    lines.append(f"looked at: {findings.summary}")
    lines += [f"{each.rule}: {_who(each)}{each.message}" for each in findings.broken[:20]]
    if len(findings.broken) > 20:
        lines.append(f"… and {len(findings.broken) - 20} more")
    first = next((each for each in findings.broken if each.note or each.question), None)
    if first is not None:
        lines += ["", f"the story of {_who(first)}", *story(first, history, calls, logs, events)]
    return "\n".join(lines)


def story(
    broken: Broken,
    history: History,
    calls: Iterable[Call],
    logs: Mapping[str, str],
    events: Iterable[Mapping[str, Any]] = (),
) -> list[str]:
    """All that is known of a request and of those that asked the same, by time; seconds since the first was asked."""
    question = broken.note.question if broken.note else broken.question
    same = [note for note in history.notes if note.question == question]
    # Of a thousand that asked the same, the one that broke the rule and some others say enough.
    told = [broken.note] if broken.note else []
    told += [note for note in same if note is not broken.note][: 20 - len(told)]
    begin = min((note.asked for note in told), default=0.0)
    known = list(events)
    ids = {note.id for note in same}
    fingerprints = {each.get("fingerprint") for each in known if each.get("request_id") in ids} - {None}
    lines = [*_of_notes(told), *_of_faults(history), *_of_calls(calls, question)]
    offset = history.wall_offset_s
    lines += _of_events(known, {note.id for note in told}, fingerprints, offset)
    for name, text in logs.items():
        lines += _of_log(name, text, {note.id for note in told} | fingerprints, offset)
    ordered = [f"{at - begin:+9.3f} s  {text}" for at, text in sorted(lines) if at != math.inf]
    return ordered[:_MOST_LINES]


def _who(broken: Broken) -> str:
    note = broken.note
    return f"{note.agent} {note.id} ({note.prompt[:40]!r}): " if note else ""


def _of_notes(notes: Iterable[Note]) -> Iterable[Line]:
    for note in notes:
        yield note.asked, f"{note.agent:<24} invoke {note.id}, {note.timeout_s:g} s"
        yield note.ended, f"{note.agent:<24} {note.outcome} {note.id} {note.message}"
        if note.ended == math.inf:
            yield note.deadline, f"{note.agent:<24} (deadline of {note.id}, never resolved)"


def _of_faults(history: History) -> Iterable[Line]:
    for fault in history.faults:
        yield fault.at, f"{'fault':<24} {fault.what}"
        if fault.until > fault.at:
            yield fault.until, f"{'fault':<24} {fault.what}: over"


def _of_calls(calls: Iterable[Call], question: str | None) -> Iterable[Line]:
    for call in calls:
        if call.question == question:
            yield call.start, f"{'backend ' + call.backend:<24} call {call.seq} begins"
            if call.end is not None:
                yield call.end, f"{'backend ' + call.backend:<24} call {call.seq} ends: {call.status} {call.outcome}"


def _of_events(
    events: Iterable[Mapping[str, Any]], ids: set[str], fingerprints: set[Any], offset: float
) -> Iterable[Line]:
    for each in events:
        if each.get("request_id") in ids or each.get("fingerprint") in fingerprints:
            more = {
                key: value
                for key, value in each.items()
                if key in {"request_id", "work_id", "outcome", "attempt", "waiters", "error_code", "message"}
            }
            yield each["time"] - offset, f"{each['source']:<24} {each['type']} {more}"


def _of_log(name: str, text: str, words: set[Any], offset: float) -> Iterable[Line]:
    for line in text.splitlines():
        if any(word in line for word in words) or '"level": "error"' in line or '"level": "critical"' in line:
            try:
                when = datetime.fromisoformat(json.loads(line)["timestamp"]).astimezone(UTC).timestamp() - offset
            except (ValueError, KeyError):
                continue
            yield when, f"{name:<24} {line[:400]}"
