"""Everything that can go wrong, as one tree.

::

    OptimizerError
    ├── BadRequestError                 the request itself cannot be served; sending it again changes nothing
    │   ├── InvalidRequest              invalid_request
    │   ├── UnknownModel                unknown_model
    │   ├── ContextTooLong              context_too_long
    │   ├── ContentFiltered             content_filtered
    │   └── IdempotencyConflict         idempotency_conflict
    ├── NotFoundError                   not_found
    ├── AuthenticationError             unauthorized
    ├── RateLimitError                  the optimizer refuses for now; `retry_after_s` says until when, if known
    │   ├── QuotaExceeded               quota_exceeded
    │   └── Overloaded                  overloaded
    ├── APITimeoutError (TimeoutError)
    │   ├── DeadlineExceeded            deadline_exceeded
    │   └── NotReady                    never travels: what is fetched has not ended yet
    ├── Cancelled                       cancelled
    ├── InternalServerError
    │   ├── BackendUnavailable          backend_unavailable
    │   └── InternalError               internal
    └── APIConnectionError
        └── OptimizerUnavailable        never travels: the client could not reach the optimizer

The inner names are those of the OpenAI SDK where it has one. Every class knows its `code` and whether it is usually
`retryable`; `error_from(info)` turns a travelled error into its exception, `exception.info` back.
"""

from typing import ClassVar

from optimizer_wire.messages import ErrorInfo, Status


class OptimizerError(Exception):
    """The base of every error of the optimizer.

    `request_id` is the request it belongs to, if known; `retry_after_s` the seconds after which trying again may help.
    """

    code: ClassVar[str] = "internal"
    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        request_id: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s
        self.request_id = request_id
        if retryable is not None:
            self.retryable = retryable

    @property
    def info(self) -> ErrorInfo:
        """This error as it travels."""
        return ErrorInfo(self.code, self.message, self.retryable, self.retry_after_s)


class BadRequestError(OptimizerError):
    """The request cannot be served as it is."""

    code = "invalid_request"


class InvalidRequest(BadRequestError):
    """The request is malformed, or a backend refused its parameters."""


class UnknownModel(BadRequestError):
    """No backend, alias or route has this model."""

    code = "unknown_model"


class ContextTooLong(BadRequestError):
    """The prompt does not fit the model's context."""

    code = "context_too_long"


class ContentFiltered(BadRequestError):
    """The backend refused the content."""

    code = "content_filtered"


class IdempotencyConflict(BadRequestError):
    """The same request id was used for another request."""

    code = "idempotency_conflict"


class NotFoundError(OptimizerError):
    """No submitted request has this id, or its answer is no longer kept."""

    code = "not_found"


class AuthenticationError(OptimizerError):
    """The optimizer does not accept the sender, or the backend does not accept the optimizer's key."""

    code = "unauthorized"


class RateLimitError(OptimizerError):
    """Refused for now."""

    code = "overloaded"
    retryable = True


class QuotaExceeded(RateLimitError):
    """The agent, its tenant or the fleet has used up its quota."""

    code = "quota_exceeded"


class Overloaded(RateLimitError):
    """A queue of the optimizer is full."""


class APITimeoutError(OptimizerError, TimeoutError):
    """No answer in time."""

    code = "deadline_exceeded"
    retryable = True


class DeadlineExceeded(APITimeoutError):
    """The request's deadline passed before there was an answer."""


class NotReady(APITimeoutError):
    """A submitted request has not ended yet: fetch it again. `status` tells how it stands, if known."""

    code = "not_ready"

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        request_id: str | None = None,
        status: Status | None = None,
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s, request_id=request_id)
        self.status = status


class Cancelled(OptimizerError):
    """The caller cancelled the request."""

    code = "cancelled"


class InternalServerError(OptimizerError):
    """The optimizer or the backends behind it failed."""

    retryable = True


class BackendUnavailable(InternalServerError):
    """Every backend of the route failed, or no worker of it runs."""

    code = "backend_unavailable"


class InternalError(InternalServerError):
    """A fault of the optimizer itself."""


class APIConnectionError(OptimizerError):
    """A connection could not be made or kept."""

    code = "unreachable"
    retryable = True


class OptimizerUnavailable(APIConnectionError):
    """The client cannot reach the optimizer (RabbitMQ is away, or refuses the user)."""


_TRAVELLING: tuple[type[OptimizerError], ...] = (
    InvalidRequest,
    UnknownModel,
    ContextTooLong,
    ContentFiltered,
    NotFoundError,
    AuthenticationError,
    QuotaExceeded,
    Overloaded,
    DeadlineExceeded,
    Cancelled,
    BackendUnavailable,
    IdempotencyConflict,
    InternalError,
)
CODES: dict[str, type[OptimizerError]] = {kind.code: kind for kind in _TRAVELLING}


def error_from(info: ErrorInfo, request_id: str | None = None) -> OptimizerError:
    """The exception for an error that travelled; a code from a newer version becomes an `InternalError`."""
    kind = CODES.get(info.code, InternalError)
    return kind(info.message, retry_after_s=info.retry_after_s, request_id=request_id, retryable=info.retryable)
