"""`/health`, `/metrics`: this process, and what it reads from."""

import asyncio
import time
from importlib.metadata import version

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from optimizer_ops.dashboard.api.answers import HealthAnswer, PartHealth
from optimizer_ops.dashboard.api.endpoint import Asked, Endpoint
from optimizer_ops.dashboard.api.looking import away
from optimizer_ops.history.reader import History, HistoryUnavailable
from optimizer_ops.history.views import Recording
from optimizer_ops.live.status import LiveStatus

# A recorder writes at least every few seconds that it lives.
_SILENT_S = 30.0


async def health(asked: Asked) -> HealthAnswer:
    """How everything does; reasons only for those who may read."""
    status, recording = await asyncio.gather(asked.sources.look(), _recording(asked))
    parts = {
        "redis": _part(status.redis.there, away(status.redis)),
        "rabbitmq": _part(status.rabbitmq.there, away(status.rabbitmq)),
        "history": _part(not isinstance(recording, str), str(recording)),
        "coordinators": _part(bool(status.coordinators), "No coordinator takes requests."),
        "recorder": _recorder(status, recording),
    }
    told = {name: part if asked.knows else PartHealth(there=part.there) for name, part in parts.items()}
    return HealthAnswer(
        status="ok" if all(part.there for part in parts.values()) else "degraded",
        version=version("fleet-optimizer"),
        uptime_s=round(time.time() - asked.sources.started, 3),
        parts=told,  # type: ignore[arg-type]
    )


def _part(there: bool, message: str) -> PartHealth:
    return PartHealth(there=there, message="" if there else message)


def _recorder(status: LiveStatus, recording: "Recording | str | None") -> PartHealth:
    if status.recorders:
        return PartHealth(there=True)
    if isinstance(recording, Recording) and time.time() - recording.beat < _SILENT_S:
        return PartHealth(there=True)
    return PartHealth(there=False, message="No recorder takes events: start optimizer recorder.")


async def _recording(asked: Asked) -> "Recording | str | None":
    try:
        return await asked.sources.ask(History.recording)
    except HistoryUnavailable as error:
        return str(error)


async def metrics(_: Asked) -> bytes:
    """The metrics of this process."""
    return generate_latest()


ENDPOINTS = (
    Endpoint(
        "GET",
        "/health",
        "health",
        "Whether this process and what it reads from are there",
        health,
        HealthAnswer,
        details="Always 200 while the process answers; `status` is `degraded` if a part is away. Reasons are for those "
        "who may read.",
        open=True,
    ),
    Endpoint(
        "GET",
        "/metrics",
        "health",
        "Metrics of this process for Prometheus",
        metrics,
        str,
        text=CONTENT_TYPE_LATEST,
    ),
)
