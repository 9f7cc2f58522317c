"""Error bodies in the shapes that the named providers send. Pure: a status, a kind and a sentence in, JSON out."""

import math
from dataclasses import dataclass
from typing import Any

from optimizer_ops.simulator.headers import go_duration
from optimizer_ops.simulator.limits import Refusal
from optimizer_ops.simulator.question import Protocol
from optimizer_ops.simulator.spec import HeaderStyle

_DAY_S = 86400.0
_WINDOWS = {1.0: "second", 60.0: "minute", 3600.0: "hour", _DAY_S: "day"}


@dataclass(frozen=True, slots=True)
class Failure:
    """An error answer. `type` is in OpenAI's words; other protocols translate the status."""

    status: int
    type: str
    message: str
    code: str | None = None
    param: str | None = None
    retry_after_s: float | None = None


_STATUS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The request is not valid."),
    401: ("invalid_request_error", "invalid_api_key", "The API key is missing or wrong."),
    402: ("insufficient_quota", "credit_balance_exhausted", "The account has no credit left."),
    403: ("permission_error", "permission_denied", "This key may not do that."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist, or this key may not use it."),
    408: ("timeout", None, "The request took too long."),
    409: ("conflict_error", None, "The request conflicts with another one."),
    413: ("invalid_request_error", "request_too_large", "The request is too large."),
    422: ("invalid_request_error", None, "The request cannot be processed."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached."),
    498: ("capacity_exceeded", "flex_capacity_exceeded", "No flex capacity at the moment."),
    500: ("server_error", None, "The server had an error."),
    502: ("server_error", None, "Bad gateway."),
    503: ("service_unavailable_error", "server_is_overloaded", "The engine is overloaded, try again later."),
    504: ("timeout", None, "Gateway timeout."),
    529: ("overloaded_error", None, "Overloaded"),
}

NAMED: dict[str, Failure] = {
    "throttled": Failure(429, "requests", "Rate limit reached.", "rate_limit_exceeded", retry_after_s=1.0),
    "slow_down": Failure(429, "requests", "The rate of requests grew too fast. Slow down.", "slow_down"),
    "billing": Failure(429, "insufficient_quota", "You exceeded your current quota.", "credit_balance_exhausted"),
    "quota_day": Failure(
        429,
        "requests",
        "Rate limit reached on requests per day (RPD): Limit 1000, Used 1000, Requested 1. Please try again in 6h0m0s.",
        "rate_limit_exceeded",
        retry_after_s=21600.0,
    ),
    "context_too_long": Failure(
        400,
        "invalid_request_error",
        "This model's maximum context length is exceeded by your messages.",
        "context_length_exceeded",
        "messages",
    ),
    "content_filter": Failure(400, "invalid_request_error", "The prompt was filtered.", "content_filter", "prompt"),
}
"""Failures with a name, for what a status alone does not say."""

_ANTHROPIC = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def failure_of(status: int) -> Failure:
    """The usual failure with this status."""
    kind, code, message = _STATUS.get(status, ("server_error" if status >= 500 else "invalid_request_error", None, ""))
    return Failure(status, kind, message or f"Status {status}.", code)


def invalid(message: str) -> Failure:
    """A 400 that says what is wrong."""
    return Failure(400, "invalid_request_error", message)


def unknown_model(model: str) -> Failure:
    """A 404 for a model that this backend does not have."""
    return Failure(404, "invalid_request_error", f"The model `{model}` does not exist.", "model_not_found", "model")


def refused(refusal: Refusal, model: str) -> Failure:
    """A 429 that names the limit, its use, and the wait, as OpenAI and Groq word it."""
    kind = "tokens" if refusal.of_tokens else "requests"
    if refusal.limit is None:
        what, limit = "concurrent requests", refusal.used
    else:
        span = _WINDOWS.get(refusal.limit.per_s)
        short = f" ({kind[0].upper()}P{span[0].upper()})" if span else ""
        what = f"{kind} per {span or f'{refusal.limit.per_s:g} seconds'}{short}"
        limit = refusal.limit.count
    wait_s = min(refusal.retry_after_s, 86400.0)
    message = (
        f"Rate limit reached for model `{model}` in organization `org_simulated` on {what}: Limit {limit}, "
        f"Used {refusal.used}, Requested {refusal.wanted}. Please try again in {go_duration(wait_s)}."
    )
    return Failure(429, kind, message, "rate_limit_exceeded", retry_after_s=refusal.retry_after_s)


def body(failure: Failure, protocol: Protocol, style: HeaderStyle, ident: str, refusal: Refusal | None = None) -> Any:
    """The JSON of the failure. A `/v1/messages` request always gets Anthropic's envelope."""
    if protocol == "anthropic":
        kind = _ANTHROPIC.get(failure.status, "api_error" if failure.status >= 500 else "invalid_request_error")
        error = {"type": kind, "message": failure.message}
        return {"type": "error", "error": error, "request_id": f"req_{ident}"}
    if style == "mistral":
        return _mistral(failure)
    if style == "cerebras":
        return _cerebras(failure, refusal)
    if style == "gemini":
        return _gemini(failure, refusal)
    if style == "together" and failure.status == 429 and failure.type != "insufficient_quota":
        kind = "dynamic_token_limited" if failure.type == "tokens" else "dynamic_request_limited"
        return {"error": {"message": failure.message, "type": kind, "param": None, "code": None}, "error_type": kind}
    return {
        "error": {"message": failure.message, "type": failure.type, "param": failure.param, "code": failure.code},
    }


def _mistral(failure: Failure) -> Any:
    throttled = failure.code == "rate_limit_exceeded"
    return {
        "object": "error",
        "message": "Rate limit exceeded" if throttled else failure.message,
        "type": "rate_limited" if throttled else failure.type,
        "param": failure.param,
        "code": "1300" if throttled else failure.code,
        "raw_status_code": failure.status,
    }


def _cerebras(failure: Failure, refusal: Refusal | None) -> Any:
    flat = {"message": failure.message, "type": failure.type, "param": failure.param, "code": failure.code}
    if failure.status == 429 and refusal is not None and refusal.limit is not None:
        kind = "token" if refusal.of_tokens else "request"
        span = _WINDOWS.get(refusal.limit.per_s, f"{refusal.limit.per_s:g} seconds")
        excess = "too many tokens processed" if refusal.of_tokens else "too many requests sent"
        message = f"{kind.capitalize()}s per {span} limit exceeded - {excess}."
        return {
            "message": message,
            "type": f"too_many_{kind}s_error",
            "param": "quota",
            "code": f"{kind}_quota_exceeded",
        }
    return flat


_GEMINI = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_GEMINI_DAY_RETRY_S = 22.0


def _gemini(failure: Failure, refusal: Refusal | None) -> Any:
    """As the compatible endpoint sends it: in a list, the limit in a quota id, and a retry delay that a day mocks."""
    error: dict[str, Any] = {
        "code": failure.status,
        "message": failure.message,
        "status": _GEMINI.get(failure.status, "UNKNOWN"),
    }
    if failure.status == 429 and failure.type != "insufficient_quota":
        of_day = failure is NAMED["quota_day"] or _span(refusal) == _DAY_S
        kind = "InputTokens" if refusal and refusal.of_tokens else "Requests"
        violation = {
            "quotaId": f"Generate{kind}Per{'Day' if of_day else 'Minute'}PerProjectPerModel-FreeTier",
            "quotaValue": str(refusal.limit.count if refusal and refusal.limit else 250),
        }
        google = "type.googleapis.com/google.rpc"
        error["details"] = [{"@type": f"{google}.QuotaFailure", "violations": [violation]}]
        hint_s = _GEMINI_DAY_RETRY_S if of_day else failure.retry_after_s
        if hint_s is not None:
            delay = f"{math.ceil(min(hint_s, _DAY_S))}s"
            error["details"].append({"@type": f"{google}.RetryInfo", "retryDelay": delay})
    return [{"error": error}]


def _span(refusal: Refusal | None) -> float | None:
    return refusal.limit.per_s if refusal and refusal.limit else None
