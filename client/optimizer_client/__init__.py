"""The client of the optimizer: `AsyncOptimizer`, `Optimizer` (the same without await), `optimized_api_call`."""

from optimizer_client.async_client import AsyncOptimizer
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
    OptimizerError,
    OptimizerUnavailable,
    Overloaded,
    QuotaExceeded,
    RateLimitError,
    UnknownModel,
)

__all__ = [
    "APIConnectionError",
    "APITimeoutError",
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
    "OptimizerError",
    "OptimizerUnavailable",
    "Overloaded",
    "QuotaExceeded",
    "RateLimitError",
    "Reply",
    "UnknownModel",
]
