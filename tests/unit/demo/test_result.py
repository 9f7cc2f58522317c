"""The verdict over a run."""

import msgspec
import pytest
from tests.unit.demo.samples import BACKEND, judged, record_of, score_of

from optimizer_ops.demo.bookkeeping import Books
from optimizer_ops.demo.request_log import BackendRecord, Line
from optimizer_ops.demo.result import saved_share


def test_a_good_run():
    """Everything answered, everything right, no limit exceeded."""
    result = judged(score_of(100), record_of(1.0, 1.5, 2.5), books=Books(3, 0, 0, 0, 0))

    assert result.ok
    assert [verdict.ok for verdict in result.verdicts] == [True, True, True, True]
    assert result.saved_share == pytest.approx(0.97)
    assert result.repeats_share == pytest.approx(0.99)


@pytest.mark.parametrize(
    ("answered", "failed", "ok"), [(990, 10, True), (989, 11, False), (0, 1, False), (0, 0, False)]
)
def test_at_least_99_percent_must_be_answered(answered, failed, ok):
    """99 % is enough, less is not, and nothing is not either."""
    assert judged(score_of(answered, failed)).verdicts[0].ok is ok


def test_a_request_without_an_end_is_not_answered():
    """What still waits when the run is over counts against it."""
    result = judged(score_of(9, waiting=1))

    assert not result.ok
    assert result.unanswered == 1


def test_one_wrong_answer_is_too_many():
    """Nobody may get somebody else's answer."""
    result = judged(score_of(999, wrong=1))

    assert not result.ok
    assert "belong to another question" in result.verdicts[1].sentence


def test_one_call_too_many_in_a_window_fails_the_run():
    """The raw arrival times decide, whatever the calls were answered with."""
    result = judged(score_of(100), record_of(1.0, 1.5, 1.9))

    assert not result.ok
    assert result.verdicts[2].sentence == "A limit was exceeded: sim saw 3 calls within 1 s, its limit is 2."


def test_too_many_at_once_fails_the_run():
    """Concurrency is a limit too."""
    record = BackendRecord(BACKEND)
    for seq in range(5):
        record.feed(Line("start", 1, seq, 10.0 * seq, op="chat"))

    result = judged(score_of(100), record)

    assert result.verdicts[2].sentence == "A limit was exceeded: sim saw 5 calls at once, its limit is 4."


def test_a_run_that_was_stopped_is_no_good_run():
    """What had no answer yet is not held against it, but it has not shown anything either."""
    result = judged(score_of(9, waiting=5), interrupted=True)

    assert not result.ok
    assert all(verdict.ok for verdict in result.verdicts)


def test_calls_that_were_cut_off_are_counted():
    """A call whose caller died is a call."""
    record = record_of(1.0)
    record.feed(Line("start", 1, 9, 5.0, op="chat"))
    record.feed(Line("end", 1, 9, 5.5, status=None, outcome="gone"))

    backend = judged(score_of(10), record).backends[0]

    assert backend.statuses == {"200": 1, "cut off": 1}
    assert (backend.calls, backend.failed) == (2, 1)


def test_the_result_is_json():
    """`--json` writes all of it."""
    result = judged(score_of(3))

    assert msgspec.json.decode(msgspec.json.encode(result))["latency_ms"]["cache"]["p50"] == 2.0


def test_saved_share():
    """More calls than answers save nothing, rather than less than nothing."""
    assert saved_share(5, 10) == 0.5
    assert saved_share(12, 10) == 0.0
    assert saved_share(3, 0) == 0.0


@pytest.mark.parametrize(
    ("calls", "unknown", "tokens", "ok"),
    [
        (10, 0, 900, True),
        (9, 0, 900, False),
        (10, 0, 899, False),
        (10, 0, 901, False),
        (11, 1, 900, True),
        (9, 1, 880, True),
        (10, 1, 901, False),
        (8, 1, 900, False),
    ],
)
def test_books_agree_to_the_token(calls, unknown, tokens, ok):
    """Ten calls of 900 tokens: the history must have them all; of calls that died it may know less, never more."""
    books = Books(calls=calls, unknown=unknown, input_tokens=600, output_tokens=tokens - 600, lost=0)
    assert books.agree(10, 900) is ok


@pytest.mark.parametrize("books", [None, Books(calls=2, unknown=0, input_tokens=0, output_tokens=0, lost=3)])
def test_a_history_that_tells_something_else_fails_the_run(books):
    """Without a history, or with one that does not agree with the request logs, a run is no good run."""
    result = judged(score_of(3), books=books)
    assert not result.ok
    assert "history" in result.verdicts[3].sentence
