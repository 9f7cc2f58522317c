"""No cancellation is lost, neither by us nor by libraries that lose one."""

import asyncio
from contextlib import suppress

import pytest

from optimizer_wire import cancellation
from optimizer_wire.cancellation import end, set_within


async def test_whether_it_was_set_in_time():
    """What is set already, or meanwhile, was set in time; what is not, was not."""
    event = asyncio.Event()

    assert not await set_within(event, 0.01)
    asyncio.get_running_loop().call_later(0.01, event.set)
    assert await set_within(event, 10)
    assert await set_within(event, 10)


@pytest.mark.parametrize("turns", range(5))
async def test_a_cancellation_at_the_moment_of_the_event_ends_the_task(turns: int):
    """However many turns of the loop after the event a task is cancelled, it does not wait on."""
    event = asyncio.Event()

    async def work() -> None:
        while True:
            await set_within(event, 0.05)
            await asyncio.sleep(60)

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0.01)
    event.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()

    assert await asyncio.wait([task], timeout=5) == ({task}, set())


async def test_who_loses_a_cancellation_is_cancelled_again(monkeypatch):
    """A task that goes on after a cancellation, as with a library that loses it, ends all the same, and in silence."""
    monkeypatch.setattr(cancellation, "AGAIN_S", 0.01)
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    async def deaf() -> None:
        for _ in range(3):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
        raise ValueError

    tasks = [asyncio.ensure_future(deaf()), asyncio.ensure_future(asyncio.sleep(60))]
    await asyncio.sleep(0)
    await asyncio.wait_for(end(tasks), 10)

    assert [task.done() for task in tasks] == [True, True]
    del tasks
    assert complaints == []
