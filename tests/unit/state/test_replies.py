"""From the outcome of a flight to the reply of each waiter: who is told what, and who is charged."""

import msgspec
import pytest

from optimizer_state.answer import Answer
from optimizer_state.replies import reply_of, source_for
from optimizer_wire.messages import NO_RESULT, ErrorInfo, Timings, Usage, Waiter

RESULT = msgspec.Raw(b"\x01")
ANSWER = Answer(
    ok=True,
    leader="first",
    stored_ms=10_000,
    result=RESULT,
    backend="groq",
    model="llama",
    task="code",
    usage=Usage(10, 5),
    cost_usd=0.25,
    call_ms=400.0,
    attempts=2,
)
FAILED = Answer(ok=False, leader="first", stored_ms=10_000, error=ErrorInfo("invalid_request", "No."))


def waiter(name, since_ms=9_000):
    return Waiter(name, "q", 99_000, "agent", "tenant", since_ms=since_ms)


def test_who_caused_the_call_is_charged():
    """Of all waiters of a flight one pays, and all are told the same result, usage and backend."""
    waiters = [waiter(name) for name in ("joined", "first", "late")]
    replies = [reply_of(ANSWER, w, source_for(ANSWER, w), 10_500) for w in waiters]

    assert [reply.source for reply in replies] == ["collapsed", "backend", "collapsed"]
    assert [reply.cost_usd for reply in replies] == [0.0, 0.25, 0.0]
    assert [reply.id for reply in replies] == ["joined", "first", "late"]
    for reply in replies:
        assert reply.ok
        assert (reply.result, reply.backend, reply.model, reply.task) == (RESULT, "groq", "llama", "code")
        assert (reply.usage, reply.attempts, reply.age_s, reply.error) == (Usage(10, 5), 2, None, None)


def test_from_the_cache():
    """A cached answer costs nothing, made no call, and tells its age."""
    reply = reply_of(ANSWER, waiter("other", since_ms=69_990), "cache", 70_000)

    assert (reply.cost_usd, reply.age_s) == (0.0, 60.0)
    assert reply.timings == Timings(10.0, 0.0, 10)


def test_unknown_price_stays_unknown():
    """Who caused a call of unknown price is not told that it was free."""
    answer = msgspec.structs.replace(ANSWER, cost_usd=None)

    assert reply_of(answer, waiter("first"), "backend", 10_500).cost_usd is None
    assert reply_of(answer, waiter("x"), "collapsed", 10_500).cost_usd == 0.0


@pytest.mark.parametrize("source", ["backend", "collapsed"])
def test_errors(source):
    """An error is told to everybody, without result or cost."""
    reply = reply_of(FAILED, waiter("x"), source, 10_500)

    assert not reply.ok
    assert (reply.error, reply.result, reply.cost_usd) == (FAILED.error, NO_RESULT, None)


@pytest.mark.parametrize(
    ("since_ms", "now_ms", "timings"),
    [
        (9_000, 10_000, Timings(600.0, 400.0, 1_000)),
        # Joined when the call had been running for a while.
        (9_900, 10_000, Timings(0.0, 400.0, 100)),
        # Clocks that disagree, and a waiter of whom it is not known since when.
        (11_000, 10_000, Timings(0.0, 400.0, 0)),
        (0, 10_000, Timings(0.0, 400.0, 0)),
    ],
)
def test_timings(since_ms, now_ms, timings):
    """Waiting is the whole less the call, and nothing is negative."""
    assert reply_of(ANSWER, waiter("first", since_ms), "backend", now_ms).timings == timings


def test_age_is_never_negative():
    """A clock that is behind does not make an answer come from the future."""
    assert reply_of(ANSWER, waiter("x"), "cache", 9_000).age_s == 0.0
