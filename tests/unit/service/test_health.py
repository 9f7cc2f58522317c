"""The admin port: health, readiness, metrics."""

import socket

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from optimizer_config import Secret
from optimizer_service.health import AdminRefused, AdminServer, PortTaken, Readiness, is_loopback


async def get(url):
    """Status, content type and body."""
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        body = await (response.json() if response.content_type == "application/json" else response.text())
        return response.status, response.content_type, body


@pytest.mark.parametrize(
    ("now", "status", "body"),
    [
        (Readiness(), 200, {"ok": True, "missing": {}, "degraded": {}}),
        (Readiness(degraded={"redis": "away"}), 200, {"ok": True, "missing": {}, "degraded": {"redis": "away"}}),
        (Readiness({"rabbitmq": "gone"}), 503, {"ok": False, "missing": {"rabbitmq": "gone"}, "degraded": {}}),
    ],
)
async def test_readiness(now, status, body):
    """What is missing makes 503 and is named; what is degraded is named and does not."""
    server = AdminServer("127.0.0.1", 0, lambda: now)
    url = await server.start()
    try:
        assert await get(f"{url}/readyz") == (status, "application/json", body)
        assert (await get(f"{url}/healthz"))[0] == 200
    finally:
        await server.stop()


async def test_metrics():
    """Metrics come in the text format of Prometheus."""
    registry = CollectorRegistry()
    Counter("seen", "Things seen", registry=registry).inc(3)
    server = AdminServer("127.0.0.1", 0, Readiness, registry)
    url = await server.start()
    try:
        status, kind, body = await get(f"{url}/metrics")
    finally:
        await server.stop()

    assert (status, kind) == (200, "text/plain")
    assert "seen_total 3.0" in body


async def test_port_taken():
    """A port in use is one sentence that names it and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"127\.0\.0\.1:{port} cannot be used .* --admin-port"):
            await AdminServer("127.0.0.1", port, Readiness).start()


TOKEN = "t0ken-of-the-admin-port"


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/anything"])
@pytest.mark.parametrize(
    "given",
    [None, "", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer \xff\xfe"],
)
async def test_without_the_token(path, given):
    """With a token set, whoever does not send it as a bearer gets 401, and not the token."""
    server = AdminServer("127.0.0.1", 0, Readiness, token=Secret(TOKEN))
    url = await server.start()
    try:
        headers = {} if given is None else {"Authorization": given}
        async with aiohttp.ClientSession(headers=headers) as session, session.get(f"{url}{path}") as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"] == "Bearer"
            assert TOKEN not in await response.text()
    finally:
        await server.stop()


async def test_with_the_token():
    """The token opens everything; whether the process lives may be asked without it."""
    server = AdminServer("127.0.0.1", 0, Readiness, token=Secret(TOKEN))
    url = await server.start()
    try:
        assert (await get(f"{url}/healthz"))[0] == 200
        headers = {"Authorization": f"bearer {TOKEN}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            for path in ("/metrics", "/readyz"):
                async with session.get(f"{url}{path}") as response:
                    assert response.status == 200
    finally:
        await server.stop()


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "192.0.2.1", "example.org"])
async def test_open_to_others_without_a_token(host):
    """Where others could reach it, the port is not opened without a token, and the sentence says what to set."""
    with pytest.raises(AdminRefused, match="OPTIMIZER_ADMIN_TOKEN"):
        await AdminServer(host, 0, Readiness).start()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback(host):
    """What only this machine reaches is loopback."""
    assert is_loopback(host)
