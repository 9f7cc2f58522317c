"""The way past the optimizer, for when it cannot be reached: straight to the first backend, from this process.

It knows the same `optimizer.toml` and keys as the optimizer, and none of what the fleet shares: no cache, no budget.
"""

import os
import time
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from optimizer_client.failures import no_way_around
from optimizer_client.reply import Reply
from optimizer_wire.errors import CODES, DeadlineExceeded, InternalError, OptimizerError
from optimizer_wire.messages import Request, Timings

if TYPE_CHECKING:
    # At run time these are imported when the first call is made: they need the extra `direct`.
    from optimizer_backends.http import BackendClient
    from optimizer_backends.result import CallResult
    from optimizer_config import Backend, Config, Secret


class DirectCaller:
    """Makes calls itself. Belongs to one event loop."""

    def __init__(self) -> None:
        self._config: Config | None = None
        self._clients: dict[str, BackendClient] = {}

    async def call(self, request: Request) -> Reply:
        """Call the backend; the reply is marked `source="direct"`.

        :raises OptimizerUnavailable: if no backend is configured for it here.
        :raises OptimizerError: what the call came to, if it is no answer.
        """
        backend, model, secret = self._station(request)
        client = await self._client(backend, secret)
        left_s = request.timeout_ms / 1000
        started = time.monotonic()
        result = await client.call(request.op, model, request.params, min(left_s, backend.timeout_s))
        call_ms = (time.monotonic() - started) * 1000
        if not result.outcome.ok or result.body is None:
            raise _error(request, result, call_ms)
        return Reply(
            id=request.id,
            result=result.body,
            source="direct",
            backend=backend.name,
            model=result.model or model,
            task=request.task,
            usage=result.usage,
            timings=Timings(call_ms=call_ms, total_ms=call_ms),
            attempts=1,
        )

    async def close(self) -> None:
        """Close connections; a later call opens new ones."""
        while self._clients:
            _, client = self._clients.popitem()
            await client.__aexit__(None, None, None)

    def _station(self, request: Request) -> "tuple[Backend, str, Secret | None]":
        from optimizer_config import ConfigError, load

        try:
            if self._config is None:
                self._config = load()
            return station(self._config, request, os.environ)
        except ConfigError as error:
            raise no_way_around(str(error), request.id) from error

    async def _client(self, backend: "Backend", secret: "Secret | None") -> "BackendClient":
        from optimizer_backends.http import BackendClient

        client = self._clients.get(backend.name)
        if client is None:
            client = self._clients[backend.name] = BackendClient(backend, secret, limit=backend.concurrency)
            await client.__aenter__()
        return client


def direct_caller() -> DirectCaller:
    """The direct caller.

    :raises ModuleNotFoundError: if aiohttp is not installed.
    """
    if find_spec("aiohttp") is None:
        message = "fallback=\"direct\" needs aiohttp; install it with: pip install '.[direct]'"
        raise ModuleNotFoundError(message, name="aiohttp")
    return DirectCaller()


def station(config: "Config", request: Request, environ: Mapping[str, str]) -> "tuple[Backend, str, Secret | None]":
    """The backend to call, the model to ask it for, and its key: the first of the request's route that has its key.

    Without a route, the first backend of the catalogue that costs nothing and whose key is there.

    :raises OptimizerUnavailable: saying what is missing.
    """
    from optimizer_config import api_key

    missing = []
    for entry in entries(config, request):
        name, slash, model = entry.partition("/")
        backend = config.backend(name)
        secret = api_key(backend, environ)
        # A local backend has no key; it must have been named by somebody to be there.
        named = backend.name in config.configured or request.model != "auto"
        if secret is not None or (backend.api_key_env is None and named):
            return backend, model if slash else backend.default_model, secret
        missing.append(backend.api_key_env or f"a table [backends.{backend.name}]")
    what = " or ".join(dict.fromkeys(missing)) or "a route in optimizer.toml"
    raise no_way_around(f"{what} is missing.", request.id)


def entries(config: "Config", request: Request) -> Iterable[str]:
    """What may serve a request, as entries `backend` or `backend/model`, best first."""
    if request.model == "auto":
        routes = config.routes
        first = routes.get("embed") if request.op == "embed" else routes.get(request.task or "default")
        return first or routes.get("default") or [b.name for b in config.backends.values() if b.kind != "paid"]
    if request.model in config.models:
        return config.models[request.model]
    if request.model.partition("/")[0] in config.backends:
        return [request.model]
    return [f"{b.name}/{request.model}" for b in config.backends.values() if request.model in b.models]


def _error(request: Request, result: "CallResult", call_ms: float) -> OptimizerError:
    if result.outcome == "timed_out" and call_ms >= request.timeout_ms - 1:
        return DeadlineExceeded(f"No direct answer in time: {result.message}", request_id=request.id)
    kind = CODES.get(result.outcome.error_code, InternalError)
    return kind(result.message, retry_after_s=result.retry_after_s, request_id=request.id)
