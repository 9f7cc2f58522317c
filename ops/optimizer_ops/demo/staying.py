"""What goes on after the score when the demo is to stay: the fleet keeps asking, and now and then something is wrong,
so that there is something to look at.

├── work ──┬ a backend answers 429, `retry-after` 45 s ┬── work ──┬ a request for a model that there is not ┬── …
0          20 s                                        65 s      80 s                                      120 s
"""

import asyncio
import itertools
import time
from collections.abc import Callable

from optimizer_client import AsyncOptimizer, OptimizerError
from optimizer_ops.demo.fleet import Fleet
from optimizer_ops.demo.load import make_load
from optimizer_ops.demo.trouble import control

ROUND_S = 120.0
THROTTLED = "sim-groq"
_THROTTLED_AT_S, _LETTER_AT_S = 20.0, 80.0
_RETRY_AFTER_S = 45
_FIRST_SEED = 100
# Who asks for what there is not, in a name of its own.
STRAY_AGENT, STRAY_MODEL = "newcomer", "sim-llama/llama-9"


async def stay(
    fleet: Fleet, stray: AsyncOptimizer, throttled_url: str, agents: int, say: Callable[[str], None]
) -> None:
    """Keep asking until cancelled."""
    for seed in itertools.count(_FIRST_SEED):
        trouble = asyncio.create_task(_trouble(stray, throttled_url, say))
        try:
            await fleet.play(make_load(ROUND_S, agents, seed), time.monotonic())
        finally:
            trouble.cancel()


async def _trouble(stray: AsyncOptimizer, url: str, say: Callable[[str], None]) -> None:
    await asyncio.sleep(_THROTTLED_AT_S)
    say(f"{THROTTLED} refuses a call with 429 and `retry-after: {_RETRY_AFTER_S}`: optimizer backends {THROTTLED}")
    await control(url, {"fail": [429], "extra_headers": {"retry-after": str(_RETRY_AFTER_S)}})
    await asyncio.sleep(_LETTER_AT_S - _THROTTLED_AT_S)
    await control(url, {"extra_headers": None})
    say(f"{STRAY_AGENT} asks for a model that there is not: optimizer dead list")
    try:
        await stray.chat("Hello?", model=STRAY_MODEL)
    except OptimizerError:
        return
