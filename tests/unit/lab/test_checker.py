"""The checker catches each kind of broken promise, and lets through what the injected faults explain."""

import dataclasses
import math
import subprocess
import sys

import pytest
from tests.lab.checker import check, could_be_served, unexplained
from tests.lab.history import Fault, History, Note, NoteFile, echo
from tests.support.judge import Call, Limit

RPM = Limit("short", "requests", 2, 10.0, "alpha")
ONE_AT_ONCE = Limit("concurrency", "concurrency", 1, 0.0, "alpha")


def note(prompt: str = "q", agent: str = "a", asked: float = 0.0, timeout_s: float = 10.0, **more) -> Note:
    """A request that was answered rightly after a second, unless told otherwise."""
    made = Note(agent, prompt, timeout_s, asked=asked)
    made.answer, made.outcome, made.resolutions, made.ended = echo(prompt), "answered", 1, asked + 1
    return dataclasses.replace(made, **more)


def late(**more) -> Note:
    """A request that missed its deadline."""
    return note(outcome="deadline_exceeded", answer=None, ended=10.0, **more)


def call(
    start: float = 0.5, end: float | None = 0.9, prompt: str = "q", status: int | None = 200, seq: int = 1
) -> Call:
    """An upstream call."""
    return Call("alpha", 1, seq, "chat", start, end, status, question=echo(prompt).removeprefix("echo:"))


def rules(*notes: Note, calls=None, faults=(), **more) -> list[str]:
    """The rules that a history breaks."""
    history = History(list(notes), list(faults))
    found = check(history, [call()] if calls is None else calls, **more)
    assert found.ok == (not found.broken)
    return [each.rule for each in found.broken]


def test_written_apart():
    """The checker and what it rests on import nothing of the product."""
    program = (
        "import sys; import tests.lab.checker, tests.lab.story; print([m for m in sys.modules if 'optimizer' in m])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"


def test_nothing_wrong():
    """One request with its answer and its call breaks no rule."""
    assert rules(note()) == []


def test_nothing_to_check():
    """A history without requests is refused: it must not look like a pass."""
    with pytest.raises(ValueError, match="no request"):
        check(History(), [])


def test_pending():
    """A request without an end is lost, unless its caller was killed."""
    pending = note(outcome="pending", resolutions=0, ended=math.inf, answer=None)
    assert rules(pending) == ["lost"]
    assert rules(pending, faults=[Fault("kill -9 a", 0.2, 0.2, callers=("a",))]) == []
    assert rules(pending, faults=[Fault("kill -9 b", 0.2, 0.2, callers=("b",))]) == ["lost"]


def test_two_ends():
    """A caller that is told two ends of one request is seen."""
    assert rules(note(resolutions=2)) == ["resolved"]


def test_late_end():
    """An end long after the deadline is seen."""
    assert rules(note(ended=13.0)) == ["resolved"]
    assert rules(note(ended=11.0)) == []


def test_wrong_answer():
    """The answer to another question is seen, whatever the client thought of it."""
    assert rules(note(answer=echo("other"))) == ["right"]
    assert rules(note(answer=None)) == ["right"]


def test_unexpected_error():
    """An error is seen, unless the test allows its code."""
    refused = note(outcome="overloaded", answer=None)
    assert rules(refused) == ["unexpected"]
    assert rules(refused, allowed={"overloaded"}) == []


def test_missed_deadline_with_budget():
    """A missed deadline is a loss if a backend of the route had room for it, even for a moment."""
    used_up = [call(0.0, 0.1, "x"), call(0.0, 0.1, "y")]
    others = [note("x"), note("y")]
    assert rules(late(), calls=[]) == ["lost"]
    assert rules(late(), *others, calls=used_up) == ["lost"]
    assert rules(late(), *others, calls=used_up, limits=[RPM]) == ["lost"]
    assert rules(late(timeout_s=9.0), *others, calls=used_up, limits=[RPM]) == []
    assert rules(late(), calls=[], allowed={"deadline_exceeded"}) == []


def test_missed_deadline_with_budget_elsewhere():
    """Only the backends of its own route count, and each of them."""
    busy = [call(0.0, None, "x")]
    assert rules(late(route=("alpha",)), note("x"), calls=busy, limits=[ONE_AT_ONCE]) == []
    assert rules(late(route=("alpha", "beta")), note("x"), calls=busy, limits=[ONE_AT_ONCE]) == ["lost"]


def test_missed_deadline_while_all_was_away():
    """What nobody could call is excused, until it is back in time for a call."""
    out = Fault("partition", 0.0, 20.0, away=("*",))
    assert rules(late(), calls=[], faults=[out]) == []
    back = dataclasses.replace(out, until=8.0)
    assert rules(late(), calls=[], faults=[back]) == ["lost"]
    assert rules(late(), calls=[], faults=[back], service_s=3.0) == []


def test_room_comes_back():
    """Room is found when a call ends or leaves a window, and not if a later arrival would then be too many."""
    calls = [call(-1.0, 4.0), call(5.0, 6.0)]
    assert could_be_served(late(), "alpha", calls, [ONE_AT_ONCE], (), 0.0) == 4.0
    assert could_be_served(late(), "alpha", calls, [RPM], (), 0.0) == 9.0


def test_call_that_nothing_explains():
    """A second call of a question is seen, however many asked it."""
    twice = [call(0.5, 0.9), call(1.5, 1.9, seq=2)]
    assert rules(note(), note(agent="b"), calls=twice) == ["calls"]
    assert rules(note(cache="off"), note(agent="b", cache="off"), calls=twice) == []
    assert rules(note(), calls=[call(), call(prompt="never asked")]) == ["calls"]


def test_calls_that_are_explained():
    """A failed call explains the next; a fault explains as many as it says, of those that began after it."""
    assert unexplained([call(0, 1, status=503), call(2, 3)], ()) == 0
    two, three = [call(0, None), call(5, 6)], [call(0, None), call(5, None), call(7, 8)]
    kill = Fault("kill -9", 3.0, 3.0, extra_calls=1)
    assert unexplained(two, [kill]) == 0
    assert unexplained(three, [kill]) == 1
    assert unexplained(three, [kill, dataclasses.replace(kill, at=6.0, until=6.0)]) == 0
    assert unexplained(two, [dataclasses.replace(kill, at=5.5, until=5.5)]) == 1
    assert unexplained([call(4, None), call(5, 6)], [kill]) == 1
    assert unexplained(two, [dataclasses.replace(kill, extra_calls=0)]) == 1
    assert unexplained(three, [dataclasses.replace(kill, until=9.0, extra_calls=math.inf)]) == 0


def test_a_call_cut_off_explains_nothing():
    """A call whose client went away is no failed one: only a fault explains the next."""
    assert unexplained([call(0, 1, status=None), call(2, 3)], ()) == 1


def test_exceeded_window():
    """One call too many in a window is seen."""
    calls = [call(t, t + 0.1, f"q{t}", seq=t) for t in range(3)]
    assert rules(*(note(f"q{t}") for t in range(3)), calls=calls, limits=[RPM]) == ["budget"]
    assert rules(*(note(f"q{t}") for t in range(2)), calls=calls[:2], limits=[RPM]) == []


def test_leftovers():
    """A message left in any queue is seen."""
    assert rules(note(), leftovers={"calls": 1, "requests": 0}) == ["leftovers"]


def test_notes_of_a_killed_process(tmp_path):
    """What a client process noted is read back, its last word on each request; a torn line is left out."""
    path, one, two = tmp_path / "notes", note("one"), note("two", outcome="pending", ended=math.inf, resolutions=0)
    file = NoteFile(path)
    for each in (dataclasses.replace(one, outcome="pending"), two, one):
        file.write(each)
    file.close()
    with path.open("a") as torn:
        torn.write('{"agent": ')
    assert NoteFile.read(path) == [one, two]
