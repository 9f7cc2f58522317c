"""Request ids: UUIDs of version 7, sorted by the time they were made."""

import os
import time
from uuid import RFC_4122, UUID

import pytest

from optimizer_wire import ids
from optimizer_wire.ids import new_id


def test_valid_uuid7():
    """An id is a UUID of version 7 in its usual spelling, and its first 48 bits are Unix milliseconds."""
    before = time.time_ns() // 1_000_000
    made = new_id()
    after = time.time_ns() // 1_000_000

    value = UUID(made)
    assert str(value) == made
    assert (value.version, value.variant) == (7, RFC_4122)
    assert before <= value.int >> 80 <= after


def test_all_bits_are_used(monkeypatch):
    """Version and variant stay right whatever the random bits are."""
    for byte in (b"\x00", b"\xff"):
        ids._tails.clear()
        monkeypatch.setattr(ids.os, "urandom", lambda count, byte=byte: byte * count)
        assert (UUID(new_id()).version, UUID(new_id()).variant) == (7, RFC_4122)
    # They are not by chance.
    ids._tails.clear()


def test_sorted_by_time(monkeypatch):
    """Ids of later milliseconds sort later, as text too."""
    times = [1, 999, 1_700_000_000_000, 1_700_000_000_001, 2**47]
    made = []
    for milliseconds in times:
        monkeypatch.setattr(ids.time, "time_ns", lambda ms=milliseconds: ms * 1_000_000)
        made.append(new_id())

    assert made == sorted(made)


def test_never_twice():
    """Ten thousand ids of one moment differ."""
    assert len({new_id() for _ in range(10_000)}) == 10_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_never_twice_after_a_fork():
    """A copy of this process makes other ids than this one."""
    new_id()
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.write(writing, "".join(new_id() for _ in range(3)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 3 * 36).decode()

    assert len(theirs) == 3 * 36
    assert {theirs[at + 14 : at + 36] for at in (0, 36, 72)}.isdisjoint(new_id()[14:] for _ in range(3))
