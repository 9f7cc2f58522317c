"""What goes wrong, as the API says it: a status and `{"error": {"code", "message"}}`, always with a sentence."""

import msgspec


class ErrorDetail(msgspec.Struct, frozen=True):
    """A word for programs and a sentence for people."""

    code: str
    message: str


class ErrorAnswer(msgspec.Struct, frozen=True):
    """The body of every answer that is no success."""

    error: ErrorDetail


class ApiError(Exception):
    """An answer that is no success; `headers` go with it."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.answer = ErrorAnswer(ErrorDetail(code, message))


def unavailable(error: Exception) -> ApiError:
    """A service is away, for the reason that the error tells."""
    return ApiError(503, "unavailable", str(error))


def invalid(message: str) -> ApiError:
    """It is understood, and makes no sense."""
    return ApiError(422, "invalid", message)
