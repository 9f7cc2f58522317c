"""Reading what reached a backend from the log of its simulator."""

import pytest
from tests.unit.demo.samples import BACKEND

from optimizer_ops.demo.request_log import BackendRecord, LogTail
from optimizer_ops.simulator.request_log import Entry, RequestLog


@pytest.fixture
def record():
    """An empty record."""
    return BackendRecord(BACKEND)


def _entry(seq: int, mono: float, op: str = "chat", question: str | None = "q") -> Entry:
    entry = Entry(seq=seq, pid=1, backend="sim", at=mono, mono=mono, op=op, question=question, prompt_tokens=7)
    entry.ended_at = entry.ended_mono = mono + 0.5
    return entry


def _end(log: RequestLog, entry: Entry, status: int | None, outcome: str, tokens: int = 0) -> None:
    entry.status, entry.outcome, entry.completion_tokens = status, outcome, tokens
    log.end(entry)


def test_what_the_simulator_writes_is_understood(tmp_path, record):
    """Calls, their ends, statuses and tokens come from the simulator's own lines."""
    log = RequestLog(tmp_path / "log")
    entries = [_entry(seq, float(seq), question=f"q{seq % 2}") for seq in range(4)]
    for entry in entries:
        log.start(entry)
    _end(log, entries[0], 200, "answered", 30)
    _end(log, entries[1], 503, "failed")
    _end(log, entries[2], None, "gone")
    log.close()

    LogTail(tmp_path / "log", record).read()

    assert (record.calls, record.in_flight, record.errors, record.throttled, record.unanswered) == (4, 1, 1, 0, 1)
    assert (record.input_tokens, record.output_tokens) == (7, 30)
    assert record.questions == {"q0": 2, "q1": 2}


def test_a_line_that_is_being_written_waits(tmp_path, record):
    """Half a line is read when its rest has come, and nothing is read twice."""
    path = tmp_path / "log"
    tail = LogTail(path, record)
    tail.read()
    line = '{"event":"start","pid":1,"seq":1,"mono":1.5,"op":"chat"}\n'

    path.write_text(line + line[:20].replace('"seq":1', '"seq":2'))
    tail.read()
    assert record.calls == 1

    path.write_text(line + line.replace('"seq":1', '"seq":2'))
    tail.read()
    assert record.calls == 2


def test_a_look_at_the_models_is_no_call(tmp_path, record):
    """Only what costs budget counts."""
    log = RequestLog(tmp_path / "log")
    log.start(_entry(1, 1.0, op="models", question=None))
    log.close()

    LogTail(tmp_path / "log", record).read()

    assert record.calls == 0


def test_the_tightest_window_is_the_one_with_the_largest_share(tmp_path, record):
    """Shortly after a call it is the short window, later the long one."""
    log = RequestLog(tmp_path / "log")
    for seq in range(3):
        log.start(_entry(seq, 10.0 + seq))
    log.close()
    LogTail(tmp_path / "log", record).read()

    assert record.tightest(12.5) == (BACKEND.windows[0], 1)
    assert record.tightest(30.0) == (BACKEND.windows[1], 3)
    assert [record.most(window) for window in BACKEND.windows] == [1, 3]


def test_arrivals_count_by_their_time_not_by_their_line(record, tmp_path):
    """A request with a long body is logged after one that arrived later."""
    log = RequestLog(tmp_path / "log")
    for seq, mono in enumerate((2.0, 1.0, 3.0)):
        log.start(_entry(seq, mono))
    log.close()

    LogTail(tmp_path / "log", record).read()

    assert record.arrivals == [1.0, 2.0, 3.0]
