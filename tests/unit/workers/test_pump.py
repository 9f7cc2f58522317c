"""What a worker holds to begin it."""

from types import SimpleNamespace
from typing import Any

import pytest

from optimizer_workers.pump import Pump


@pytest.mark.parametrize("up", [True, False])
def test_what_comes_after_the_session_has_ended_is_not_held(up: bool):
    """RabbitMQ goes on delivering until the connection is closed: those calls are held by the next session alone."""
    held: list[object] = []
    scheduler = SimpleNamespace(twin=lambda _: None, push=held.append)
    known: dict[str, Any] = {
        "backend": SimpleNamespace(name="alpha"),
        "scheduler": scheduler,
        "planner": SimpleNamespace(ready_ms=lambda _: 0),
        "mover": SimpleNamespace(hear=lambda _: None, moves=lambda *_: False),
        "link": SimpleNamespace(has=lambda _: up),
        "clock": SimpleNamespace(now_ms=lambda: 0),
    }
    others = ("allowance", "execution", "waiting", "reporter", "tasks")
    job: Any = SimpleNamespace(hop=SimpleNamespace(model="m"))

    Pump(**known, **dict.fromkeys(others)).take(job)

    assert held == ([job] if up else [])
