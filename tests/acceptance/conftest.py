"""A deployment of real processes for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.leftovers import AmqpCleanup
from tests.support.stack import Stack


@pytest.fixture
def stack(tmp_path: Path, amqp_url: str, redis_url: str, prefix: str, amqp_cleanup: AmqpCleanup) -> Iterator[Stack]:
    """Simulated backends, coordinators and workers of one test; ended with it."""
    deployment = Stack(tmp_path, amqp_url, redis_url, prefix)
    try:
        yield deployment
    finally:
        deployment.close()
        amqp_cleanup.backends(*deployment.backends)
