"""`optimized_api_call`: the one-line form, on one connection for the whole process."""

import os
from typing import Literal, Unpack

from optimizer_client.options import Options, Prompt, chat_request
from optimizer_client.reply import Reply
from optimizer_client.settings import ClientSettings
from optimizer_client.sync_client import Optimizer

_Key = tuple[str, str, str | None]

# A client connects only when it is asked, so that two threads may both make one and one of the two is forgotten.
_shared: dict[_Key, Optimizer] = {}


def optimized_api_call(
    agent: str,
    prompt: Prompt,
    *,
    system: str | None = None,
    url: str | None = None,
    prefix: str | None = None,
    fallback: Literal["direct"] | None = None,
    **options: Unpack[Options],
) -> Reply:
    """Ask for a chat completion and wait for it; `str(reply)` is its text::

        print(optimized_api_call("quality", "Why is the sky blue?", task="reasoning"))

    `agent` names who asks. May be called from any thread; all calls of a process share one connection for each `url`
    and `prefix`, which is closed when the program ends. In a coroutine, use `AsyncOptimizer` instead: this one blocks.

    :raises OptimizerError: see `optimizer_wire.errors` for the tree.
    :raises ValueError: if the URL cannot be used.
    """
    settings = ClientSettings.read(os.environ, url=url, prefix=prefix)
    key = (settings.amqp_url, settings.prefix, fallback)
    optimizer = _shared.get(key)
    if optimizer is None:
        made = Optimizer(agent, url=settings.amqp_url, prefix=settings.prefix, fallback=fallback)
        optimizer = _shared.setdefault(key, made)
    return optimizer.ask(chat_request(agent, prompt, system, options))
