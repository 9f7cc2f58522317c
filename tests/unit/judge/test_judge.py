"""The judge agrees with a brute-force reading of the same times, and its command line says no when it must."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import judge

JUDGE = Path(judge.__file__)
times = st.one_of(
    st.lists(st.integers(0, 200), max_size=40),
    st.lists(st.floats(0, 200, allow_nan=False), max_size=40),
)
windows = st.sampled_from([1, 10, 60, 2.5])
intervals = st.lists(st.tuples(st.integers(0, 50), st.one_of(st.none(), st.integers(0, 50))), max_size=25)


def lines(*calls: tuple, backend: str = "b", pid: int = 1) -> list[str]:
    """Log lines of calls given as (start, end, question); an end of None writes no end line."""
    found = []
    for seq, (start, end, question) in enumerate(calls, 1):
        head = {"pid": pid, "seq": seq, "backend": backend}
        begin = {"op": "chat", "question": question, "body_sha": f"{question}!", "prompt_tokens": 10}
        found.append({"event": "start", **head, **begin, "at": start + 1000, "mono": start})
        if end is not None:
            done = {"status": 200, "outcome": "answered", "completion_tokens": 5}
            found.append({"event": "end", **head, **done, "at": end + 1000, "mono": end})
    return [json.dumps(line) for line in sorted(found, key=lambda line: line["mono"])]


@given(times, windows)
def test_max_in_window_equals_brute_force(arrivals, window):
    """No window that begins at an arrival holds more, and the one named holds that many."""
    counts = [sum(1 for at in arrivals if at >= start and at - start < window) for start in arrivals]

    count, start = judge.max_in_window(arrivals, window)

    assert max(counts, default=0) == count
    if arrivals:
        assert sum(1 for at in arrivals if at >= start and at - start < window) == count


@given(st.lists(st.integers(0, 120), max_size=25), windows, st.integers(-61, 121))
def test_no_window_anywhere_holds_more(arrivals, window, anywhere):
    """Windows that begin between arrivals cannot hold more than the reported maximum."""
    held = sum(1 for at in arrivals if anywhere <= at < anywhere + window)

    assert held <= judge.max_in_window(arrivals, window)[0]


@given(st.lists(st.tuples(st.integers(0, 120), st.integers(0, 9)), max_size=30), windows)
def test_max_weight_equals_brute_force(arrivals, window):
    """The heaviest window is found for tokens as for requests."""
    weights = [sum(w for at, w in arrivals if start <= at and at - start < window) for start, _ in arrivals]

    assert max(weights, default=0) == judge.max_weight_in_window(arrivals, window)[0]


@given(intervals)
def test_max_concurrency_equals_brute_force(pairs):
    """At no moment are more intervals open than reported."""
    real = [(start, end) for start, end in pairs if end is None or end > start]
    counts = [sum(1 for s, e in real if s <= at and (e is None or at < e)) for at, _ in real]

    count, at = judge.max_concurrency([s for s, _ in pairs], [e for _, e in pairs])

    assert max(counts, default=0) == count
    assert (at is None) == (count == 0)


def test_the_window_is_half_open():
    """Two arrivals exactly a window apart are in no common window; a hair less, and they are."""
    assert judge.max_in_window([0.0, 60.0], 60) == (1, 0.0)
    assert judge.max_in_window([0.0, 59.999999], 60) == (2, 0.0)


def test_order_does_not_matter():
    """Lines of several writers may be mixed up."""
    assert judge.max_in_window([65, 0, 59, 61, 6], 60) == (4, 6)


def test_calls_are_counted_by_question():
    """Each question has its number of calls; the body's hash may be the key instead."""
    calls = judge.read_log(lines((0, 1, "x"), (1, 2, "y"), (2, 3, "x")))

    assert judge.calls_per_question(calls) == {"x": 2, "y": 1}
    assert judge.calls_per_question(calls, key="body") == {"x!": 2, "y!": 1}


def test_lists_of_models_are_not_calls():
    """Asking what models there are uses no budget."""
    log = [line.replace('"chat"', '"models"') for line in lines((0, 1, "x"), (1, 2, "y"))]

    assert judge.violations(judge.read_log(log), [judge.parse_limit("rpm=1")]) == []


@pytest.mark.parametrize(
    ("limit", "seen"),
    [
        ("rpm=2", 3),
        ("rps=1", 2),
        ("concurrency=1", 2),
        ("tpm=44", 45),
        ("3/71", 4),
        ("40/60:tokens", 45),
        ("29/60:input_tokens", 30),
        ("14/60:output_tokens", 15),
    ],
)
def test_broken_limits_are_found(limit, seen):
    """Each kind of limit is judged by what arrived."""
    calls = judge.read_log(lines((0, 5, "x"), (0.5, 2, "y"), (10, 11, "z"), (70, 71, "w")))

    found = judge.violations(calls, [judge.parse_limit(limit)])

    assert [seen] == [item.seen for item in found]


@pytest.mark.parametrize("limit", ["rpm=3", "rps=2", "concurrency=2", "tpm=45", "other:rpm=1", "3/70", "rpd=4"])
def test_kept_limits_are_passed(limit):
    """The same calls keep limits that are one higher, and limits of other backends."""
    calls = judge.read_log(lines((0, 5, "x"), (0.5, 2, "y"), (10, 11, "z"), (70, 71, "w")))

    assert judge.violations(calls, [judge.parse_limit(limit)]) == []


def test_backends_are_judged_apart():
    """Two backends with one call each do not break a limit of one."""
    calls = judge.read_log(lines((0, 1, "x"), backend="a") + lines((0, 1, "x"), backend="b"))

    assert judge.violations(calls, [judge.parse_limit("rpm=1"), judge.parse_limit("concurrency=1")]) == []


def test_an_open_call_counts_until_its_process_is_replaced():
    """A call without an end is in flight for ever, unless its backend was started anew."""
    left_open = lines((0, None, "x"), (1, 2, "y"), pid=1)
    later = lines((10, 11, "z"), pid=2)

    assert [call.end for call in judge.read_log(left_open)] == [None, 2]
    assert [call.end for call in judge.read_log(left_open + later)] == [2, 2, 11]


def test_a_torn_last_line_is_left_out():
    """A writer killed within a line loses that line only."""
    log = lines((0, 1, "x"), (2, 3, "y"))

    assert [call.end for call in judge.read_log([log[0], log[1][:20]])] == [None]
    with pytest.raises(ValueError, match="not JSON"):
        judge.read_log([log[0][:20], log[1]])


@pytest.mark.parametrize("text", ["rpm", "rpm=many", "rpx=3", "10/x", "x=1", "10/2:apples", ""])
def test_unreadable_limits_are_refused(text):
    """A limit that cannot be read is an error, never a limit that is kept."""
    with pytest.raises(ValueError, match="cannot read the limit"):
        judge.parse_limit(text)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--limit", "rpm=2"], 0),
        (["--limit", "rpm=1"], 1),
        (["--limit", "b:rpm=1"], 1),
        (["--limit", "typo:rpm=1"], 2),
        (["--limit", "rpm"], 2),
        (["--max-calls", "2"], 0),
        (["--max-calls", "1"], 1),
    ],
)
def test_the_exit_code_is_the_judgement(tmp_path, capsys, options, code):
    """0 for kept, 1 for broken, 2 for a question that makes no sense."""
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(lines((0, 1, "x"), (2, 3, "x"))))

    assert code == judge.main([str(path), *options])


def test_it_runs_alone(tmp_path):
    """The file runs without the project, and an empty log is not a passed judgement."""
    empty = tmp_path / "log.jsonl"
    empty.touch()

    done = subprocess.run(
        [sys.executable, "-I", str(JUDGE), str(empty), "--limit", "rpm=1"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert "no call" in done.stderr


def test_it_imports_the_standard_library_only():
    """Whoever judges must share nothing with what is judged."""
    imported = [line.split()[1] for line in JUDGE.read_text().splitlines() if line.startswith(("import ", "from "))]

    assert set(imported) <= set(sys.stdlib_module_names) | {"collections.abc"}


@pytest.mark.parametrize(
    ("arrivals", "share"),
    [
        ([(0.0, 1), (0.0, 1), (10.0, 1), (10.0, 1)], 1.0),
        ([(0.0, 1), (1.0, 1), (12.5, 1), (13.5, 1)], 0.8),
        ([(0.0, 2), (20.0, 1), (20.0, 1)], 0.5),
        ([(0.0, 1), (1.0, 1)], 0.0),
        ([], 0.0),
    ],
)
def test_used_share(arrivals, share):
    """Of 2 in 10 s all is used if the next two follow after 10 s, half if they follow after 20 s."""
    assert judge.used_share(arrivals, 2, 10.0) == share
