"""The client of the optimizer: `AsyncOptimizer`, `Optimizer` (the same without await), `optimized_api_call`.

The AMQP libraries are imported with the client that needs them: aiormq for `AsyncOptimizer`, pika for the others.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from optimizer_client.protocol import Asks, AsyncAsks
from optimizer_client.reply import Reply
from optimizer_wire.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    BackendUnavailable,
    BadRequestError,
    Cancelled,
    ContentFiltered,
    ContextTooLong,
    DeadlineExceeded,
    IdempotencyConflict,
    InternalError,
    InternalServerError,
    InvalidRequest,
    NotFoundError,
    NotReady,
    OptimizerError,
    OptimizerUnavailable,
    Overloaded,
    QuotaExceeded,
    RateLimitError,
    UnknownModel,
)
from optimizer_wire.messages import Status

if TYPE_CHECKING:
    from optimizer_client.api_call import optimized_api_call
    from optimizer_client.async_client import AsyncOptimizer
    from optimizer_client.sync_client import Optimizer

__all__ = [
    "APIConnectionError",
    "APITimeoutError",
    "Asks",
    "AsyncAsks",
    "AsyncOptimizer",
    "AuthenticationError",
    "BackendUnavailable",
    "BadRequestError",
    "Cancelled",
    "ContentFiltered",
    "ContextTooLong",
    "DeadlineExceeded",
    "IdempotencyConflict",
    "InternalError",
    "InternalServerError",
    "InvalidRequest",
    "NotFoundError",
    "NotReady",
    "Optimizer",
    "OptimizerError",
    "OptimizerUnavailable",
    "Overloaded",
    "QuotaExceeded",
    "RateLimitError",
    "Reply",
    "Status",
    "UnknownModel",
    "optimized_api_call",
]

_HOMES = {
    "AsyncOptimizer": "optimizer_client.async_client",
    "Optimizer": "optimizer_client.sync_client",
    "optimized_api_call": "optimizer_client.api_call",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
