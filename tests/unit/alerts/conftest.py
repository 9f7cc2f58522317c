"""What tests of alerts share."""

import pytest

from optimizer_ops.history.database import migrate, open_engine


@pytest.fixture
def database(tmp_path):
    """An empty history."""
    engine = open_engine(f"sqlite:///{tmp_path / 'history.db'}", create=True)
    migrate(engine)
    yield engine
    engine.dispose()
