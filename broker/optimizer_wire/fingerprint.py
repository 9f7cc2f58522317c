"""The fingerprint of a request: equal for the same meaning, different for anything that can change the answer.

It covers the sharing scope, the namespace, the operation, how the model is selected, and every parameter, unknown ones
included. It leaves out who asks, when, how urgently, and the parameters that providers document as having no influence
on the answer.
"""

from hashlib import blake2b
from typing import Any

import msgspec

from optimizer_wire.messages import Request, Task

# Who asks and how the answer is delivered; the OpenAI reference describes each as not influencing the answer.
WITHOUT_INFLUENCE = frozenset(
    {
        "user",
        "safety_identifier",
        "metadata",
        "stream",
        "stream_options",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
    }
)
_EXACT_FLOAT = 2.0**53

_encoder = msgspec.json.Encoder(order="deterministic")


def fingerprint(request: Request, tenant: str, task: Task) -> str:
    """32 hexadecimal digits (blake2b, 128 bits) that name the answer of this request.

    `tenant` is the sender's, from the configuration; `task` counts only where it selects the model.
    """
    meaning = (
        _scope(request, tenant),
        request.cache.namespace,
        request.op,
        request.model,
        task if request.model == "auto" else "",
        canonical({name: value for name, value in request.params.items() if name not in WITHOUT_INFLUENCE}),
    )
    return blake2b(_encoder.encode(meaning), digest_size=16).hexdigest()


def lone_fingerprint(request: Request, tenant: str, user: str | None) -> str:
    """The name of a request that shares nothing (`cache.mode = "off"`): resubmitted, it meets nobody but itself.

    `user` is its RabbitMQ user: another one who names the same agent and id is somebody else.
    """
    meaning = ("alone", tenant, user, request.agent, request.id)
    return blake2b(_encoder.encode(meaning), digest_size=16).hexdigest()


def _scope(request: Request, tenant: str) -> tuple[str, ...]:
    """Who may share the answer. A tuple, so that no choice of names can imitate another scope."""
    match request.cache.scope:
        case "public":
            return ("public",)
        case "agent":
            return ("agent", tenant, request.agent)
        case _:
            return ("tenant", tenant)


def canonical(value: Any) -> Any:
    """The same value with one way of saying each number: `1.0` becomes `1`; order is left to the encoder.

    Text is taken as it is. True and False stay apart from 1 and 0, as in JSON.
    """
    if isinstance(value, dict):
        return {name: canonical(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_FLOAT:
        return int(value)
    return value
