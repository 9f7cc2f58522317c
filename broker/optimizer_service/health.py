"""The admin port of a process: `/metrics`, `/healthz` (the process lives), `/readyz` (it can do its work)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest


@dataclass(frozen=True, slots=True)
class Readiness:
    """What keeps a process from its work (`missing`), and what it does without (`degraded`), each with a reason."""

    missing: dict[str, str] = field(default_factory=dict)
    degraded: dict[str, str] = field(default_factory=dict)


class PortTaken(Exception):
    """The admin port is in use; the message says which and what to do."""


class AdminServer:
    """Serves health and metrics on loopback, unless told otherwise. Port 0 takes any free one."""

    def __init__(
        self, host: str, port: int, readiness: Callable[[], Readiness], registry: CollectorRegistry = REGISTRY
    ) -> None:
        self._host, self._port = host, port
        self._readiness = readiness
        self._registry = registry
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)

    async def start(self) -> str:
        """Listen; returns the URL.

        :raises PortTaken: if it cannot.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise PortTaken(
                f"The admin port {self._host}:{self._port} cannot be used ({error.strerror or error}); "
                "choose another with --admin-port, or 0 for any free one."
            ) from error
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def _readyz(self, _: web.Request) -> web.Response:
        now = self._readiness()
        body = {"ok": not now.missing, "missing": now.missing, "degraded": now.degraded}
        return web.json_response(body, status=503 if now.missing else 200)
