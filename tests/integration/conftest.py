"""What most of these tests begin with: Redis under a prefix of the test's own, and the flights in it."""

import pytest

from optimizer_state.flights import Flights
from optimizer_state.store import Store


@pytest.fixture
async def store(redis_url, prefix):
    """A store under the test's own prefix, which knows Redis' time."""
    store = Store(redis_url, prefix)
    await store.synchronise_clock()
    yield store
    await store.close()


@pytest.fixture
def flights(store):
    """The flights of this store."""
    return Flights(store)
