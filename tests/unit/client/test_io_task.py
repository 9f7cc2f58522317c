"""The asyncio client's clock, without a connection."""

import asyncio

import uvloop

from optimizer_client.io_task import IoTask
from optimizer_wire.errors import OptimizerError
from optimizer_wire.messages import VERSION, Request
from optimizer_wire.topology import Names


def test_what_is_due_already_is_told_on_uvloop():
    """A deadline that has passed by the time its alarm is set ends its request, also with uvloop's handles."""

    async def asked() -> BaseException | None:
        loop = asyncio.get_running_loop()
        io = IoTask("amqp://127.0.0.1:1/", Names("test"), "agent", waits_blocked=False)
        future: asyncio.Future = loop.create_future()
        request = Request(VERSION, "r1", "agent", {"messages": []}, timeout_ms=1)
        io._pending.add(request, future, loop.time() - 1)
        io._arm()
        io._arm()
        await asyncio.wait([future], timeout=5)
        return future.exception()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        error = runner.run(asked())

    assert isinstance(error, OptimizerError)
