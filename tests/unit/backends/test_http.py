"""The aiohttp shell against servers that behave, misbehave and vanish."""

import asyncio
import contextlib
import functools
import gzip
import json
import socket
import time

import aiohttp
import pytest

from optimizer_backends import http
from optimizer_backends.http import BackendClient
from optimizer_config.credentials import Secret
from optimizer_config.model import Backend

PARAMS = {"messages": [{"role": "user", "content": "the prompt, of which nothing may be shown to anybody"}]}
ANSWER = json.dumps({"model": "m-1", "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}).encode()
EMBEDDING = json.dumps({"data": [{"embedding": [1.0]}]}).encode()


def reply(body=ANSWER, status="200 OK", *headers):
    """The bytes of a response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Content-Type: application/json", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Server:
    """A server that does with each request what a test wants: it writes the given bytes and may then hang or leave."""

    def __init__(self, script=None):
        self.script = script or (lambda writer: writer.write(reply()))
        self.requests = []
        self.arrivals = []
        self.connections = 0
        self.asked = asyncio.Event()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = dict(line.split(": ", 1) for line in head.decode("latin-1").lower().split("\r\n")[1:] if line)
                body = await reader.readexactly(int(fields["content-length"]))
                self.arrivals.append(time.monotonic())
                self.requests.append((head, body))
                self.asked.set()
                done = self.script(writer)
                if asyncio.iscoroutine(done):
                    await done
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


def client_of(server, api="openai", limit=4, secret="sk-secret-key-1234", table=None):
    """A client of that server."""
    backend = Backend("b", api, f"http://127.0.0.1:{server.port}/v1", ("m",), ratelimit_headers=table)
    return BackendClient(backend, Secret(secret) if secret else None, limit=limit)


async def one_call(script, timeout_s=5.0, op="chat", params=PARAMS, **options):
    """The result of one call to a server with this script."""
    async with Server(script) as server, client_of(server, **options) as client:
        return await client.call(op, "m", params, timeout_s), server


def writing(*parts):
    """A script that writes these bytes and leaves."""

    def script(writer):
        for part in parts:
            writer.write(part)
        writer.close()

    return script


async def hang(writer):
    """A script that never answers."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(3600)


# --- what works


@pytest.mark.parametrize("table", ["cerebras", None])
async def test_headers_are_read_by_the_backends_table(table):
    """A result says what remains, and when a refused call may come back; without a table nothing is read."""
    headers = ("X-RateLimit-Remaining-Requests-Minute: 0", "X-RateLimit-Reset-Requests-Minute: 12.5")
    answered, _ = await one_call(lambda writer: writer.write(reply(ANSWER, "200 OK", *headers)), table=table)
    refused, _ = await one_call(lambda writer: writer.write(reply(b"{}", "429 No", *headers)), table=table)

    assert (answered.retry_after_s, refused.retry_after_s) == ((None, 12.5) if table else (None, None))
    assert [[each.remaining for each in result.remaining] for result in (answered, refused)] == [
        [0] if table else []
    ] * 2


async def test_an_answer():
    """The request arrives as it was meant, and the answer comes back with all headers in lower case."""
    result, server = await one_call(lambda writer: writer.write(reply(ANSWER, "200 OK", "X-A: 1", "X-A: 2")))
    head, body = server.requests[0]

    assert (result.outcome, result.status, result.model, result.complete) == ("answered", 200, "m-1", True)
    assert [value for name, value in result.headers if name == "x-a"] == ["1", "2"]
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert b"authorization: bearer sk-secret-key-1234\r\n" in head.lower()
    assert json.loads(body) == {**PARAMS, "model": "m"}


async def test_when_it_was_written():
    """`written_at` is between the start of the call and the arrival at the backend; `ended_at` is after it."""
    before = time.monotonic()
    result, server = await one_call(None)

    assert before <= result.written_at <= server.arrivals[0] <= result.ended_at <= time.monotonic()


async def test_connections_are_kept():
    """Calls one after the other go over one connection."""
    async with Server() as server, client_of(server) as client:
        results = [await client.call("chat", "m", PARAMS, 5) for _ in range(3)]

    assert [result.outcome for result in results] == ["answered"] * 3
    assert (server.connections, len(server.requests)) == (1, 3)


async def test_the_limit_holds():
    """No more connections than the limit; the other calls wait for one."""
    async with Server() as server, client_of(server, limit=2) as client:
        results = await asyncio.gather(*(client.call("chat", "m", PARAMS, 5) for _ in range(8)))

    assert {result.outcome for result in results} == {"answered"}
    assert server.connections == 2


async def test_compressed_answers():
    """A gzip answer is read."""
    result, _ = await one_call(
        lambda writer: writer.write(reply(gzip.compress(ANSWER), "200 OK", "Content-Encoding: gzip"))
    )

    assert result.outcome == "answered"


async def test_embeddings_and_anthropic():
    """The other operation and the other family go the same way."""
    embedded, _ = await one_call(lambda writer: writer.write(reply(EMBEDDING)), op="embed", params={"input": "x"})
    message = json.dumps({"content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"}).encode()
    told, server = await one_call(lambda writer: writer.write(reply(message)), api="anthropic")

    assert (embedded.outcome, told.outcome) == ("answered", "answered")
    assert server.requests[0][0].startswith(b"POST /v1/messages ")


# --- what does not


@pytest.mark.parametrize(
    ("script", "outcome", "signature"),
    [
        (writing(), "transient", "connection ServerDisconnectedError"),
        (writing(b"HTTP/1.1 200 OK\r\nContent-Le"), "transient", "connection"),
        (writing(b"not http at all\r\n\r\n"), "transient", "connection ClientResponseError"),
        (writing(reply()[:-5]), "transient", "connection ClientPayloadError"),
        (writing(reply(b"abc", "200 OK", "Content-Encoding: gzip")), "transient", "connection ClientPayloadError"),
        (writing(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"), "transient", "connection"),
        (lambda writer: writer.transport.abort(), "transient", "connection"),
        (writing(reply(b"", "307 Temporary Redirect", "Location: http://127.0.0.1:1/")), "transient", "307"),
        (writing(reply(EMBEDDING)), "transient", "200 other kind"),
        (writing(reply(b"{}", "529 Overloaded")), "overloaded", "529"),
        (writing(reply(b"<html>", "502 Bad Gateway")), "transient", "502"),
    ],
)
async def test_what_servers_do(script, outcome, signature):
    """Everything that a server or the network does is an outcome; the request was written and is not repeated."""
    result, server = await one_call(script)

    assert (result.outcome, result.body, result.complete) == (outcome, None, False)
    assert result.signature.startswith(signature)
    assert result.message
    assert result.written_at is not None
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "script",
    [
        hang,
        lambda writer: writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
        lambda writer: writer.write(b"HTTP/1.1 200 OK\r\n"),
    ],
)
async def test_no_answer_in_time(script):
    """No answer, half a head or half a body within the time is `timed_out`, about when it was due."""
    started = time.monotonic()
    result, _ = await one_call(script, timeout_s=0.2)

    assert (result.outcome, result.signature) == ("timed_out", "timeout")
    assert result.message == "The backend did not answer within 0.2 s."
    assert result.written_at is not None
    assert 0.19 <= result.ended_at - started < 2


async def test_no_time_left():
    """A call without time ends at once."""
    result, _ = await one_call(hang, timeout_s=0.0)

    assert result.outcome == "timed_out"


@pytest.mark.parametrize("host", ["127.0.0.1", "nowhere.invalid", "a..b"])
async def test_nobody_there(host):
    """A closed port and a name that is none are passing faults; nothing was written, so nothing was used."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        backend = Backend("b", "openai", f"http://{host}:{bound.getsockname()[1]}/v1", ("m",))
        async with BackendClient(backend, None, limit=1) as client:
            result = await client.call("chat", "m", PARAMS, 10)

    assert (result.outcome, result.status, result.written_at) == ("transient", None, None)
    assert result.signature.startswith("connect ")
    assert "cannot be reached" in result.message


@pytest.mark.parametrize("told", [True, False])
async def test_answers_that_never_end(monkeypatch, told):
    """An answer beyond the limit is given up, whether it tells its size or not."""
    monkeypatch.setattr(http, "MAX_ANSWER_BYTES", 1000)
    body = b"x" * 5000
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1388\r\n" + body + b"\r\n0\r\n\r\n"

    result, _ = await one_call(writing(reply(body) if told else chunked))

    assert (result.outcome, result.signature) == ("transient", "answer too large")
    assert "1,000 bytes" in result.message


async def test_answers_that_announce_too_much(monkeypatch):
    """An answer that tells a size beyond the limit is given up before it is read."""
    monkeypatch.setattr(http, "MAX_ANSWER_BYTES", 1000)

    result, _ = await one_call(lambda writer: writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"))

    assert (result.outcome, result.signature) == ("transient", "answer too large")


def test_no_connection_in_time():
    """A backend that does not take connections is ill, and nothing was used of its budget."""
    result = http._broken(aiohttp.ConnectionTimeoutError("x"), was_written=False, timeout_s=60)

    assert (result.outcome, result.signature) == ("transient", "connect timeout")
    assert result.message == "No connection to the backend within 10 s."


async def test_bombs_are_measured_unpacked():
    """A small answer that unpacks to more than the limit is given up too."""
    bomb = gzip.compress(b" " * (http.MAX_ANSWER_BYTES + 1))

    result, _ = await one_call(writing(reply(bomb, "200 OK", "Content-Encoding: gzip")))

    assert (result.outcome, result.body) == ("transient", None)


async def test_what_cannot_be_said_is_not_sent():
    """A request that the family cannot express ends before the network."""
    result, server = await one_call(None, api="anthropic", op="embed")

    assert (result.outcome, result.signature, server.requests) == ("unknown_model", "untranslatable", [])
    assert result.written_at is None


async def test_cancelling_closes_the_connection():
    """A call that is given up lets go of its connection, and the client goes on."""
    async with Server(hang) as server, client_of(server, limit=1) as client:
        calling = asyncio.ensure_future(client.call("chat", "m", PARAMS, 60))
        await server.asked.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        server.script = lambda writer: writer.write(reply())
        result = await client.call("chat", "m", PARAMS, 5)

    assert result.outcome == "answered"
    assert server.connections == 2


async def test_outside_of_its_context():
    """Using a client that is not open is a fault of ours and raises."""
    with pytest.raises(RuntimeError, match="async with"):
        await BackendClient(Backend("b", "openai", "http://h", ("m",)), None, limit=1).call("chat", "m", {}, 1)


# --- what is shown


def refusing(message):
    """A script that refuses with this message."""
    return lambda writer: writer.write(reply(json.dumps({"error": {"message": message}}).encode(), "400 Bad Request"))


@pytest.mark.parametrize(
    "message",
    [
        f"Cannot read: {PARAMS['messages'][0]['content']}",
        "You sent 'of which nothing may be shown' to us",
        "The key sk-secret-key-1234 may not",
        "The key plainsecret may not",
    ],
)
async def test_neither_prompt_nor_key_is_shown(message):
    """A message that repeats the prompt or the key is replaced by our own."""
    secret = "plainsecret" if "plainsecret" in message else "sk-secret-key-1234"
    result, _ = await one_call(refusing(message), secret=secret)

    assert result.outcome == "invalid"
    assert secret not in result.message
    assert "nothing may be shown" not in result.message
    assert secret not in repr(result)


async def test_other_messages_are_shown():
    """What helps the caller stays."""
    result, _ = await one_call(refusing("Unsupported parameter: top_k"))

    assert result.message == "The backend refuses the request (400): Unsupported parameter: top_k"


async def test_answers_that_show_a_secret():
    """An answer that holds the key is no answer; pieces of secrets and endless names are left out of what is told."""
    key = "sk-secret-key-1234"
    shown = json.loads(ANSWER) | {"model": key}
    hidden = json.loads(ANSWER) | {"model": "Secret-Key", "usage": {"prompt_tokens": 3, "note": "SECRET-KEY-12"}}
    long = json.loads(ANSWER) | {"model": "m" * 10_000, "usage": {"prompt_tokens": 3, "note": "x" * 10_000}}
    bodies = [json.dumps(body).encode() for body in (shown, hidden, long)]
    async with Server(lambda writer: writer.write(reply(bodies.pop(0)))) as server, client_of(server) as client:
        first, second, third = [await client.call("chat", "m", PARAMS, 5) for _ in range(3)]

    assert not first.outcome.ok
    assert key not in repr(first)
    assert first.body is None
    for result in (second, third):
        assert result.outcome.ok
        assert (result.model, result.usage.raw, result.usage.input_tokens) == (None, None, 3)


@pytest.mark.parametrize("where", ["message", "code", "type"])
async def test_errors_that_show_a_secret(where):
    """Wherever an error holds the key, even cut off or in capitals, neither its message nor its signature shows it."""
    for key in ("sk-secret-key-1234", "SK-SECRET-KEY-12", "x" * 228 + "sk-secret-key-1234"):
        body = json.dumps({"error": {"message": "Refused.", where: key}}).encode()
        script = functools.partial(lambda said, writer: writer.write(reply(said, "400 Bad Request")), body)
        async with Server(script) as server, client_of(server) as client:
            result = await client.call("chat", "m", PARAMS, 5)

        assert "secret" not in repr(result).lower()
