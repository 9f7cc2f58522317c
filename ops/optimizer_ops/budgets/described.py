"""Levels as JSON, for programs. Pure."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from optimizer_ops.budgets.state import states
from optimizer_state.estimates import Lesson
from optimizer_state.levels import Levels, LimitLevel


def json_line(levels: Sequence[Levels]) -> str:
    """One JSON object: all that there is to know, with a list of the words that stand in the way of a call."""
    return msgspec.json.encode({"backends": [_described(level) for level in levels]}).decode()


def _described(levels: Levels) -> dict[str, Any]:
    """All fields, and besides them what is left and the words that a person is told."""
    return {
        **asdict(levels),
        "limits": [_limit(limit) for limit in levels.limits],
        "concurrency": _limit(levels.concurrency),
        "state": [words for words, _ in states(levels)],
        "learned": {model: _lesson(lesson) for model, lesson in levels.learned.items()},
    }


def _limit(limit: LimitLevel) -> dict[str, Any]:
    return {**asdict(limit), "left": limit.left}


def _lesson(lesson: Lesson) -> dict[str, Any]:
    return {
        "calls": lesson.calls,
        "tokens_per_answer": round(lesson.output_tokens / lesson.calls, 1),
        "output_tokens_90": lesson.output_quantile(),
        "tokens_per_char": lesson.tokens_per_char,
        "usd_per_call": lesson.usd_per_call,
    }
