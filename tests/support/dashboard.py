"""A dashboard as a real process, and a client that sees everything of its answers."""

import http.client
import json
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.support.history_events import seed
from tests.support.stack import Running, Stack, wait_until

TOKEN = "a-token-of-the-tests-alone"
BACKENDS = {
    name: {"api": "openai", "base_url": "http://127.0.0.1:9/v1", "models": [model], "kind": "local"}
    for name, model in (("alpha", "sim-large"), ("beta", "sim-small"))
}


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    text: str

    def json(self):
        return json.loads(self.text)


@dataclass
class Dashboard:
    """Where it listens; sends requests as `curl` would, without a browser's help."""

    running: Running
    host: str = "127.0.0.1"
    port: int = 0
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        line = wait_until(lambda: _ready(self.running), "the dashboard", 30)
        self.port = int(line["url"].rpartition(":")[2])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, method: str = "GET", form: dict[str, str] | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = None
        if form is not None:
            method, body = "POST", urllib.parse.urlencode(form)
            named.setdefault("Content-Type", "application/x-www-form-urlencoded")
        connection.request(method, path, body, {"Accept": "text/html", **self.headers, **named})
        response = connection.getresponse()
        answer = Answer(response.status, dict(response.getheaders()), response.read().decode())
        connection.close()
        return answer

    def lines(self, path: str, timeout_s: float = 10.0) -> Iterator[str]:
        """The lines of a stream as they come; closed with the iterator."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            assert response.status == 200
            end = time.monotonic() + timeout_s
            while time.monotonic() < end and (line := response.readline()):
                yield line.decode().rstrip("\n")
        finally:
            connection.close()


def launch(stack: Stack, *options: str, token: str | None = TOKEN, **environment: str) -> Running:
    """Start one; with a history of a fleet of seven agents if there is none yet."""
    if token is not None:
        environment["OPTIMIZER_ADMIN_TOKEN"] = token
    return stack.launch("dashboard", "optimizer_ops", "dashboard", "--port", "0", *options, environment=environment)


def with_history(stack: Stack, requests: int = 400) -> Stack:
    """A configuration of two backends that nobody serves, and what happened there."""
    stack.backends |= BACKENDS
    stack.routes |= {"default": list(BACKENDS)}
    stack.configure()
    seed(stack.environment()["OPTIMIZER_HISTORY_URL"], time.time(), requests=requests)
    return stack


def _ready(running: Running) -> dict[str, str] | None:
    if running.process.poll() is not None:
        raise AssertionError(f"{running.name} left with code {running.process.returncode}:\n{running.text()}")
    lines = (json.loads(line) for line in running.text().splitlines() if '"event": "ready"' in line)
    return next(lines, None)
