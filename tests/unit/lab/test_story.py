"""What is printed when a rule is broken."""

from datetime import UTC, datetime

from tests.lab.checker import check
from tests.lab.history import Fault, History, Note, echo
from tests.lab.story import report
from tests.support.judge import Call


def test_story_of_the_request_that_broke_a_rule():
    """It tells what caller, events, logs, faults and backends say of one request, in time order, and the seed."""
    lost, other = Note("a", "lost one", 10.0, asked=100.0, id="id-1"), Note("b", "other", 10.0, asked=100.5, id="id-2")
    other.answered(echo("other"), "alpha")
    other.ended = 101.5
    history = History([lost, other], [Fault("kill -9 worker", 101.0, 101.0)], seed=7, wall_offset_s=1_000_000.0)
    calls = [Call("alpha", 1, 1, "chat", 100.8, None, question=lost.question)]
    when = datetime.fromtimestamp(1_000_102.0, UTC).isoformat()
    logs = {"worker": f'{{"event": "finished", "work": "id-1", "timestamp": "{when}"}}\nnothing of id-1 here'}
    events = [
        {"time": 1_000_100.3, "source": "coordinator", "type": "optimizer.cache.miss", "request_id": "id-1"},
        {"time": 1_000_100.6, "source": "coordinator", "type": "optimizer.cache.miss", "request_id": "id-2"},
    ]

    text = report(check(history, calls), history, calls, logs, events)

    told = text.partition("the story of")[2]
    words = ["a id-1", "invoke id-1", "cache.miss", "call 1 begins", "kill -9 worker", "finished", "never resolved"]
    places = [told.index(word) for word in words]
    assert places == sorted(places)
    assert text.startswith("seed: 7\n")
    assert "lost: a id-1 ('lost one'): it never ended" in text
    assert "id-2" not in told
