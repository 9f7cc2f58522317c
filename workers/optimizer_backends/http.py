"""The aiohttp shell: one session per backend, one POST per call, and an outcome whatever happens."""

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from optimizer_backends.body import Written, noted
from optimizer_backends.classify import sentence
from optimizer_backends.families import FAMILIES
from optimizer_backends.family import HttpRequest, Untranslatable
from optimizer_backends.outcome import Outcome
from optimizer_backends.ratelimits import add_limits
from optimizer_backends.result import CallResult, Headers
from optimizer_backends.scrub import Secrets, quotes_prompt
from optimizer_config.credentials import Secret
from optimizer_config.model import Backend
from optimizer_wire.messages import Op
from optimizer_wire.tracing import TRACEPARENT

MAX_ANSWER_BYTES = 32 * 1024 * 1024
MAX_MODEL_CHARS = 200
MAX_RAW_USAGE_CHARS = 4_000
CONNECT_S = 10.0
KEEP_ALIVE_S = 30.0
_USER_AGENT = "fleet-optimizer"
# OpenAI writes it down with the request (API reference, "Debugging requests"); others ignore it.
_CALL_ID = "x-client-request-id"


class _TooLarge(Exception):
    """The answer exceeds `MAX_ANSWER_BYTES`."""


class BackendClient:
    """Calls to one backend over kept connections, at most `limit` at once. Use it as an async context manager."""

    def __init__(self, backend: Backend, secret: Secret | None, *, limit: int) -> None:
        self.backend = backend
        self._secret = secret
        self._secrets = Secrets((*backend.headers.values(), *([secret.reveal()] if secret else [])))
        self._limit = limit
        self._family = FAMILIES[backend.api]
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._limit, keepalive_timeout=KEEP_ALIVE_S, ttl_dns_cache=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": _USER_AGENT},
            auto_decompress=True,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(
        self,
        op: Op,
        model: str,
        params: dict[str, Any],
        timeout_s: float,
        on_written: Callable[[], None] | None = None,
        call_id: str | None = None,
        trace: str = "",
    ) -> CallResult:
        """Make one call, once. Whatever the backend or the network does is an outcome, never an exception.

        :param timeout_s: for the whole call, waiting for a connection included.
        :param on_written: called when the request begins to be written to the socket.
        :param call_id: told to the backend, unless the configured headers tell it something else.
        :param trace: (W3C `traceparent`) told to a backend of our own; a provider has no use for it.
        :raises asyncio.CancelledError: if the caller gives up; the connection is then closed.
        """
        written = Written(on_written)
        try:
            secret = self._secret.reveal() if self._secret else None
            request = self._family.request(self.backend, secret, op, model, params)
        except Untranslatable as error:
            result = CallResult(error.outcome, message=str(error), signature="untranslatable")
        else:
            _name(request, call_id)
            if trace and self.backend.kind == "local":
                request.headers.setdefault(TRACEPARENT, trace)
            result = await self._post(request, timeout_s, written)
            add_limits(result, self.backend.ratelimit_headers)
            self._judge(result, op, params)
        result.written_at = written.at
        result.ended_at = time.monotonic()
        return result

    async def _post(self, request: HttpRequest, timeout_s: float, written: Written) -> CallResult:
        if self._session is None:
            raise RuntimeError("The client is used outside of its `async with`.")
        timeout = aiohttp.ClientTimeout(total=max(timeout_s, 0.001), sock_connect=CONNECT_S)
        try:
            async with self._session.post(
                request.url,
                data=noted(request.body, written),
                headers=request.headers,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                body = await _read(response)
                result = self._family.response(response.status, _headers(response), body)
                if result.outcome.ok and self._secret and self._secret.reveal().encode() in body:
                    return _transient("answer shows the key", "The backend's answer shows the key that it was sent.")
                return result
        except (aiohttp.ClientError, OSError, _TooLarge, ValueError) as error:
            # TimeoutError is an OSError; ValueError is a host name that is none.
            return _broken(error, was_written=written.at is not None, timeout_s=timeout_s)

    def _judge(self, result: CallResult, op: Op, params: dict[str, Any]) -> None:
        """What can only be told with the request at hand."""
        if result.outcome.ok:
            if result.body is None or ("choices" in result.body) is not (op == "chat"):
                result.outcome, result.body, result.complete = Outcome.transient, None, False
                result.message = "The backend answered another kind of request than it was asked."
                result.signature = f"{result.status} other kind"
        elif quotes_prompt(result.message, params):
            result.message = sentence(result.outcome, result.signature)
        self._hide_secrets(result)

    def _hide_secrets(self, result: CallResult) -> None:
        """What is told of a call beyond its answer holds no secret, and is short, whatever the backend said."""
        if self._secrets.are_in(f"{result.message} {result.signature}"):
            result.signature = str(result.status or "")
            result.message = sentence(result.outcome, result.signature)
        if result.model and (len(result.model) > MAX_MODEL_CHARS or self._secrets.are_in(result.model)):
            result.model = None
        if result.finish_reason and (
            len(result.finish_reason) > MAX_MODEL_CHARS or self._secrets.are_in(result.finish_reason)
        ):
            result.finish_reason = None
        if result.usage is not None and result.usage.raw is not None:
            raw = repr(result.usage.raw)
            if len(raw) > MAX_RAW_USAGE_CHARS or self._secrets.are_in(raw) or not _can_travel(result.usage.raw):
                result.usage = msgspec.structs.replace(result.usage, raw=None)


def _name(request: HttpRequest, call_id: str | None) -> None:
    """Tell the backend our name of the call, so that its log and our history can be compared."""
    if call_id is not None and _CALL_ID not in map(str.lower, request.headers):
        request.headers[_CALL_ID] = call_id


def _can_travel(value: Any) -> bool:
    """Whether a reply or an event can carry a value: JSON knows larger numbers."""
    try:
        msgspec.msgpack.encode(value)
    except (OverflowError, RecursionError, ValueError):
        return False
    return True


async def _read(response: aiohttp.ClientResponse) -> bytes:
    if (response.content_length or 0) > MAX_ANSWER_BYTES:
        raise _TooLarge
    chunks = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise _TooLarge
        chunks.append(chunk)
    return b"".join(chunks)


def _headers(response: aiohttp.ClientResponse) -> Headers:
    return tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.raw_headers)


def _broken(error: Exception, *, was_written: bool, timeout_s: float) -> CallResult:
    if isinstance(error, _TooLarge):
        return _transient("answer too large", f"The backend's answer exceeds {MAX_ANSWER_BYTES:,} bytes.")
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return _transient("connect timeout", f"No connection to the backend within {min(CONNECT_S, timeout_s):g} s.")
    if isinstance(error, asyncio.TimeoutError):
        message = f"The backend did not answer within {timeout_s:g} s."
        return CallResult(Outcome.timed_out, message=message, signature="timeout")
    name = type(error).__name__
    if not was_written:
        return _transient(f"connect {name}", f"The backend cannot be reached ({_reason(error)}).")
    return _transient(f"connection {name}", f"The connection to the backend broke ({_reason(error)}).")


def _reason(error: Exception) -> str:
    """Why, without addresses: a URL may hold what is nobody's business."""
    inner = getattr(error, "os_error", error)
    return getattr(inner, "strerror", None) or type(error).__name__


def _transient(signature: str, message: str) -> CallResult:
    return CallResult(Outcome.transient, message=message, signature=signature)
