"""The HTTP shell of simulated backends, on aiohttp's plain server (no routes, no middleware: it must be fast).

    simulator = Simulator(SimulatorSpec(name="groq", headers="groq", limits=Limits(rpm=30)))
    url = await simulator.start()            # "http://127.0.0.1:<port>"; OpenAI clients add "/v1"
    ...
    await simulator.stop()

Besides the two protocols it serves `POST /_control` (a JSON merge patch of the spec), `GET /_control`, `GET /_log`
(`?since=SEQ`), `GET /_stats` and `POST /_release` (lets go what the fault `hold` holds).
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec
from aiohttp import web

from optimizer_ops.simulator import answers, wire
from optimizer_ops.simulator.backend import Backend, Op
from optimizer_ops.simulator.errors import failure_of
from optimizer_ops.simulator.request_log import Entry, RequestLog
from optimizer_ops.simulator.spec import SimulatorSpec, SpecError, patched

_OPS: dict[str, tuple[str, Op]] = {
    "/chat/completions": ("POST", "chat"),
    "/messages": ("POST", "messages"),
    "/embeddings": ("POST", "embeddings"),
    "/models": ("GET", "models"),
}


class Simulator:
    """One simulated backend on one port. `log` is a file to append the record to; several backends may share it."""

    def __init__(self, spec: SimulatorSpec, log: Path | None = None) -> None:
        self.log = RequestLog(log)
        self.backend = Backend(spec, self.log)
        self.url = ""
        self._runner: web.ServerRunner | None = None
        self._released = asyncio.Event()
        self._known: dict[tuple[str, str], Op] = {}

    @property
    def spec(self) -> SimulatorSpec:
        """The script as it is now."""
        return self.backend.spec

    @property
    def entries(self) -> list[Entry]:
        """What arrived so far, oldest first."""
        return list(self.log.entries)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen, and return the base URL without `/v1`. Port 0 takes a free one. Raises OSError if it is taken."""
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, backlog=1024).start()
        bound = self._runner.addresses[0][1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{bound}"
        return self.url

    async def stop(self) -> None:
        """Close the port and every connection. `start` may be called again, the record goes on."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def close(self) -> None:
        """Stop, and close the log file."""
        await self.stop()
        self.log.close()

    async def __aenter__(self) -> Self:
        """Listen on a free port of this machine."""
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Close everything."""
        await self.close()

    def patch(self, patch: dict[str, Any]) -> SimulatorSpec:
        """Change the script with a JSON merge patch, as `POST /_control` does. Raises SpecError."""
        self.backend.configure(patched(self.spec, patch))
        return self.spec

    def release(self) -> None:
        """Let go the requests that the fault `hold` holds now; later ones are held again."""
        self._released.set()
        self._released = asyncio.Event()

    def stats(self) -> dict[str, Any]:
        """Counts, and how many requests are in flight now."""
        return {"name": self.spec.name, "in_flight": self.backend.in_flight, **self.log.stats()}

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path.startswith("/_"):
            return await self._operate(request, path)
        op = self._known.get((request.method, path)) or self._find(request.method, path)
        if op is None:
            return self._not_found(path)
        return await self._serve(request, op)

    def _find(self, method: str, path: str) -> Op | None:
        for suffix, (wanted, op) in _OPS.items():
            if method == wanted and path.endswith(suffix):
                self._known[method, path] = op
                return op
        return None

    async def _serve(self, request: web.BaseRequest, op: Op) -> web.StreamResponse:
        entry = self.backend.arrive(op)
        entry.call_id = request.headers.get("x-client-request-id")
        key = _key_of(request)
        try:
            body = await request.content.read()
        except BaseException:
            # The client went away within its body: it did arrive, so the record must show it.
            self.backend.finish(self.backend.plan(entry, b"", key), None, "gone")
            raise
        plan = self.backend.plan(entry, body, key)
        try:
            response, status, outcome = await wire.send(self.backend, plan, request, self._released)
        except BaseException as error:
            left = isinstance(error, (asyncio.CancelledError, ConnectionError))
            self.backend.finish(plan, None, plan.fault if plan.fault != "ok" else "gone" if left else "error")
            raise
        self.backend.finish(plan, status, outcome)
        return response

    async def _operate(self, request: web.BaseRequest, path: str) -> web.Response:
        if (request.method, path) == ("POST", "/_control"):
            try:
                return _json(self.patch(msgspec.json.decode(await request.content.read())))
            except (SpecError, msgspec.DecodeError) as error:
                return _json({"error": {"message": str(error)}}, 400)
        views: dict[tuple[str, str], Callable[[], Any]] = {
            ("GET", "/_control"): lambda: self.spec,
            ("GET", "/_log"): lambda: self.log.since(int(request.query.get("since", "0"))),
            ("GET", "/_stats"): self.stats,
            ("POST", "/_release"): self.release,
        }
        view = views.get((request.method, path))
        return self._not_found(path) if view is None else _json(view())

    def _not_found(self, path: str) -> web.Response:
        head, _, name = path.rpartition("/")
        if head.endswith("/models") and (not self.spec.models or name in self.spec.models):
            return _json(answers.model(name))
        failure = failure_of(404)
        return _json(
            {"error": {"message": f"nothing at {path}", "type": failure.type, "param": None, "code": None}}, 404
        )


def _key_of(request: web.BaseRequest) -> str | None:
    headers = request.headers
    key = headers.get("x-api-key")
    return key if key is not None else headers.get("Authorization", "").removeprefix("Bearer ")


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def run(
    specs: SimulatorSpec | Sequence[SimulatorSpec],
    host: str = "127.0.0.1",
    port: int = 8100,
    *,
    log: Path | None = None,
    ready: Callable[[SimulatorSpec, str], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT. Several specs listen on consecutive ports, or on free ones if `port` is 0."""
    chosen = [specs] if isinstance(specs, SimulatorSpec) else list(specs)
    _run_loop(_serve_until_signal(chosen, host, port, log, ready))


async def _serve_until_signal(
    specs: list[SimulatorSpec],
    host: str,
    port: int,
    path: Path | None,
    ready: Callable[[SimulatorSpec, str], None] | None,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    simulators = [Simulator(spec, path) for spec in specs]
    try:
        for index, simulator in enumerate(simulators):
            url = await simulator.start(host, port + index if port else 0)
            if ready is not None:
                ready(simulator.spec, url)
        await stop.wait()
    finally:
        for simulator in simulators:
            await simulator.close()


def _run_loop(main: Coroutine[Any, Any, None]) -> None:
    runner: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run
    with contextlib.suppress(ImportError):
        import uvloop

        runner = uvloop.run
    runner(main)
