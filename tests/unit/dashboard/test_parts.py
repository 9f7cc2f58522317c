"""The parts of the dashboard that need no server."""

import asyncio
import itertools

import msgspec
import pytest
from starlette.datastructures import QueryParams

from optimizer_ops.dashboard.cached import Cached
from optimizer_ops.dashboard.hub import Viewer
from optimizer_ops.dashboard.pages.chart import ORIGIN, chart
from optimizer_ops.dashboard.pages.event_filter import EventFilter
from optimizer_ops.dashboard.pages.spans import SPANS, span_of
from optimizer_ops.dashboard.pages.waterfall import waterfall
from optimizer_ops.history.views import CallRow, Point, RequestRow, Totals, Trace
from optimizer_wire.events import Event

EVENT = Event(v=1, type="optimizer.cache.hit", source="c/1", agent="quality", backend="groq")


async def test_many_who_ask_cost_one_look():
    """Whoever asks while the answer comes gets the same one, and so does who asks within the second."""
    cached, looks = Cached(), itertools.count(1)

    async def look() -> int:
        await asyncio.sleep(0.01)
        return next(looks)

    assert set(await asyncio.gather(*(cached.get("look", look) for _ in range(50)))) == {1}
    assert await cached.get("look", look) == 1
    assert await cached.get("other", look) == 2
    cached.forget()
    assert await cached.get("look", look) == 3


async def test_an_answer_is_asked_for_again_when_it_is_old():
    """After its time an answer is asked for anew."""
    cached, looks = Cached(), itertools.count(1)

    async def look() -> int:
        return next(looks)

    assert await cached.get("look", look, fresh_s=0.02) == 1
    await asyncio.sleep(0.05)
    assert await cached.get("look", look, fresh_s=0.02) == 2


async def test_who_leaves_does_not_take_the_answer_away():
    """The first who asked may go; the second still gets the answer. An error goes to all."""
    cached = Cached()

    async def slow() -> int:
        await asyncio.sleep(0.05)
        return 7

    async def bad() -> int:
        raise ValueError("no")

    first = asyncio.ensure_future(cached.get("slow", slow))
    await asyncio.sleep(0.01)
    second = asyncio.ensure_future(cached.get("slow", slow))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 7
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            await cached.get("bad", bad)


async def test_the_cache_of_answers_is_bounded():
    """However many different questions are asked, only some answers are kept."""
    cached = Cached()

    async def look() -> int:
        return 1

    for number in range(1_000):
        await cached.get(number, look)
    assert len(cached._answers) <= 256


def test_a_slow_viewer_is_dropped():
    """Who does not read is not kept in memory for ever: at its bound he is dropped, with all that waited."""
    viewer = Viewer()
    body = msgspec.msgpack.encode(EVENT)
    for _ in range(5_000):
        viewer.give(body)
    assert not viewer.dropped
    assert len(viewer.take()) == 5_000

    for _ in range(5_001):
        viewer.give(body)
    assert viewer.dropped
    assert len(viewer.waiting) == 0


def test_a_viewer_leaves_out_what_cannot_be_read():
    """Bytes that are no event are left out; the others come."""
    viewer = Viewer()
    viewer.give(b"\xc1 nonsense")
    viewer.give(msgspec.msgpack.encode(EVENT))
    assert [each.id for each in viewer.take()] == [EVENT.id]


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", True),
        ("type=cache.", True),
        ("type=optimizer.cache.hit", True),
        ("type=call.", False),
        ("agent=quality&backend=groq", True),
        ("agent=qual", False),
        ("backend=alpha", False),
    ],
)
def test_events_are_filtered(query, shown):
    """A type matches by its beginning, an agent and a backend by their names."""
    assert EventFilter.of(QueryParams(query)).matches(EVENT) is shown


def test_spans_begin_alike_for_all():
    """Two who ask within the grain of a span ask the same; an unknown span is the usual one."""
    assert SPANS["7d"].since(1_000_000_000.0) == SPANS["7d"].since(1_000_000_000.0 // 60 * 60 + 59)
    assert span_of(QueryParams("span=nonsense")).name == "24h"


def test_a_chart_holds_each_step():
    """Every step is a value of every series: what was called is what neither hit nor joined."""
    point = Point(at=0.0, totals=Totals(requests=10, hits=4, collapsed=1))

    drawn = msgspec.json.decode(chart([point], ORIGIN, "count", 60))

    assert {one["name"]: one["values"] for one in drawn["series"]} == {
        "calls made": [5],
        "collapsed": [1],
        "from the cache": [4],
    }


def request(**changed) -> RequestRow:
    """A request that took two seconds."""
    nothing = dict.fromkeys(RequestRow.__struct_fields__)
    fields = {"id": "r", "asked": 100.0, "ended": 102.0, "total_ms": 2_000.0, "outcome": "answered"}
    return RequestRow(**{**nothing, **fields, **changed})


def call(started: float, ended: float | None, outcome: str | None) -> CallRow:
    """A call to groq."""
    nothing = dict.fromkeys(CallRow.__struct_fields__)
    return CallRow(**{**nothing, "backend": "groq", "started": started, "ended": ended, "outcome": outcome})


def test_a_waterfall_shows_waits_and_calls():
    """What lies between the bars is waiting; every bar lies within the whole."""
    calls = [call(100.5, 101.0, "throttled"), call(101.5, 102.0, "answered")]

    bars = waterfall(Trace(request=request(), calls=calls, steps=[], verdict=""), 200.0)

    assert [(bar.kind, bar.left, bar.width) for bar in bars] == [
        ("whole", 0.0, 100.0),
        ("wait", 0.0, 25.0),
        ("failed", 25.0, 25.0),
        ("wait", 50.0, 25.0),
        ("answered", 75.0, 25.0),
    ]


@pytest.mark.parametrize(
    ("row", "calls"),
    [
        (request(total_ms=0.0, ended=100.0), []),
        (request(total_ms=None, ended=None, outcome="open"), [call(100.2, None, None)]),
        (request(total_ms=None, ended=None, outcome="unknown"), [call(100.2, None, None)]),
        (request(total_ms=10.0), [call(99.9, 105.0, "answered")]),
        (request(total_ms=10.0), [call(100.2, None, None)]),
    ],
)
def test_a_waterfall_stays_within_its_frame(row, calls):
    """Whatever clocks say, and whatever is unknown, bars begin and end within the frame."""
    for bar in waterfall(Trace(request=row, calls=calls, steps=[], verdict=""), 103.0):
        assert 0 <= bar.left <= 100
        assert 0 < bar.width <= 100
        assert bar.left + bar.width <= 100.1
