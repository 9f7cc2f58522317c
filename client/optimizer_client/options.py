"""From what an agent writes to a request. Shared by both clients."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

import msgspec

from optimizer_wire.codec import check_json
from optimizer_wire.errors import InvalidRequest
from optimizer_wire.ids import new_id
from optimizer_wire.messages import VERSION, CachePolicy, Op, Priority, Request, Task

Prompt = str | Sequence[Mapping[str, Any]]
CacheMode = Literal["use", "refresh", "off"]
DEFAULT_TIMEOUT_S = 60.0


class Options(TypedDict, total=False):
    """How a request wants to be served.

    `timeout` is its end-to-end deadline in seconds. `cache`: `use` (default), `refresh`, or `off`; `ttl` in seconds
    replaces the time to live of the task; `scope` is who may share the answer. Anything else is a parameter of the
    OpenAI API (`temperature`, `tools`, `max_tokens`, …) and goes to the backend untouched.
    """

    model: str
    task: Task | None
    timeout: float
    priority: Literal["interactive", "standard", "batch"]
    cache: CacheMode
    ttl: float | None
    namespace: str
    scope: Literal["tenant", "agent", "public"]
    ordering_key: str | None
    tags: Mapping[str, str]
    request_id: str


_OWN = frozenset(Options.__annotations__)


def chat_request(agent: str, prompt: Prompt, system: str | None, options: Mapping[str, Any]) -> Request:
    """A chat request from a prompt or a list of messages.

    :raises InvalidRequest: with a sentence, if the options make no sense.
    """
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(m) for m in prompt]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return _request(agent, "chat", {"messages": messages}, options)


def embed_request(agent: str, text: str | Sequence[str], options: Mapping[str, Any]) -> Request:
    """An embeddings request.

    :raises InvalidRequest: with a sentence, if the options make no sense.
    """
    return _request(agent, "embed", {"input": text if isinstance(text, str) else list(text)}, options)


def _request(agent: str, op: Op, params: dict[str, Any], options: Mapping[str, Any]) -> Request:
    if options.get("stream"):
        raise InvalidRequest("Streaming is not supported yet: leave out stream=True.")
    params.update({name: value for name, value in options.items() if name not in _OWN and name != "stream"})
    timeout_s = options.get("timeout", DEFAULT_TIMEOUT_S)
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or not timeout_s > 0:
        raise InvalidRequest(f"The timeout must be a positive number of seconds, not {timeout_s!r}.")
    fields = {
        "v": VERSION,
        "id": options.get("request_id") or new_id(),
        "agent": agent,
        "params": params,
        "op": op,
        "model": options.get("model", "auto"),
        "task": options.get("task"),
        "cache": CachePolicy(
            options.get("cache", "use"),
            options.get("ttl"),
            options.get("namespace", ""),
            options.get("scope", "tenant"),
        ),
        "priority": options.get("priority", Priority.STANDARD.value),
        "timeout_ms": max(1, round(timeout_s * 1000)),
        "ordering_key": options.get("ordering_key"),
        "tags": dict(options.get("tags") or {}),
    }
    try:
        check_json(params)
        request = msgspec.convert(msgspec.to_builtins(fields), Request)
    except (msgspec.ValidationError, TypeError) as error:
        raise InvalidRequest(f"The request makes no sense: {error}.") from error
    if not params.get("messages" if op == "chat" else "input"):
        raise InvalidRequest("The prompt is empty.")
    return request
