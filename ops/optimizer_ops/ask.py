"""`optimizer ask` and `optimizer fetch`: one question, and where its answer came from, now or later."""

import asyncio
import shlex
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape

from optimizer_client import AsyncOptimizer, AuthenticationError, NotReady, OptimizerError, OptimizerUnavailable, Reply
from optimizer_client.fetching import in_words
from optimizer_config.model import Config
from optimizer_ops.terminal.output import print_json
from optimizer_service.exit_codes import EXIT_FAILED, EXIT_NOT_PERMITTED, EXIT_NOT_YET, EXIT_UNAVAILABLE

DEFAULT_AGENT = "cli"
# How RabbitMQ begins what it says to a user who lacks a right; the client tells it as it was said.
_ACCESS_REFUSED = "ACCESS_REFUSED"


def ask(
    config: Config,
    prompt: str,
    *,
    agent: str,
    model: str,
    task: str | None,
    timeout_s: float,
    fresh: bool,
    as_json: bool,
    submit: bool = False,
) -> int:
    """Ask, print, and return the exit code: 0 answered, 1 a typed error, 69 not reachable, 77 not permitted.

    With `submit` it prints the id under which the answer is to be fetched, and waits for nothing else.
    """
    options: dict[str, Any] = {"model": model, "task": task, "timeout": timeout_s}
    if fresh:
        options["cache"] = "refresh"
    if not submit:
        return _run(config, agent, lambda client: _answered(client.chat(prompt, **options), as_json=as_json))
    return _run(config, agent, lambda client: _submitted(client.submit(prompt, **options), agent, as_json=as_json))


def fetch(
    config: Config, request_id: str, *, agent: str, timeout_s: float, status: bool, cancel: bool, as_json: bool
) -> int:
    """Fetch the answer to a submitted request and print it; or tell how it stands, or cancel it.

    :return: the exit code: 0 answered, told or cancelled, 1 a typed error, 69 not reachable, 75 it has not ended yet.
    """
    if cancel:
        return _run(config, agent, lambda client: _cancelled(client, request_id))
    if status:
        return _run(config, agent, lambda client: _told(client, request_id, as_json=as_json))
    return _run(config, agent, lambda client: _answered(client.fetch(request_id, timeout=timeout_s), as_json=as_json))


def _run(config: Config, agent: str, work: Callable[[AsyncOptimizer], Awaitable[int]]) -> int:
    async def run() -> int:
        async with AsyncOptimizer(agent, url=config.amqp_url, prefix=config.prefix) as client:
            return await work(client)

    try:
        return asyncio.run(run())
    except OptimizerError as error:
        print(f"optimizer: {error.code}: {error.message}", file=sys.stderr)
        if isinstance(error, NotReady):
            return EXIT_NOT_YET
        if isinstance(error, AuthenticationError) or _ACCESS_REFUSED in error.message:
            return EXIT_NOT_PERMITTED
        return EXIT_UNAVAILABLE if isinstance(error, OptimizerUnavailable) else EXIT_FAILED


async def _answered(asked: Awaitable[Reply], *, as_json: bool) -> int:
    reply = await asked
    if as_json:
        print_json(reply)
        return 0
    print(reply.text)
    Console(stderr=True, highlight=False).print(f"[dim]{_provenance(reply)}[/dim]")
    return 0


async def _submitted(submitting: Awaitable[str], agent: str, *, as_json: bool) -> int:
    request_id = await submitting
    if as_json:
        print_json({"id": request_id})
        return 0
    print(request_id)
    name = "" if agent == DEFAULT_AGENT else f" --agent {shlex.quote(agent)}"
    hint = escape(f"fetch its answer with: optimizer fetch {request_id}{name}")
    Console(stderr=True, highlight=False).print(f"[dim]{hint}[/dim]", soft_wrap=True)
    return 0


async def _told(client: AsyncOptimizer, request_id: str, *, as_json: bool) -> int:
    status = await client.status(request_id)
    print(msgspec.json.encode(status).decode() if as_json else in_words(status))
    return EXIT_FAILED if status.state == "unknown" else 0


async def _cancelled(client: AsyncOptimizer, request_id: str) -> int:
    cancelled = await client.cancel_submitted(request_id)
    print("cancelled" if cancelled else "not cancelled: it has ended, or nobody of this RabbitMQ user has submitted it")
    return 0 if cancelled else EXIT_FAILED


def _provenance(reply: Reply) -> str:
    cost = "unpriced" if reply.cost_usd is None else f"${reply.cost_usd:.6f}"
    age = f", {reply.age_s:.0f} s old" if reply.age_s is not None else ""
    return (
        f"{reply.source}{age} · {reply.backend}/{reply.model} · task {reply.task} · "
        f"{reply.timings.total_ms:.0f} ms · {cost}"
    )
