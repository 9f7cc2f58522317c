"""Answers of backends, mutated: whatever comes back is an outcome in time that can be counted, told and sent on."""

import asyncio
import json
import random

import msgspec
import pytest
from tests.support.seeds import seed
from tests.unit.backends.test_http import PARAMS, Server, client_of, reply

from optimizer_backends.result import CallResult
from optimizer_wire.codec import encode
from optimizer_wire.events import CALL_FAILED, Event
from optimizer_workers.upstream import _encoded

ROUNDS = 300
TIMEOUT_S = 5.0
OPENAI = {
    "id": "c",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 1},
    },
}
ANTHROPIC = {
    "id": "c",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": 1},
}
ERROR = {"error": {"message": "No.", "type": "invalid_request_error", "code": "bad", "details": [{"reason": "x"}]}}
# As JSON text, since Python would not write all of them.
ODD = (
    "null",
    "true",
    "-1",
    "1e308",
    "1e400",
    "NaN",
    "-Infinity",
    "0.1",
    "9" * 40,
    "-" + "9" * 40,
    '""',
    '"\\ud800"',
    '"' + "x" * 100_000 + '"',
    "[]",
    "{}",
    "[[[{}]]]",
    "[" * 800 + "]" * 800,
    "[" * 100_000,
    '{"": {"": ""}}',
    "[1, null, {}]",
)
HEADERS = (
    "Retry-After: -1",
    "Retry-After: 1e99",
    "Retry-After: " + "9" * 400,
    "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT",
    "x-ratelimit-remaining-requests: -5",
    "x-ratelimit-remaining-tokens: NaN",
    "x-ratelimit-limit-requests: " + "9" * 60,
    "x-ratelimit-reset-requests: 99999999999999h",
    "anthropic-ratelimit-requests-remaining: \xff\xfe",
    "x-should-retry: maybe",
    "Content-Encoding: br",
    "Content-Encoding: gzip",
    "Transfer-Encoding: chunked",
    "Content-Length: 3",
    "x: " + "y" * 7_000,
    "x: " + "y" * 64_000,
)


def mutated(chosen, answer):
    """The bytes of an answer with odd values in some of its places, perhaps broken off."""
    text = json.dumps(answer)
    places = [json.dumps(value) for value in leaves(answer)]
    for _ in range(chosen.choice((0, 1, 1, 2))):
        text = text.replace(chosen.choice(places), chosen.choice(ODD), 1)
    body = text.encode(errors="surrogatepass")
    match chosen.randrange(8):
        case 0:
            return body[: chosen.randrange(len(body) + 1)]
        case 1:
            at = chosen.randrange(len(body) + 1)
            return body[:at] + chosen.randbytes(4) + body[at:]
        case _:
            return body


def leaves(value):
    """All values in an answer, whole parts included."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value, *(leaf for item in inner for leaf in leaves(item))]


def response(chosen, answer):
    """A whole response: often a status that fits, now and then headers that do not."""
    status = chosen.choice(
        ("200 OK", "200 OK", "200 OK", "400 Bad", "401 No", "429 Slow", "500 Broken", "529 Full", "299 X")
    )
    headers = chosen.sample(HEADERS, chosen.choice((0, 0, 1, 2)))
    return reply(mutated(chosen, chosen.choice((answer, answer, ERROR))), status, *headers)


def passable(result: CallResult):
    """What comes of an answer can be counted, told and sent on."""
    if result.usage is not None:
        used = result.usage
        assert 0 <= used.input_tokens <= 10**9
        assert 0 <= used.output_tokens <= 2 * 10**9
    _encoded(result)
    fields = {"message": result.message, "error_signature": result.signature, "model": result.model}
    happened = {"v": 1, "id": "i", "type": CALL_FAILED, "source": "worker/b/1", "time": 0.0, "status": result.status}
    body = encode(Event(**happened, **fields, usage=result.usage))
    assert len(body) < 64 * 1024
    assert result.retry_after_s is None or 0 <= result.retry_after_s <= 24 * 3600
    assert all(msgspec.msgpack.encode(left) for left in result.remaining)


@pytest.mark.parametrize(("api", "answer"), [("openai", OPENAI), ("anthropic", ANTHROPIC)])
async def test_mutated_answers(api, answer):
    """Whatever a backend answers is an outcome that can be passed on; nothing raises, and nothing takes too long."""
    wanted = seed()
    print(f"OPTIMIZER_TEST_SEED={wanted}")
    chosen = random.Random(wanted)

    async def script(writer):
        # A response that ends before it should would leave the next one of this connection in its middle.
        writer.write(response(chosen, answer))
        await writer.drain()
        writer.close()

    async with Server(script) as server, client_of(server, api=api, limit=1) as client:
        for number in range(ROUNDS):
            async with asyncio.timeout(TIMEOUT_S + 1):
                result = await client.call("chat", "m", PARAMS, TIMEOUT_S)
            try:
                passable(result)
            except Exception as error:
                raise AssertionError(f"seed {wanted}, answer {number}: {result!r}") from error


async def endless(writer):
    """A chunked body that never ends, quickly."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
        await writer.drain()


async def dripping(writer):
    """A body that never ends, a byte at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\nContent-Type: application/json\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def endless_headers(writer):
    """Headers that never end."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        writer.write(b"x-more: " + b"y" * 1_000 + b"\r\n")
        await writer.drain()


@pytest.mark.parametrize(("script", "ends"), [(endless, "transient"), (dripping, "timed_out"), (endless_headers, None)])
async def test_endless_answers(script, ends):
    """An answer without an end is given up by its size or at the call's time, whichever is first."""
    async with Server(script) as server, client_of(server) as client, asyncio.timeout(4):
        result = await client.call("chat", "m", PARAMS, 1.0)

    assert not result.outcome.ok
    assert ends is None or result.outcome.value in {ends, "timed_out"}
