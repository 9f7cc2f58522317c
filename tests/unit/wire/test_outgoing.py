"""What a channel writes to a stream, and what not any more."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from optimizer_wire.broker_errors import LOST
from optimizer_wire.frames import Properties
from optimizer_wire.outgoing import Outgoing


class Stream:
    """A stream that refuses what is written to it once it is closing, as uvloop's does."""

    def __init__(self) -> None:
        self.closing = False
        self.written: list[bytes] = []

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        if self.closing:
            raise RuntimeError("the handler is closed")
        self.written.append(data)

    async def drain(self) -> None:
        """Everything was written."""


def channel_of(frame_max: int = 131_072) -> Any:
    """As much of aiormq's channel as is looked at."""
    tune = SimpleNamespace(connection_tune=SimpleNamespace(frame_max=frame_max))
    closing = asyncio.get_running_loop().create_future()
    return SimpleNamespace(number=1, is_closed=False, closing=closing, connection=tune)


async def test_a_broker_without_a_limit_to_frames_gets_whole_messages():
    """RabbitMQ says 0 where frames may be as large as one likes: that is not no body at all."""
    stream: Any = Stream()
    Outgoing(channel_of(0), stream).publish("", "key", b"x" * 300_000, Properties("test.v1", "m", content_type="text"))
    await asyncio.sleep(0)

    assert stream.written[0].count(b"x") >= 300_000


@pytest.mark.parametrize("what", ["stream", "channel"])
async def test_what_breaks_between_sending_and_writing_is_no_error_of_the_loop(what: str):
    """A connection that breaks in the turn in which something was sent, and more is to be added, ends quietly."""
    channel, stream = channel_of(), Stream()
    outgoing = Outgoing(channel, stream)  # type: ignore[arg-type]
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    def send() -> None:
        outgoing.publish("", "key", b"body", Properties("test.v1", "m", content_type="text/plain"))

    send()
    await asyncio.sleep(0)
    outgoing.before_writing.append(send)
    send()
    if what == "stream":
        stream.closing = True
    else:
        channel.is_closed = True
    await asyncio.sleep(0)

    assert (len(stream.written), complaints) == (1, [])


async def test_what_was_not_written_is_not_said_to_be():
    """A stream that closes before the write of this turn has not got it, and who waits for that write is told so."""
    stream: Any = Stream()
    outgoing = Outgoing(channel_of(), stream)
    outgoing.publish("", "key", b"body", Properties("test.v1", "m", content_type="text/plain"))
    await outgoing.written()
    assert len(stream.written) == 1

    asyncio.get_running_loop().call_soon(setattr, stream, "closing", True)
    outgoing.publish("", "key", b"body", Properties("test.v1", "m", content_type="text/plain"))
    with pytest.raises(LOST):
        await outgoing.written()
