"""The dashboard's patience with those who ask slowly."""

import asyncio
from contextlib import suppress

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from optimizer_ops.dashboard import patience
from optimizer_ops.dashboard.process import listen

BODY = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n"
WHOLE = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def answer(request: Request) -> PlainTextResponse:
    """Read all of the request, and take longer over the answer than the patience lasts."""
    await request.body()
    await asyncio.sleep(0.8)
    return PlainTextResponse("here it is")


@pytest.fixture
async def port(monkeypatch):
    """A server with little patience."""
    monkeypatch.setattr(patience, "PATIENCE_S", 0.2)
    listener = listen("127.0.0.1", 0, None)
    app = Starlette(routes=[Route("/", answer, methods=["GET", "POST"])])
    server = uvicorn.Server(
        uvicorn.Config(app, http=patience.PatientProtocol, log_config=None, lifespan="off", timeout_keep_alive=30)
    )
    serving = asyncio.ensure_future(server._serve([listener]))
    yield listener.getsockname()[1]
    server.should_exit = True
    await serving


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: loc", BODY, BODY + b"ab"])
async def test_who_does_not_finish_is_let_go(port, said):
    """Whoever stops in the middle of a request, or never begins, does not keep the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    with suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


@pytest.mark.parametrize("said", [WHOLE, BODY + b"abcd"])
async def test_who_has_asked_may_wait(port, said):
    """An answer may take as long as it does, as a stream of events does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    head = await asyncio.wait_for(reader.readuntil(b"here it is"), 10)
    assert head.startswith(b"HTTP/1.1 200")
    writer.close()
