"""What systemd is told, and when."""

import asyncio
import os
import socket
from contextlib import suppress

import pytest

from optimizer_service.health import Readiness
from optimizer_service.systemd import Notices, keep_informed, watchdog_s

WELL = Readiness()
WAITING = Readiness(missing={"rabbitmq": "not consuming"})


def due(notices: Notices, now: Readiness = WELL, *, flowing: bool = True, stopping: bool = False, at_s: float = 0.0):
    return notices.due(now, flowing=flowing, stopping=stopping, at_s=at_s)


def test_ready_is_told_once_and_only_when_nothing_is_missing():
    """A process is ready when it can do its work, and says so once; until then its status says what is missing."""
    notices = Notices()
    assert due(notices, WAITING) == ["STATUS=rabbitmq: not consuming"]
    assert due(notices, WAITING) == []
    assert due(notices) == ["READY=1", "STATUS=working"]
    assert due(notices, WAITING) == ["STATUS=rabbitmq: not consuming"]
    assert due(notices) == ["STATUS=working"]


def test_what_it_does_without_is_in_the_status():
    """A process that works without Redis says so."""
    assert "STATUS=working; redis away" in due(Notices(), Readiness(degraded={"redis": "away"}))


def test_the_watchdog_is_fed_three_times_within_its_time_while_messages_flow():
    """The watchdog is fed every third of its time, and not before."""
    notices = Notices(watchdog_s=60.0)
    fed = [at_s for at_s in range(61) if "WATCHDOG=1" in due(notices, at_s=float(at_s))]
    assert fed == [0, 20, 40, 60]


def test_nobody_feeds_the_watchdog_of_a_process_that_gets_nothing():
    """While no message comes through, the watchdog is not fed; when one does, at once."""
    notices = Notices(watchdog_s=60.0)
    due(notices)
    assert not any(due(notices, flowing=False, at_s=float(at_s)) for at_s in range(1, 100))
    assert due(notices, at_s=100.0) == ["WATCHDOG=1"]


def test_a_stop_is_told_once_and_the_watchdog_is_fed_until_the_end():
    """What drains is not ended by the watchdog, although it consumes nothing any more."""
    notices = Notices(watchdog_s=3.0)
    due(notices)
    told = due(notices, stopping=True, flowing=False, at_s=0.5)
    assert told == ["STOPPING=1", "STATUS=stopping: what has begun is finished"]
    assert due(notices, stopping=True, flowing=False, at_s=2.0) == ["WATCHDOG=1"]


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_time_of_the_watchdog(environ, wanted):
    """The time of the watchdog is taken only if it is meant for this process."""
    assert watchdog_s(environ) == wanted


@pytest.mark.parametrize("abstract", [False, True])
async def test_a_socket_of_systemd_hears_it(tmp_path, abstract):
    """Everything arrives at the socket that systemd names, a file or an abstract one, the stop at once."""
    address = f"\0optimizer-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.setblocking(False)
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        environ = {"NOTIFY_SOCKET": address.replace("\0", "@"), "WATCHDOG_USEC": "60000000"}
        informing = asyncio.ensure_future(keep_informed(lambda: WELL, stop, environ=environ))
        try:
            first = await asyncio.wait_for(loop.sock_recv(systemd, 1000), 5)
            stop.set()
            last = await asyncio.wait_for(loop.sock_recv(systemd, 1000), 5)
        finally:
            informing.cancel()
            with suppress(asyncio.CancelledError):
                await informing
    assert first == b"READY=1\nSTATUS=working\nWATCHDOG=1"
    assert last.startswith(b"STOPPING=1")


async def test_without_systemd_nothing_is_done():
    """Where no systemd listens, informing it ends at once."""
    await asyncio.wait_for(keep_informed(lambda: WELL, asyncio.Event(), environ={}), 1)
