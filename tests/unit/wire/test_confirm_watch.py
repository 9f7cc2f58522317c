"""Confirms that do not come: told after their time, and an alarm of the broker stops the clock."""

import asyncio
from types import SimpleNamespace

import pytest

from optimizer_wire.broker_errors import Blocked, Unconfirmed
from optimizer_wire.confirm_watch import ConfirmWatch

LONG_S = 60.0


async def ended(watch: ConfirmWatch, timeout_s: float, blocked_s: float) -> None:
    """Wait for a confirm that does not come."""
    confirmation: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    watch.add(confirmation, timeout_s, blocked_s)
    await asyncio.wait_for(confirmation, 10)


async def test_each_ends_after_its_own_time():
    """Of two messages the one with little time is told that its outcome is unknown, and the other one still waits."""
    watch = ConfirmWatch(SimpleNamespace(blocked=None, unblocked_at=float("-inf")))
    patient = asyncio.ensure_future(ended(watch, LONG_S, LONG_S))

    with pytest.raises(Unconfirmed, match="did not confirm within"):
        await ended(watch, 0.01, LONG_S)

    assert not patient.done()
    patient.cancel()


async def test_an_alarm_has_its_own_clock():
    """While the broker has an alarm only the time for alarms counts, and after it the time begins anew."""
    connection = SimpleNamespace(blocked="low on memory", unblocked_at=float("-inf"))
    watch = ConfirmWatch(connection)
    waits = asyncio.ensure_future(ended(watch, 0.01, LONG_S))
    with pytest.raises(Blocked, match="low on memory"):
        await ended(watch, 0.01, 0.01)
    assert not waits.done()

    connection.blocked, connection.unblocked_at = None, asyncio.get_running_loop().time() + LONG_S
    short = asyncio.ensure_future(ended(watch, 0.01, LONG_S))
    await asyncio.sleep(0.3)
    assert not waits.done()
    assert not short.done()

    connection.unblocked_at = asyncio.get_running_loop().time()
    with pytest.raises(Unconfirmed):
        await waits
    with pytest.raises(Unconfirmed):
        await short
