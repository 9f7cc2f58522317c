"""Scenarios of a test file that run at the same time in one deployment, because they mostly wait."""

import asyncio
from collections.abc import Coroutine
from typing import Any


def run_together(**scenarios: Coroutine[Any, Any, Any]) -> dict[str, Any]:
    """Run them; what each returned, or the exception that ended it."""

    async def run() -> list[Any]:
        return await asyncio.gather(*scenarios.values(), return_exceptions=True)

    return dict(zip(scenarios, asyncio.run(run()), strict=True))


def outcome(ran: dict[str, Any], name: str) -> Any:
    """What a scenario returned. Raises what ended it."""
    found = ran[name]
    if isinstance(found, BaseException):
        raise found
    return found
