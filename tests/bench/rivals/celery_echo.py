"""An echo as a Celery task, called by its RPC result backend; runs in an environment that has Celery.

python -m celery --app tests.bench.rivals.celery_echo worker      python -m tests.bench.rivals.celery_echo
"""

import os
import time
from collections import deque

from celery import Celery  # type: ignore[import-not-found]
from tests.bench import child
from tests.bench.questions import PROMPT_CHARS
from tests.bench.sample import Sample, sample

app = Celery("echo", broker=os.environ["BENCH_AMQP_URL"], backend="rpc://")
app.conf.task_default_queue = os.environ["BENCH_QUEUE"]
app.conf.worker_prefetch_multiplier = 100


@app.task(name="echo")
def echo(body: str) -> str:
    """Give back what came."""
    return body


def stretch(in_flight: int, seconds: float) -> Sample:
    """Wait for the oldest result, then call again: its results are for one thread."""
    body = "x" * PROMPT_CHARS
    latencies_s: list[float] = []
    began = time.perf_counter()
    end = began + seconds
    asked = deque((time.perf_counter(), echo.delay(body)) for _ in range(in_flight))
    while asked:
        at, result = asked.popleft()
        assert result.get(timeout=30) == body
        latencies_s.append(time.perf_counter() - at)
        if time.perf_counter() < end:
            asked.append((time.perf_counter(), echo.delay(body)))
    return sample(latencies_s, time.perf_counter() - began)


if __name__ == "__main__":
    child.answer(stretch)
