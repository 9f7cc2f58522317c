"""The admin port of a process: `/metrics`, `/healthz` (the process lives), `/readyz` (it can do its work).

With a token, `/metrics` and `/readyz` are for those who send it (`Authorization: Bearer …`): they name backends and
what is broken. `/healthz` says no more than an open port does, and whoever restarts processes need not hold a secret.
"""

import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from optimizer_config.credentials import ADMIN_TOKEN, Secret

_OPEN = "/healthz"


@dataclass(frozen=True, slots=True)
class Readiness:
    """What keeps a process from its work (`missing`), and what it does without (`degraded`), each with a reason."""

    missing: dict[str, str] = field(default_factory=dict)
    degraded: dict[str, str] = field(default_factory=dict)


class AdminRefused(Exception):
    """The admin port cannot be opened; the message says why and what to do."""


def degraded(blocked: str | None, redis: str | None) -> dict[str, str]:
    """What a process does without: RabbitMQ's taking of messages, for a reason, and Redis, with what comes of it."""
    found = {"redis": redis, "rabbitmq": blocked and f"takes no messages: {blocked}"}
    return {name: why for name, why in found.items() if why}


class PortTaken(AdminRefused):
    """The admin port is in use."""


class Unprotected(AdminRefused):
    """The admin port would be open to others without a token."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on this address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class AdminServer:
    """Serves health and metrics on loopback; elsewhere only with a token. Port 0 takes any free one."""

    def __init__(
        self,
        host: str,
        port: int,
        readiness: Callable[[], Readiness],
        registry: CollectorRegistry = REGISTRY,
        token: Secret | None = None,
    ) -> None:
        self._host, self._port = host, port
        self._readiness = readiness
        self._registry = registry
        self._token = token
        app = web.Application(middlewares=[self._admit])
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)

    async def start(self) -> str:
        """Listen; returns the URL.

        :raises PortTaken: if the port is in use or the address is not of this machine.
        :raises Unprotected: if others could reach it and there is no token.
        """
        if self._token is None and not is_loopback(self._host):
            raise Unprotected(
                f"The admin port would be open to others on {self._host or 'all addresses'}: set a token "
                f"({ADMIN_TOKEN}, {ADMIN_TOKEN}_FILE or the systemd credential admin_token), or leave --admin-host "
                "at 127.0.0.1."
            )
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

    @web.middleware
    async def _admit(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if self._token is None or request.path == _OPEN or self._is_token(request.headers.get("Authorization", "")):
            return await handler(request)
        text = "This needs the admin token: Authorization: Bearer <token>.\n"
        return web.Response(status=401, text=text, headers={"WWW-Authenticate": "Bearer"})

    def _is_token(self, authorization: str) -> bool:
        """In constant time, so that nobody finds the token letter by letter."""
        scheme, _, given = authorization.partition(" ")
        wanted = self._token.reveal() if self._token else ""
        # A header may hold bytes that are no UTF-8; they come as lone surrogates.
        matches = hmac.compare_digest(given.strip().encode(errors="surrogateescape"), wanted.encode())
        return scheme.lower() == "bearer" and matches

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def _readyz(self, _: web.Request) -> web.Response:
        now = self._readiness()
        body = {"ok": not now.missing, "missing": now.missing, "degraded": now.degraded}
        return web.json_response(body, status=503 if now.missing else 200)
