"""A plan put on the wire: a whole answer, a stream, or one of the faults that only a socket can show."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

from aiohttp import web
from multidict import CIMultiDict

from optimizer_ops.simulator.backend import Backend, Plan
from optimizer_ops.simulator.streams import PIECE_TOKENS, data, named

_JSON = "application/json"
_EVENTS = "text/event-stream; charset=utf-8"
_DRIBBLE_BYTES = 24
_LINGER_OFF = struct.pack("ii", 1, 0)

Sent = tuple[web.StreamResponse, int | None, str]
"""The response, the status that was sent (None: nothing was), and the outcome for the log."""


async def send(backend: Backend, plan: Plan, request: web.BaseRequest, released: asyncio.Event) -> Sent:
    """Answer the request as planned."""
    fault = plan.fault
    if fault == "hold":
        await released.wait()
    elif fault == "hang":
        await asyncio.Event().wait()
    elif fault == "reset":
        reset(request)
        return web.Response(), None, "reset"
    elif fault != "ok":
        return await _FAULTS[fault](backend, plan, request)
    if plan.latency_s > 0 and plan.failure is None:
        await asyncio.sleep(plan.latency_s)
    events = backend.events_of(plan)
    if events is not None:
        return await _stream(backend, plan, request, events)
    per_token_s = backend.spec.latency.per_token_s
    if per_token_s > 0 and plan.failure is None and plan.answer is not None:
        await asyncio.sleep(per_token_s * plan.answer.completion_tokens)
    return _whole(backend, plan)


def outcome_of(plan: Plan) -> str:
    """How the log calls a plan that was carried out to its end."""
    if plan.failure is None:
        return "answered"
    if plan.refusal is not None:
        return "throttled"
    return {401: "unauthorized"}.get(plan.failure.status, "failed" if plan.admitted else "invalid")


def reset(request: web.BaseRequest) -> None:
    """Close the connection with a reset, not a goodbye."""
    transport = request.transport
    if transport is not None:
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)
        transport.abort()


def _head(backend: Backend, plan: Plan, content_type: str) -> CIMultiDict[str]:
    head = CIMultiDict(backend.headers_of(plan))
    head["content-type"] = content_type
    return head


def _whole(backend: Backend, plan: Plan) -> Sent:
    status = 200 if plan.failure is None else plan.failure.status
    response = web.Response(body=backend.body_of(plan), status=status, headers=_head(backend, plan, _JSON))
    return response, status, outcome_of(plan)


async def _open(
    backend: Backend, plan: Plan, request: web.BaseRequest, length: int | None = None
) -> web.StreamResponse:
    """Send status 200 and the headers, now."""
    streaming = plan.question is not None and plan.question.stream
    response = web.StreamResponse(headers=_head(backend, plan, _EVENTS if streaming else _JSON))
    response.content_length = length
    await response.prepare(request)
    return response


async def _stream(backend: Backend, plan: Plan, request: web.BaseRequest, events: list[bytes]) -> Sent:
    response = await _open(backend, plan, request)
    per_piece_s = backend.spec.latency.per_token_s * PIECE_TOKENS
    if per_piece_s <= 0:
        await response.write(b"".join(events))
    else:
        for event in events:
            await response.write(event)
            await asyncio.sleep(per_piece_s)
    return response, 200, "answered"


def _payload(backend: Backend, plan: Plan) -> bytes:
    events = backend.events_of(plan)
    return backend.body_of(plan) if events is None else b"".join(events)


async def _hang_after_headers(backend: Backend, plan: Plan, request: web.BaseRequest) -> Sent:
    await _open(backend, plan, request)
    await asyncio.Event().wait()
    raise AssertionError("unreachable: nobody sets that event")


async def _cut(backend: Backend, plan: Plan, request: web.BaseRequest) -> Sent:
    payload = _payload(backend, plan)
    response = await _open(backend, plan, request, len(payload))
    await response.write(payload[: len(payload) // 2])
    # The half that was written must have left this process before the reset throws the rest away.
    await asyncio.sleep(0.01)
    reset(request)
    return response, 200, "cut"


async def _malformed(backend: Backend, plan: Plan, request: web.BaseRequest) -> Sent:
    payload = _payload(backend, plan)
    response = await _open(backend, plan, request)
    await response.write(payload[: len(payload) // 2])
    return response, 200, "malformed"


async def _empty(backend: Backend, plan: Plan, request: web.BaseRequest) -> Sent:
    return await _open(backend, plan, request, 0), 200, "empty"


async def _dribble(backend: Backend, plan: Plan, request: web.BaseRequest) -> Sent:
    payload = _payload(backend, plan)
    response = await _open(backend, plan, request)
    for start in range(0, len(payload), _DRIBBLE_BYTES):
        await response.write(payload[start : start + _DRIBBLE_BYTES])
        await asyncio.sleep(backend.spec.dribble_s)
    return response, 200, "answered"


async def _stream_error(backend: Backend, plan: Plan, request: web.BaseRequest) -> Sent:
    events = backend.events_of(plan) or []
    response = await _open(backend, plan, request)
    await response.write(b"".join(events[: len(events) // 2]))
    error = {"type": "overloaded_error", "message": "Overloaded"}
    await response.write(
        named({"type": "error", "error": error}) if plan.protocol == "anthropic" else data({"error": error})
    )
    return response, 200, "stream_error"


_FAULTS: dict[str, Callable[[Backend, Plan, web.BaseRequest], Awaitable[Sent]]] = {
    "hang_after_headers": _hang_after_headers,
    "cut": _cut,
    "malformed": _malformed,
    "empty": _empty,
    "dribble": _dribble,
    "stream_error": _stream_error,
}
