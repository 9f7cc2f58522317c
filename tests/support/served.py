"""The dashboard's application on a real port, in a thread of the test: what is patched in the test is patched there."""

import asyncio
import contextlib
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from tests.support.stack import Stack, wait_until

from optimizer_config.credentials import Secret
from optimizer_config.load import load
from optimizer_config.model import Config
from optimizer_ops.dashboard.access import Access
from optimizer_ops.dashboard.app import make_app
from optimizer_ops.dashboard.hub import EventHub
from optimizer_ops.dashboard.routes import routes
from optimizer_ops.dashboard.sources import Sources
from optimizer_ops.live.live import Live
from optimizer_service.logs import logger

TOKEN = "token-of-this-test-0123"
BACKEND = {"api": "openai", "base_url": "http://127.0.0.1:1/v1", "models": ["sim-large"], "kind": "local"}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Api:
    """Where it listens."""

    url: str

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request, with the token unless `Authorization` is given; a body that is no bytes is sent as JSON."""
        given = {"Authorization": f"Bearer {TOKEN}"} | {name.replace("_", "-"): text for name, text in headers.items()}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if data is not None:
            given.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(f"{self.url}{path}", data, given, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return Answer(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())

    def get(self, path: str, **headers: str) -> Any:
        """The JSON of an answer, which must be a success."""
        answer = self.call("GET", path, **headers)
        assert answer.status == 200, answer
        return answer.json

    def post(self, path: str, body: Any) -> Any:
        """The JSON of an answer, which must be a success."""
        answer = self.call("POST", path, body)
        assert answer.status == 200, answer
        return answer.json


def configured(stack: Stack, **environment: str) -> Config:
    """The configuration of a deployment with one backend, which nobody serves."""
    stack.backends["alpha"] = BACKEND
    stack.routes["default"] = ["alpha"]
    stack.configure()
    return load(str(stack.folder / "optimizer.toml"), stack.environment() | environment)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # type: ignore[override]
        yield


@contextmanager
def served(config: Config, token: str | None = TOKEN) -> Iterator[Api]:
    """Serve the pages and the API of a deployment on a free port."""
    started: list[_Server] = []

    async def serve() -> None:
        stop, live = asyncio.Event(), Live(config)
        sources = Sources(config, live, EventHub(config.amqp_url, config.prefix, stop, logger("test")), stop)
        app = make_app(sources, Access(None if token is None else Secret(token), "127.0.0.1"), routes())
        settings = uvicorn.Config(app, port=0, log_config=None, access_log=False, lifespan="off")
        started.append(_Server(settings))
        try:
            await started[0].serve()
        finally:
            await sources.close()
            await live.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        wait_until(lambda: started and started[0].started, "the application")
        port = started[0].servers[0].sockets[0].getsockname()[1]
        yield Api(f"http://127.0.0.1:{port}")
    finally:
        if started:
            started[0].should_exit = True
        thread.join(10)
