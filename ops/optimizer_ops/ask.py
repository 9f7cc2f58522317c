"""`optimizer ask`: one question, and where its answer came from."""

import asyncio
import sys
from typing import Any

import msgspec
from rich.console import Console

from optimizer_client import AsyncOptimizer, OptimizerError, OptimizerUnavailable, Reply
from optimizer_config.model import Config

EXIT_FAILED = 1
EXIT_UNAVAILABLE = 69


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
) -> int:
    """Ask, print, and return the exit code: 0 answered, 1 a typed error, 69 not reachable."""
    options: dict[str, Any] = {"model": model, "task": task, "timeout": timeout_s}
    if fresh:
        options["cache"] = "refresh"
    try:
        reply = asyncio.run(_ask(config, agent, prompt, options))
    except OptimizerError as error:
        print(f"optimizer: {error.code}: {error.message}", file=sys.stderr)
        return EXIT_UNAVAILABLE if isinstance(error, OptimizerUnavailable) else EXIT_FAILED
    if as_json:
        print(msgspec.json.encode(reply).decode())
        return 0
    print(reply.text)
    Console(stderr=True, highlight=False).print(f"[dim]{_provenance(reply)}[/dim]")
    return 0


async def _ask(config: Config, agent: str, prompt: str, options: dict[str, Any]) -> Reply:
    async with AsyncOptimizer(agent, url=config.amqp_url, prefix=config.prefix) as optimizer:
        return await optimizer.chat(prompt, **options)


def _provenance(reply: Reply) -> str:
    cost = "unpriced" if reply.cost_usd is None else f"${reply.cost_usd:.6f}"
    age = f", {reply.age_s:.0f} s old" if reply.age_s is not None else ""
    return (
        f"{reply.source}{age} · {reply.backend}/{reply.model} · task {reply.task} · "
        f"{reply.timings.total_ms:.0f} ms · {cost}"
    )
