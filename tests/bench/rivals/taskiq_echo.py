"""An echo as a taskiq task over Redis; runs in an environment that has taskiq and taskiq-redis.

python -m taskiq worker tests.bench.rivals.taskiq_echo:broker      python -m tests.bench.rivals.taskiq_echo
"""

import asyncio
import os

from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend  # type: ignore[import-not-found]
from tests.bench import child
from tests.bench.loops import closed_loop
from tests.bench.questions import PROMPT_CHARS

POLL_S = 0.01
"""How often a caller looks for its result; by default every 0.2 s."""

_url, _name = os.environ["BENCH_REDIS_URL"], os.environ["BENCH_QUEUE"]
_results = RedisAsyncResultBackend(_url, prefix_str=f"{_name}:results", result_ex_time=60)
broker = ListQueueBroker(_url, queue_name=f"{_name}:tasks").with_result_backend(_results)


@broker.task(task_name="echo")
async def echo(body: str) -> str:
    """Give back what came."""
    return body


async def ask() -> None:
    """Run closed loops for the parent."""
    body = "x" * PROMPT_CHARS

    async def one(_: int) -> None:
        task = await echo.kiq(body)
        result = await task.wait_result(check_interval=POLL_S, timeout=30)
        assert result.return_value == body

    await broker.startup()
    await child.answer_async(lambda in_flight, seconds: closed_loop(one, in_flight, seconds))
    await broker.shutdown()


if __name__ == "__main__":
    import uvloop

    uvloop.install()
    asyncio.run(ask())
