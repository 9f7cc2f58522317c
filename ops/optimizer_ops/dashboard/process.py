"""The dashboard as a process: from its configuration to its exit code."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from optimizer_config.credentials import ADMIN_TOKEN, Secret
from optimizer_config.model import Config
from optimizer_ops.dashboard.access import Access
from optimizer_ops.dashboard.app import make_app
from optimizer_ops.dashboard.hub import EventHub
from optimizer_ops.dashboard.patience import PatientProtocol
from optimizer_ops.dashboard.routes import routes
from optimizer_ops.dashboard.sources import Sources
from optimizer_ops.live.live import Live
from optimizer_service.exit_codes import EXIT_CONFIG
from optimizer_service.health import AdminRefused, PortTaken, Readiness, Unprotected, is_loopback
from optimizer_service.lifetime import stop_on_signals
from optimizer_service.logs import logger
from optimizer_service.metrics import describe_process
from optimizer_service.systemd import keep_informed

# What a viewer has begun may end within this time when the process is asked to stop.
_GRACE_S = 3


async def serve(config: Config, *, host: str = "127.0.0.1", port: int = 8502, token: Secret | None = None) -> int:
    """Serve the dashboard and the HTTP API until asked to stop; returns the exit code."""
    log = logger("dashboard")
    try:
        listener = listen(host, port, token)
    except AdminRefused as error:
        log.error("cannot start", reason=str(error))
        return EXIT_CONFIG
    stop = stop_on_signals()
    live = Live(config)
    hub = EventHub(config.amqp_url, config.prefix, stop, log)
    sources = Sources(config, live, hub, stop)
    app = make_app(sources, Access(token, host), routes())
    server = _Server(
        uvicorn.Config(
            app,
            http=PatientProtocol,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=_GRACE_S,
        )
    )
    describe_process("dashboard", Readiness, uses=())
    bound_host, bound_port = listener.getsockname()[:2]
    shown = f"[{bound_host}]" if ":" in bound_host else bound_host
    log.info("ready", url=f"http://{shown}:{bound_port}", actions="with the token" if token else "none: read-only")
    listening = asyncio.ensure_future(hub.run())
    stopping = asyncio.ensure_future(_stopper(stop, server))
    # It shows whatever there is to see, and says what is away: nothing is missing for that.
    informing = asyncio.ensure_future(keep_informed(Readiness, stop))
    try:
        await server.serve([listener])
    finally:
        stop.set()
        informing.cancel()
        await asyncio.gather(listening, stopping, informing, return_exceptions=True)
        await sources.close()
        await live.close()
    log.info("stopped")
    return 0


def listen(host: str, port: int, token: Secret | None) -> socket.socket:
    """A socket that listens; port 0 takes any free one.

    :raises Unprotected: if others could reach it and there is no token.
    :raises PortTaken: if the port is in use or the address is not of this machine.
    """
    if token is None and not is_loopback(host):
        raise Unprotected(
            f"The dashboard would be open to others on {host or 'all addresses'}: set a token ({ADMIN_TOKEN}, "
            f"{ADMIN_TOKEN}_FILE or the systemd credential admin_token), or leave --host at 127.0.0.1."
        )
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(512)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise PortTaken(
            f"The dashboard's port {host}:{port} cannot be used ({error.strerror or error}); choose another with "
            "--port, or 0 for any free one."
        ) from error
    listener.setblocking(False)
    return listener


async def _stopper(stop: asyncio.Event, server: uvicorn.Server) -> None:
    await stop.wait()
    server.should_exit = True


class _Server(uvicorn.Server):
    """Leaves the signals to this process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
