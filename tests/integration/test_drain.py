"""A backend that drains tells the fleet so, on a real Redis."""

import pytest

from optimizer_config.model import Backend
from optimizer_state.budget import Budget
from optimizer_state.outlooks import NEVER_MS
from optimizer_state.presence import Presence
from optimizer_state.settings import Settings
from optimizer_workers.fleet import Fleet

BACKEND = Backend("b", "openai", "http://localhost", ("m",))


@pytest.mark.parametrize("verb", ["drain", "pause"])
async def test_nobody_moves_calls_to_a_backend_that_is_taken_out(store, verb):
    """A second after an operator took a backend out, no worker expects it to take a call; after resume each does."""
    settings, budget = Settings(store), Budget(store, BACKEND, "w1")
    fleet = Fleet(store, Presence("b", "w1"), budget)
    await getattr(settings, verb)("b")
    await budget.restore()
    await fleet.beat()
    await fleet.exchange()

    assert fleet.ready_ms("b") == NEVER_MS

    await settings.resume("b")
    await budget.remind()
    await fleet.exchange()

    assert fleet.ready_ms("b") <= store.clock.now_ms()
