"""The admin port: health, readiness, metrics."""

import socket

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from optimizer_service.health import AdminServer, PortTaken, Readiness


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
