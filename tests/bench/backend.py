"""A backend that costs next to nothing: an OpenAI chat completion at once, or after `/<ms>` at the front of the path.

The simulator of the project keeps a log of what it was asked and takes 0.13 ms of CPU a call, enough to slow down on
two cores what is measured. This one answers any POST with the first characters of the last message.

    python -m tests.bench.backend        says where it listens: {"event": "ready", "port": 12345}
"""

import asyncio
import json
from typing import Any

import msgspec
from tests.bench.questions import ECHOED_CHARS

MODEL = "sim-model"


class _Message(msgspec.Struct):
    content: str


class _Question(msgspec.Struct):
    messages: list[_Message]


_decoder = msgspec.json.Decoder(_Question)


class Connection(asyncio.Protocol):
    """One connection, with one request at a time, as HTTP clients do it."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end]).lower()
            size = _content_length(head)
            if len(self._buffer) < end + 4 + size:
                return
            body = bytes(self._buffer[end + 4 : end + 4 + size])
            del self._buffer[: end + 4 + size]
            answer = (
                _answer(body) if head.startswith(b"post ") else b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
            )
            if latency_ms := _latency_ms(head):
                asyncio.get_running_loop().call_later(latency_ms / 1000, self._transport.write, answer)
            else:
                self._transport.write(answer)


def _content_length(head: bytes) -> int:
    _, found, rest = head.partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


def _latency_ms(head: bytes) -> int:
    first = head.split(b" ", 2)[1].split(b"/", 2)[1]
    return int(first) if first.isdigit() else 0


def _answer(body: bytes) -> bytes:
    text = _decoder.decode(body).messages[-1].content
    content = {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_767_225_600,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text[:ECHOED_CHARS]},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": len(text) // 4, "completion_tokens": 8, "total_tokens": len(text) // 4 + 8},
    }
    encoded = msgspec.json.encode(content)
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        len(encoded),
        encoded,
    )


async def serve() -> None:
    """Listen on a free port until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=4096)
    print(json.dumps({"event": "ready", "port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve())
