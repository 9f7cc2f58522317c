"""An OpenAI chat body in the words of Anthropic's Messages.

Parameters that neither protocol's translation knows are passed through, so that native ones (`thinking`, `top_k`,
`cache_control`, server tools) work. OpenAI's hints without a counterpart are left out, as Anthropic's own compatible
endpoint does it.
"""

import re
from typing import Any

from optimizer_backends.families.anthropic_content import conversation
from optimizer_backends.family import Untranslatable
from optimizer_backends.outcome import Outcome

# Claude 4.7 and later refuse sampling parameters and let thinking count as output.
_NO_SAMPLING_FROM = (4, 7)
_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d+)(?:[-.](\d{1,2}))?(?!\d)")
_SAMPLING = ("temperature", "top_p", "top_k")
DEFAULT_MAX_TOKENS = 16_384
DEFAULT_MAX_TOKENS_BEFORE = 4_096

_TRANSLATED, _HINTS = (
    frozenset(names.split())
    for names in (
        """
        model messages max_tokens max_completion_tokens stop tools functions tool_choice function_call
        parallel_tool_calls response_format user n stream stream_options metadata service_tier temperature top_p top_k
        """,
        """
        seed frequency_penalty presence_penalty logit_bias logprobs top_logprobs store prediction modalities audio
        prompt_cache_key prompt_cache_retention prompt_cache_options safety_identifier verbosity web_search_options
        moderation reasoning_effort
        """,
    )
)
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}
_JSON_ONLY = {"type": "text", "text": "Answer with a single JSON object and nothing else."}


def messages_body(model: str, params: dict[str, Any]) -> dict[str, Any]:
    """The body for `/v1/messages`.

    :raises Untranslatable: if Anthropic has no words for it, or it is not a chat body.
    """
    if params.get("n") not in (None, 1):
        raise Untranslatable(
            Outcome.unknown_model, "The Anthropic protocol gives one choice for each call; n must be 1."
        )
    system, messages = conversation(params.get("messages"))
    rest = {name: value for name, value in params.items() if name not in _TRANSLATED and name not in _HINTS}
    body: dict[str, Any] = {"model": model, "max_tokens": _max_tokens(model, params), "messages": messages, **rest}
    _answer_format(params.get("response_format"), body, system)
    if system:
        body["system"] = system
    stop = params.get("stop")
    if stop:
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    _tools(params, body)
    _about(params, body)
    return body | _sampling(model, params)


def takes_sampling(model: str) -> bool:
    """Whether the model accepts temperature and its kin: what is not Claude, and Claude before 4.7."""
    version = _VERSION.search(model)
    if version is None:
        return "claude" not in model
    return (int(version[1]), int(version[2] or 0)) < _NO_SAMPLING_FROM


def _sampling(model: str, params: dict[str, Any]) -> dict[str, Any]:
    if not takes_sampling(model):
        return {}
    given = {name: params[name] for name in _SAMPLING if params.get(name) is not None}
    temperature = given.get("temperature")
    if isinstance(temperature, int | float):
        given["temperature"] = min(temperature, 1)
        if "claude" in model and "claude-3" not in model:
            given.pop("top_p", None)  # both at once are refused; the temperature is what people set on purpose
    return given


def _max_tokens(model: str, params: dict[str, Any]) -> Any:
    """Anthropic requires it; OpenAI does not."""
    for name in ("max_completion_tokens", "max_tokens"):
        if params.get(name) is not None:
            return params[name]
    return DEFAULT_MAX_TOKENS_BEFORE if takes_sampling(model) else DEFAULT_MAX_TOKENS


def _answer_format(wanted: Any, body: dict[str, Any], system: list[dict[str, Any]]) -> None:
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "json_object":
        system.append(_JSON_ONLY)
    elif kind == "json_schema":
        described = wanted.get("json_schema")
        schema = described.get("schema") if isinstance(described, dict) else None
        given = body.get("output_config")
        form = {"type": "json_schema", "schema": schema or {}}
        body["output_config"] = {**(given if isinstance(given, dict) else {}), "format": form}


def _tools(params: dict[str, Any], body: dict[str, Any]) -> None:
    tools = params.get("tools")
    if not tools and isinstance(functions := params.get("functions"), list):
        tools = [{"type": "function", "function": function} for function in functions]
    if not isinstance(tools, list) or not tools:
        return
    body["tools"] = [_tool(tool) for tool in tools]
    choice = _tool_choice(params.get("tool_choice") or params.get("function_call"))
    if params.get("parallel_tool_calls") is False and (choice or {}).get("type") != "none":
        choice = {"type": "auto", **(choice or {}), "disable_parallel_tool_use": True}
    if choice:
        body["tool_choice"] = choice


def _tool(tool: Any) -> Any:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict):
        return tool  # a native or server tool
    translated = {
        "name": function.get("name"),
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
    }
    known = ("description", "strict")
    translated |= {name: function[name] for name in known if function.get(name) is not None}
    return translated | {name: value for name, value in tool.items() if name not in {"type", "function"}}


def _tool_choice(choice: Any) -> dict[str, Any] | None:
    if isinstance(choice, str):
        return {"type": _CHOICES[choice]} if choice in _CHOICES else None
    if not isinstance(choice, dict):
        return None
    if choice.get("type") == "function" or "type" not in choice:
        function = choice.get("function")
        return {"type": "tool", "name": (function if isinstance(function, dict) else choice).get("name")}
    return dict(choice)


def _about(params: dict[str, Any], body: dict[str, Any]) -> None:
    """Who asks, and the service tier where the word means the same."""
    metadata = params.get("metadata")
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    if user := user or params.get("user"):
        body["metadata"] = {"user_id": user}
    if params.get("service_tier") in ("auto", "standard_only"):
        body["service_tier"] = params["service_tier"]
