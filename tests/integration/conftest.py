"""What most of these tests begin with: Redis under a prefix of the test's own, the flights in it, an empty history."""

import pytest
import sqlalchemy as sa
from tests.support.postgres import PrivatePostgres

from optimizer_ops.history.database import migrate, open_engine
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


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL for all tests of histories."""
    if not PrivatePostgres.installed():
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    with PrivatePostgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request, tmp_path):
    """An empty history, migrated."""
    if request.param == "sqlite":
        engine = open_engine(f"sqlite:///{tmp_path}/state/history.db", create=True)
    else:
        engine = open_engine(request.getfixturevalue("postgres").url)
        with engine.begin() as connection:
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
    migrate(engine)
    yield engine
    engine.dispose()
