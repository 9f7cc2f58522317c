"""From what an agent writes to a request. Shared by both clients."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, TypedDict, get_args

import msgspec

from optimizer_wire.codec import check_json
from optimizer_wire.errors import InvalidRequest
from optimizer_wire.ids import new_id
from optimizer_wire.messages import VERSION, CachePolicy, Op, Priority, Request, SubmittedRequest, Task

Prompt = str | Sequence[Mapping[str, Any]]
CacheMode = Literal["use", "refresh", "off"]
Scope = Literal["tenant", "agent", "public"]
DEFAULT_TIMEOUT_S = 60.0


class RequestOptions(TypedDict, total=False):
    """How a request wants to be served.

    `timeout` is its end-to-end deadline in seconds. `cache`: `use` (default), `refresh`, or `off`; `ttl` in seconds
    replaces the time to live of the task; `scope` is who may share the answer. `request_id` names the request, so that
    asking again under the same id is the same request.

    Requests of a tenant with the same `ordering_key` run one after another, in order; with `supersede` this one takes
    the place of all older ones of its key and its RabbitMQ user that have not begun: they raise `Cancelled`.
    """

    model: str
    task: Task | None
    timeout: float
    priority: Literal["interactive", "standard", "batch"]
    cache: CacheMode
    ttl: float | None
    namespace: str
    scope: Scope
    ordering_key: str | None
    supersede: bool
    tags: Mapping[str, str]
    request_id: str


class Options(RequestOptions, total=False):
    """How a request wants to be served, and parameters of the OpenAI API, which go to the backend untouched.

    Named here are the common ones, so that an editor knows them. Any other keyword goes to the backend too; for a type
    checker, write parameters of a provider of its own as `extra_body={…}`.
    """

    temperature: float
    top_p: float
    max_tokens: int
    max_completion_tokens: int
    stop: str | Sequence[str] | None
    seed: int
    n: int
    presence_penalty: float
    frequency_penalty: float
    logit_bias: Mapping[str, float]
    logprobs: bool
    top_logprobs: int
    response_format: Mapping[str, Any]
    tools: Sequence[Mapping[str, Any]]
    tool_choice: str | Mapping[str, Any]
    parallel_tool_calls: bool
    reasoning_effort: str
    verbosity: str
    service_tier: str
    user: str
    metadata: Mapping[str, str]
    dimensions: int
    encoding_format: str
    extra_body: Mapping[str, Any]
    stream: bool


_OWN = frozenset(RequestOptions.__annotations__)
_NOT_SENT = _OWN | {"stream", "extra_body"}
_CHOICES: dict[str, tuple[str | None, ...]] = {
    "task": (None, *get_args(Task)),
    "priority": tuple(priority.value for priority in Priority),
    "cache": get_args(CacheMode),
    "scope": get_args(Scope),
}


def chat_request(agent: str, prompt: Prompt, system: str | None, options: Mapping[str, Any]) -> Request:
    """A chat request from a prompt or a list of messages.

    :raises InvalidRequest: with a sentence, if the options make no sense.
    """
    if not prompt:
        raise InvalidRequest("The prompt is empty.")
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else _messages(prompt)
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return _request(agent, "chat", {"messages": messages}, options)


def embed_request(agent: str, text: str | Sequence[str], options: Mapping[str, Any]) -> Request:
    """An embeddings request.

    :raises InvalidRequest: with a sentence, if the options make no sense.
    """
    if not text:
        raise InvalidRequest("There is no text to embed.")
    return _request(agent, "embed", {"input": text if isinstance(text, str) else list(text)}, options)


def submitted(request: Request) -> SubmittedRequest:
    """The same request, for nobody to listen to."""
    return SubmittedRequest(**{name: getattr(request, name) for name in request.__struct_fields__})


def _messages(prompt: Any) -> list[dict[str, Any]]:
    try:
        return [dict(message) for message in prompt]
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"The prompt must be text or a list of messages, not {type(prompt).__name__}.") from error


def _check(options: Mapping[str, Any]) -> None:
    """Refuse what is surely a mistake, before it travels or goes to a provider that ignores it."""
    for name, choices in _CHOICES.items():
        if name in options and options[name] not in choices:
            allowed = ", ".join(choice for choice in choices if choice)
            raise InvalidRequest(f"The option {name} must be one of {allowed}; it is {options[name]!r}.")
    supersede = options.get("supersede", False)
    if not isinstance(supersede, bool):
        raise InvalidRequest(f"The option supersede must be True or False; it is {supersede!r}.")
    if supersede and not options.get("ordering_key"):
        raise InvalidRequest("The option supersede needs an ordering_key: it says which older requests to cancel.")
    for name in options.keys() - Options.__annotations__.keys():
        if near := get_close_matches(name, _OWN, n=1, cutoff=0.8):
            raise InvalidRequest(f"There is no option {name}; did you mean {near[0]}? Send it in extra_body if not.")


def _request(agent: str, op: Op, params: dict[str, Any], options: Mapping[str, Any]) -> Request:
    _check(options)
    params.update({name: value for name, value in options.items() if name not in _NOT_SENT})
    params.update(options.get("extra_body") or {})
    if options.get("stream") or params.pop("stream", False):
        raise InvalidRequest("Streaming is not supported yet: leave out stream=True.")
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
        "timeout_ms": _timeout_ms(options.get("timeout", DEFAULT_TIMEOUT_S)),
        "ordering_key": options.get("ordering_key") or None,
        "supersede": options.get("supersede", False),
    }
    try:
        fields["tags"] = dict(options.get("tags") or {})
        check_json(params)
        return msgspec.convert(msgspec.to_builtins(fields), Request)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise InvalidRequest(f"The request makes no sense: {error}.") from error


def _timeout_ms(timeout_s: Any) -> int:
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or not 0 < timeout_s <= 24 * 3600:
        raise InvalidRequest(f"The timeout must be a number of seconds above 0 and up to a day, not {timeout_s!r}.")
    return max(1, round(timeout_s * 1000))
