"""Whole lines of calls through the worker's forecast."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from optimizer_workers.forecast import Line, Supply


class Due(NamedTuple):
    """A held call as the early look sees it: its least cost in the limit's dimension, its time left in ms."""

    cost: int
    left_ms: int


def earliest_starts(costs: Iterable[int], supply: Supply) -> list[int]:
    """In how many ms each call can start at the earliest, in the order of service."""
    line = Line.earliest(supply)
    return [line.start(cost) for cost in costs]


def expected_starts(costs: Iterable[int], supply: Supply, workers: int) -> list[int]:
    """In how many ms each call will probably start, in the order of service."""
    line = Line.expected(supply, workers)
    return [line.start(cost) for cost in costs]


def told_early(calls: Sequence[Due], supply: Supply, least_ms: int) -> list[int]:
    """Which of the calls surely miss their deadline, looked at one by one as the planner does: they take nothing."""
    line = Line.earliest(supply)
    missed = []
    for index, call in enumerate(calls):
        if line.start_ms(call.cost) + least_ms > call.left_ms:
            missed.append(index)
        else:
            line.start(call.cost)
    return missed
