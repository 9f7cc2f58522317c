"""The HTTP API against its own description: generated requests, valid and invalid, to the real application."""

import time

import pika
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from tests.support.history_events import seed
from tests.support.served import TOKEN, configured, served
from tests.support.tap import shared_stack

from optimizer_ops.dashboard.api.openapi import description
from optimizer_ops.dashboard.api.routes import ENDPOINTS
from optimizer_state import flushes
from optimizer_wire.topology import Names, shared_topology

schema = schemathesis.openapi.from_dict(description(ENDPOINTS))


@pytest.fixture(scope="module")
def api(tmp_path_factory, amqp_url, redis_url):
    """The application over a history of some days, a Redis and a RabbitMQ; flushes wait for no worker."""
    with (
        pytest.MonkeyPatch.context() as patch,
        shared_stack(tmp_path_factory.mktemp("api"), amqp_url, redis_url) as stack,
    ):
        patch.setattr(flushes, "AHEAD_MS", 1)
        config = configured(stack)
        seed(config.history_url, time.time(), requests=300)
        with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
            for exchange in shared_topology(Names(stack.prefix)).exchanges:
                connection.channel().exchange_declare(exchange.name, exchange.kind, durable=True)
        with served(config) as api:
            yield api


@schema.parametrize()
@settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
def test_every_operation(case, api):
    """Whatever is asked, valid or not, is answered with a status, a type and a body that the description names."""
    given = {"base_url": api.url, "headers": {"Authorization": f"Bearer {TOKEN}"}}
    response = case.call(**given)
    # No schema can say that a span ends after it begins.
    empty = response.status_code == 422 and "The span ends before it begins" in response.text
    excluded = [positive_data_acceptance] if empty else []
    case.validate_response(response, headers=given["headers"], transport_kwargs=given, excluded_checks=excluded)
