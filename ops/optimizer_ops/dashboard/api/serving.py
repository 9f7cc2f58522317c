"""From an HTTP request to an endpoint and back: what is taken is bounded and checked, what is answered is encoded."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from optimizer_ops.dashboard.api.endpoint import Asked, Endpoint
from optimizer_ops.dashboard.api.errors import ApiError, invalid, unavailable
from optimizer_ops.history.reader import HistoryUnavailable
from optimizer_service.logs import logger
from optimizer_state.store import RedisAway

MOST_BYTES = 64 * 1024
JSON = "application/json"

_UNLIKE_PATTERN = re.compile(r"Expected `str` matching regex .* - at `\$\.([\w.]+)`", re.DOTALL)
_encoder = msgspec.json.Encoder()


class Serving:
    """ASGI application of one path: the endpoints of its methods. HEAD is GET without a body."""

    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        self._endpoints = endpoints
        self._allow = ", ".join(sorted({*endpoints, *({"HEAD"} if "GET" in endpoints else ())}))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ApiError as error:
            response = _refused(error)
        except (HistoryUnavailable, RedisAway) as error:
            response = _refused(unavailable(error))
        except ClientDisconnect:
            return
        except Exception:  # noqa: BLE001 - whoever asks gets an answer, whatever it was
            logger("dashboard").exception("request failed", path=scope["path"])
            response = _refused(ApiError(500, "internal", "This is a fault of the optimizer; the log tells more."))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        if (endpoint := self._endpoints.get(method)) is None:
            raise ApiError(405, "method_not_allowed", f"Here is only {self._allow}.", {"Allow": self._allow})
        access = request.app.state.access
        asked = Asked(
            sources=request.app.state.sources,
            access=access,
            path=request.path_params,
            query=_query(request, endpoint),
            body=None if endpoint.body is None else await _body(request, endpoint.body),
            knows=access.may_read(request),
        )
        answer = await endpoint.does(asked)
        if endpoint.text is not None:
            return Response(answer, headers={"Content-Type": endpoint.text})
        return Response(_encoder.encode(answer), media_type=JSON)


async def nothing_here(request: Request) -> Response:
    """The answer to paths below `/api/` that nothing is found under."""
    return _refused(ApiError(404, "not_found", f"There is nothing at {request.url.path}: see /docs."))


def _refused(error: ApiError) -> Response:
    return Response(_encoder.encode(error.answer), error.status, error.headers, JSON)


def _query(request: Request, endpoint: Endpoint) -> Any:
    given = request.query_params.multi_items()
    names = [name for name, _ in given]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise invalid(f"The parameter {twice[0]} is given more than once.")
    try:
        return msgspec.convert(dict(given), endpoint.query, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(f"The parameters cannot be used: {_sentence(error)}") from None


async def _body(request: Request, kind: type[msgspec.Struct]) -> Any:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != JSON:
        raise ApiError(415, "unsupported_media_type", "The body must be JSON: Content-Type: application/json.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise ApiError(413, "too_large", f"The body may have at most {MOST_BYTES:,} bytes.")
    try:
        return msgspec.json.decode(bytes(body), type=kind)
    except msgspec.ValidationError as error:
        raise invalid(f"The body cannot be used: {_sentence(error)}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ApiError(400, "bad_json", f"The body is no JSON: {error}.") from None


def _sentence(error: Exception) -> str:
    # A pattern tells nobody how something is written: what the parameter is, does.
    text = _UNLIKE_PATTERN.sub(r"\1 is not written as /docs says", str(error))
    return f"{text[:1].lower()}{text[1:]}."
