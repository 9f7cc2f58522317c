"""What the agents got, and what the events told."""

import pytest

from optimizer_client import Reply
from optimizer_ops.demo.backends import EMBEDDING_SIZE
from optimizer_ops.demo.questions import Question
from optimizer_ops.demo.score import Feed, Score, is_right, percentile
from optimizer_ops.simulator.answers import answer_to, embeddings, openai_chat
from optimizer_ops.simulator.question import Question as Asked
from optimizer_ops.simulator.question import echo_of
from optimizer_wire import events

SKY = Question("Why is the sky blue?", "reasoning")
NOTE = Question("A note.", op="embed")


def _chat_reply(text: str, source="backend", cost_usd: float | None = 0.5) -> Reply:
    asked = Asked(op="chat", model="m", echo=echo_of(text), prompt_tokens=5)
    result = openai_chat(asked, answer_to(asked, 20), "id", 0)
    return Reply(id="1", result=result, source=source, cost_usd=cost_usd)


def _embed_reply(text: str) -> Reply:
    asked = Asked(op="embed", model="m", echo=echo_of(text), prompt_tokens=5, inputs=(text,))
    return Reply(id="1", result=embeddings(asked, EMBEDDING_SIZE), source="backend")


def test_the_simulators_answer_is_right():
    """The mark in the answer is that of the question."""
    assert is_right(SKY, _chat_reply(SKY.text))
    assert is_right(NOTE, _embed_reply(NOTE.text))


def test_another_questions_answer_is_wrong():
    """Whatever else it looks like."""
    assert not is_right(SKY, _chat_reply("Why is grass green?"))
    assert not is_right(NOTE, _embed_reply("Another note."))
    assert not is_right(SKY, Reply(id="1", result={}, source="cache"))
    assert not is_right(NOTE, Reply(id="1", result={}, source="cache"))


def test_wrong_answers_are_kept():
    """A wrong answer is an answer, and is held against the run."""
    score = Score()
    score.ask(SKY)
    score.answer(SKY, _chat_reply("Why is grass green?"), 3.0)

    assert (score.answered, score.wrong) == (1, [SKY])


def test_counts():
    """Requests are answered by source, failed, or waiting; repeats are what was asked before."""
    score = Score()
    for _ in range(4):
        score.ask(SKY)
    score.ask(NOTE, news=True)
    score.answer(SKY, _chat_reply(SKY.text), 100.0)
    score.answer(SKY, _chat_reply(SKY.text, "cache"), 2.0)
    score.answer(SKY, _chat_reply(SKY.text, "collapsed"), 90.0)
    score.fail("deadline_exceeded")

    assert (score.requests, score.answered, score.waiting) == (5, 3, 1)
    assert (score.count("cache"), score.count("collapsed"), score.count("backend")) == (1, 1, 1)
    assert score.repeats_share == pytest.approx(0.6)
    assert score.headline == NOTE


def test_saved_cost_is_the_price_of_the_call_that_was_shared():
    """Each shared answer saves what its call had cost; what has no price saves nothing known."""
    score = Score()
    score.answer(SKY, _chat_reply(SKY.text, cost_usd=0.25), 1.0)
    score.answer(SKY, _chat_reply(SKY.text, "cache", 0.0), 1.0)
    score.answer(SKY, _chat_reply(SKY.text, "collapsed", 0.0), 1.0)
    score.answer(NOTE, _embed_reply(NOTE.text), 1.0)

    assert score.saved_cost_usd == pytest.approx(0.5)


def test_costs_come_from_the_events():
    """A finished call has a cost or is unpriced; a failed one without usage is neither."""
    score = Score()
    for kind, cost in ((events.CALL_FINISHED, 0.5), (events.CALL_FINISHED, None), (events.CALL_FAILED, None)):
        score.hear(events.event(kind, "worker/sim/a", backend="sim", cost_usd=cost), 1.0)

    assert (score.cost_usd["sim"], score.unpriced, score.total_cost_usd) == (0.5, 1, 0.5)


def test_who_is_in_the_middle_of_a_call():
    """A worker is busy between the events that tell the beginning and the end of its calls."""
    score = Score()
    score.hear(events.event(events.CALL_STARTED, "worker/sim/a"), 1.0)
    score.hear(events.event(events.CALL_STARTED, "worker/sim/b"), 1.0)
    score.hear(events.event(events.CALL_FAILED, "worker/sim/b"), 1.0)

    assert (score.calls_of("worker/sim/a"), score.calls_of("worker/sim/b")) == (1, 0)


@pytest.mark.parametrize(
    ("kind", "fields", "told"),
    [
        (events.RETRY, {"outcome": "overloaded", "message": "next: b"}, "sim: overloaded, next b"),
        (events.RATE_LIMIT, {"outcome": "waiting"}, "sim: budget used up, calls wait"),
        (events.RATE_LIMIT, {"outcome": "throttled", "status": 429}, "sim: refused with 429"),
        (events.ERROR, {"error_code": "overloaded"}, "sim: overloaded"),
        (events.WORKER_STARTED, {}, "sim: a worker is ready"),
    ],
)
def test_what_is_worth_telling(kind, fields, told):
    """Trouble and its mending are told in words."""
    score = Score()
    score.hear(events.event(kind, "worker/sim/a", backend="sim", **fields), 1.0)

    assert [line.text for line in score.feed.last(5)] == [told]


def test_ordinary_events_are_not_told():
    """Hits and misses would push everything else off the screen."""
    score = Score()
    score.hear(events.event(events.CACHE_HIT, "coordinator/a"), 1.0)

    assert score.feed.last(5) == []


def test_the_same_again_counts_up():
    """What happens many times takes one line, the newest last."""
    feed = Feed()
    for at_s, text in ((1.0, "a"), (2.0, "b"), (3.0, "a"), (20.0, "a")):
        feed.add(at_s, text)

    assert [(line.text, line.times, line.at_s) for line in feed.last(9)] == [
        ("b", 1, 2.0),
        ("a", 2, 3.0),
        ("a", 1, 20.0),
    ]
    assert len(feed.last(1)) == 1
    assert feed.last(0) == []


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_percentile(share, value):
    """The nearest rank: the smallest value that so large a share does not exceed."""
    assert percentile([float(n) for n in range(100, 0, -1)], share) == value


def test_percentile_of_nothing():
    """There is none."""
    assert percentile([], 0.5) is None
    assert percentile([4.0], 0.99) == 4.0
