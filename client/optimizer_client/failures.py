"""How a request may end without a reply, in words. Shared by both clients."""

from typing import Any

from optimizer_client.pending import Entry
from optimizer_wire.errors import (
    AuthenticationError,
    BackendUnavailable,
    Cancelled,
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    OptimizerError,
    OptimizerUnavailable,
    Overloaded,
)

NOT_FOUND = 404
ACCESS_REFUSED = 403
NO_COORDINATOR = "no coordinator is running; start one with: optimizer up"


def expired(entry: Entry[Any], why: str | None) -> OptimizerError:
    """Its deadline passed; `why` tells what is wrong with the connection, if anything is.

    What was never sent says so: it is the optimizer that is away, not the answer that is late.
    """
    if not entry.sent:
        return unreachable(why or "there was no time left.", entry.request.id)
    waited = f"No answer within {entry.request.timeout_ms / 1000:g} s (sent {times(entry.sent)})"
    return DeadlineExceeded(f"{waited}: {why.rstrip('.')}." if why else f"{waited}.", request_id=entry.request.id)


def unreachable(why: str, request_id: str | None = None) -> OptimizerUnavailable:
    """There is no connection."""
    return OptimizerUnavailable(f"The optimizer cannot be reached: {why}", request_id=request_id)


def no_way_around(why: str, request_id: str) -> OptimizerUnavailable:
    """There is no connection, and no backend that could be called from here."""
    sentence = f"The optimizer cannot be reached, and no backend can be called directly: {why}"
    return OptimizerUnavailable(sentence, request_id=request_id)


def nobody_serves(request_id: str, detail: str) -> BackendUnavailable:
    """The broker is there, but no optimizer has ever declared its request queue on it."""
    sentence = f"No optimizer is running. {detail} Start one with: optimizer up"
    return BackendUnavailable(sentence, request_id=request_id)


def queue_full(request_id: str) -> Overloaded:
    """The broker refused the request."""
    return Overloaded("The optimizer's request queue is full.", retry_after_s=1.0, request_id=request_id)


def channel_refused(code: int, text: str, request_id: str) -> OptimizerError:
    """The broker closed the channel on which the request was published."""
    if code == NOT_FOUND:
        return nobody_serves(request_id, f"RabbitMQ says: {text}.")
    if code == ACCESS_REFUSED:
        return AuthenticationError(f"RabbitMQ does not let this user send requests: {text}.", request_id=request_id)
    return InternalError(f"RabbitMQ refused the request: {text}.", request_id=request_id)


def cancelled(request_id: str) -> Cancelled:
    """Its caller cancelled it."""
    return Cancelled("The request was cancelled.", request_id=request_id)


def client_closed(request_id: str) -> Cancelled:
    """The client was closed while it waited."""
    return Cancelled("The client was closed before the answer came.", request_id=request_id)


def closed_already(request_id: str | None = None) -> OptimizerUnavailable:
    """The client was closed before it was asked."""
    return OptimizerUnavailable("This client was closed; make another one.", request_id=request_id)


def on_its_way(request_id: str) -> InvalidRequest:
    """The same id waits already."""
    return InvalidRequest(f"A request with the id {request_id} is on its way already.", request_id=request_id)


def unconfirmed(request_id: str, within_s: float) -> OptimizerUnavailable:
    """The broker does not say whether it has a submitted request."""
    sentence = (
        f"RabbitMQ has not confirmed the request within {within_s:g} s, so that nobody knows whether it has it. "
        "Submit it again under the same request_id."
    )
    return OptimizerUnavailable(sentence, request_id=request_id)


def times(count: int) -> str:
    """`once`, `2 times`, …"""
    return "once" if count == 1 else f"{count} times"
