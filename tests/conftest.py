"""Fixtures for tests that talk to real servers.

`amqp_url` and `redis_url` are shared by the whole run: take `prefix` too and name everything with it.
`private_rabbitmq` and `private_redis` are the test's to break.
"""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from tests.support.leftovers import AmqpCleanup, delete_entities, delete_keys
from tests.support.servers import PrivateRabbitMQ, PrivateRedis
from tests.support.services import amqp_service, missing, redis_service
from tests.support.stack import Stack

from optimizer_ops.services.probe import amqp_problem
from optimizer_wire.topology import Names


@pytest.fixture(autouse=True)
def _logs_of_this_test() -> Iterator[None]:
    """What a test sets up for logs ends with it: it may write to a file that is closed then."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def amqp_url() -> Iterator[str]:
    """A RabbitMQ that all tests share."""
    with amqp_service() as url:
        yield url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis that all tests share."""
    with redis_service() as url:
        yield url


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> Iterator[str]:
    """A prefix of this test alone; its Redis keys and what every process declares are deleted afterwards."""
    prefix = f"t-{uuid.uuid4().hex[:12]}"
    yield prefix
    if "redis_url" in request.fixturenames:
        delete_keys(request.getfixturevalue("redis_url"), prefix)
    if "amqp_url" in request.fixturenames:
        cleanup = AmqpCleanup(Names(prefix))
        cleanup.shared()
        delete_entities(request.getfixturevalue("amqp_url"), cleanup.queues, cleanup.exchanges)


@pytest.fixture
def amqp_cleanup(amqp_url: str, prefix: str) -> Iterator[AmqpCleanup]:
    """Names of further queues and exchanges to delete after the test: `.queues`, `.exchanges`, `.backends("groq")`."""
    cleanup = AmqpCleanup(Names(prefix))
    yield cleanup
    delete_entities(amqp_url, cleanup.queues, cleanup.exchanges)


@pytest.fixture(scope="session")
def _private_rabbitmq() -> Iterator[PrivateRabbitMQ]:
    if not PrivateRabbitMQ.installed():
        missing("rabbitmq-server", "PATH")
    with PrivateRabbitMQ() as server:
        yield server


@pytest.fixture
def private_rabbitmq(_private_rabbitmq: PrivateRabbitMQ) -> PrivateRabbitMQ:
    """A RabbitMQ that tests may stop, kill and freeze; each gets it running. What is in it stays: take `prefix`."""
    if _private_rabbitmq.running():
        _private_rabbitmq.resume()
        if amqp_problem(_private_rabbitmq.url):
            _private_rabbitmq.ctl("start_app")
    return _private_rabbitmq.start()


@pytest.fixture
def private_redis() -> Iterator[PrivateRedis]:
    """A new, empty Redis that the test may stop, kill and freeze."""
    if not PrivateRedis.installed():
        missing("redis-server", "PATH")
    with PrivateRedis() as server:
        yield server


@pytest.fixture
def stack(tmp_path: Path, amqp_url: str, redis_url: str, prefix: str, amqp_cleanup: AmqpCleanup) -> Iterator[Stack]:
    """Simulated backends, coordinators and workers of one test; ended with it."""
    deployment = Stack(tmp_path, amqp_url, redis_url, prefix)
    try:
        yield deployment
    finally:
        deployment.close()
        amqp_cleanup.backends(*deployment.backends)
