"""Read by pyright and never run: the client's types are what an editor shows, and the doubles fit where it does."""

from concurrent.futures import Future
from typing import Any, assert_type

from optimizer_client import (
    Asks,
    AsyncAsks,
    AsyncOptimizer,
    DeadlineExceeded,
    NotReady,
    Optimizer,
    OptimizerError,
    OptimizerUnavailable,
    Reply,
    Status,
    optimized_api_call,
)
from optimizer_client.testing import InMemoryOptimizer, InMemorySyncOptimizer


async def asyncio_client() -> None:
    async with AsyncOptimizer("agent", url="amqp://h/", prefix="p", timeout=5, fallback="direct") as optimizer:
        assert_type(await optimizer.chat("Hi"), Reply)
        assert_type(await optimizer.chat([{"role": "user", "content": "Hi"}], system="Be brief."), Reply)
        assert_type(await optimizer.embed(["a", "b"], model="mistral/mistral-embed"), Reply)
        assert_type(await optimizer.chat_many(["a", "b"], task="code"), list[Reply | OptimizerError])
        assert_type(await optimizer.cancel("id"), bool)
        assert_type(await optimizer.submit("Hi", system="Be brief.", task="code", timeout=600), str)
        assert_type(await optimizer.submit_embed(["a", "b"]), str)
        assert_type(await optimizer.fetch("id", timeout=5), Reply)
        assert_type((await optimizer.status("id")).position, int | None)
        assert_type(await optimizer.cancel_submitted("id"), bool)
        assert_type(optimizer.in_flight, int)
        assert_type(optimizer.connected, bool)


def blocking_client() -> None:
    with Optimizer("agent", connect_timeout=1) as optimizer:
        assert_type(optimizer.chat("Hi", task="reasoning", timeout=30), Reply)
        assert_type(optimizer.chat_future("Hi"), Future[Reply])
        assert_type(optimizer.chat_many(["Hi"]), list[Reply | OptimizerError])
        assert_type(optimizer.cancel("id"), bool)
        assert_type(optimizer.submit("Hi", timeout=600), str)
        assert_type(optimizer.submit_embed("a"), str)
        assert_type(optimizer.fetch("id"), Reply)
        assert_type(optimizer.status("id"), Status)
        assert_type(optimizer.cancel_submitted("id"), bool)
    assert_type(optimized_api_call("agent", "Hi", task="code"), Reply)


def options(optimizer: Optimizer, of_the_provider: dict[str, Any]) -> None:
    optimizer.chat("Hi", temperature=0.5, max_tokens=5, response_format={"type": "json_object"}, tools=[])
    optimizer.chat("Hi", cache="refresh", ttl=5, namespace="n", scope="public", priority="batch", tags={"a": "b"})
    optimizer.chat("Hi", extra_body={"top_k": 5})
    optimizer.chat("Hi", ordering_key="document 7", supersede=True)
    optimizer.chat("Hi", **of_the_provider)
    optimizer.chat("Hi", cache="maybe")  # pyright: ignore[reportArgumentType]
    optimizer.chat("Hi", task="gardening")  # pyright: ignore[reportArgumentType]
    optimizer.chat("Hi", temprature=0.5)  # pyright: ignore[reportCallIssue]
    optimizer.chat(5)  # pyright: ignore[reportArgumentType]


def results(reply: Reply, error: OptimizerError) -> None:
    assert_type(reply.text, str)
    assert_type(reply.cost_usd, float | None)
    assert_type(reply.result, dict[str, Any])
    assert_type(reply.embeddings, list[list[float]])
    assert_type(error.code, str)
    assert_type(error.retry_after_s, float | None)
    late: TimeoutError = DeadlineExceeded("Late.")
    early: TimeoutError = NotReady("Early.")
    assert_type(NotReady("Early.").status, Status | None)
    away: OptimizerError = OptimizerUnavailable("Away.")
    print(late, early, away)


def real_ones_are_what_can_be_asked(blocking: Optimizer, running: AsyncOptimizer) -> tuple[Asks, AsyncAsks]:
    return blocking, running


def doubles_are_what_can_be_asked() -> tuple[Asks, AsyncAsks]:
    return InMemorySyncOptimizer(answers={"Hi": "Hello."}), InMemoryOptimizer(answers=["Hello."], latency_s=0.1)


def neither_is_the_other(blocking: Optimizer, running: AsyncOptimizer) -> None:
    wrong: Asks = running  # pyright: ignore[reportAssignmentType]
    also_wrong: AsyncAsks = blocking  # pyright: ignore[reportAssignmentType]
    print(wrong, also_wrong)
