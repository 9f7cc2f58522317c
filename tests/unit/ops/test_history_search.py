"""Searching requests: what sums and bounds leave out is never what was looked for."""

import random
from itertools import product

import pytest
from tests.support.history_rows import Batch, fill, request_row

from optimizer_ops.history.reader import History
from optimizer_ops.history.sums import DAY_S, HOUR_S, NO_ERROR

BEGIN = 1_790_000_000 // DAY_S * DAY_S
FILTERS = (
    {},
    {"agent": "rare"},
    {"agent": "a", "backend": "groq"},
    {"agent": "rare", "backend": "local"},
    {"agent": "nobody"},
    {"source": "cache"},
    {"source": "collapsed", "agent": "a"},
    {"source": "backend"},
    {"source": "nowhere"},
    {"outcome": "answered"},
    {"outcome": "open"},
    {"outcome": "unknown", "agent": "a"},
    {"outcome": "deadline_exceeded"},
    {"outcome": "quota_exceeded", "agent": "rare"},
)


def row(chance: random.Random, number: int) -> dict:
    """A request of a few days, with gaps of hours between; some took equally long."""
    outcome = chance.choices(("answered", "open", "unknown", "deadline_exceeded", "quota_exceeded"), (80, 5, 5, 6, 4))[
        0
    ]
    ended = outcome == "answered" or outcome not in NO_ERROR
    return request_row(
        BEGIN + chance.choice((0, 1, 5, 22, 23, 24, 25, 49, 71)) * HOUR_S + chance.random() * HOUR_S,
        id=f"{number:04}",
        tenant="shop",
        agent=chance.choices(("a", "b", "rare"), (60, 39, 1))[0],
        task="code",
        backend=chance.choices(("groq", "local", ""), (70, 20, 10))[0],
        model="m",
        outcome=outcome,
        source=chance.choice(("cache", "collapsed", "backend")) if ended else None,
        total_ms=chance.choice((5.0, 900.0, chance.lognormvariate(5, 2))) if ended else None,
    )


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A history, and its rows."""
    chance = random.Random(7)
    rows = [row(chance, number) for number in range(600)]
    url = f"sqlite:///{tmp_path_factory.mktemp('history')}/history.db"
    fill(url, iter([Batch(rows)]))
    history = History.open(url)
    yield history, rows
    history.close()


@pytest.mark.parametrize(("where", "slowest", "failed"), tuple(product(FILTERS, (False, True), (False, True))))
def test_a_search_finds_what_a_look_at_every_row_does(known, where, slowest, failed):
    """With every filter, in both orders, in whole and in parts, page by page until there is no more."""
    history, rows = known
    for since, until in ((BEGIN, None), (BEGIN + 1.5 * HOUR_S, BEGIN + 24.5 * HOUR_S)):
        fits = [
            each
            for each in rows
            if since <= each["asked"] < (until or float("inf"))
            and all(each[name] == value for name, value in where.items())
            and not (failed and each["outcome"] in NO_ERROR)
            and not (slowest and each["total_ms"] is None)
        ]
        order = (lambda each: (each["total_ms"], each["asked"])) if slowest else (lambda each: each["asked"])
        expected = [each["id"] for each in sorted(fits, key=order, reverse=True)]
        for limit in (7, 1_000):
            found: list[str] = []
            while page := history.requests(
                since, until, limit=limit, before=found[-1] if found else None, slowest=slowest, failed=failed, **where
            ):
                found += [each.id for each in page]
            assert found == expected
