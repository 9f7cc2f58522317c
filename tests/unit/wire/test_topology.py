"""The topology as data: complete, explicit, and made of what every version of RabbitMQ takes."""

import pytest

from optimizer_wire.messages import Priority
from optimizer_wire.topology import (
    Names,
    backend_topology,
    event_queue,
    reply_queue,
    shared_topology,
    topic_pattern,
)

NAMES = Names("here")


def test_names_carry_the_prefix():
    """Everything that a deployment declares begins with its prefix."""
    shared, calls = shared_topology(NAMES), backend_topology(NAMES, ["groq"])
    named = [entity.name for entity in (*shared.exchanges, *shared.queues, *calls.queues)]
    named += [NAMES.reply_queue("guest", "1"), NAMES.reply_prefix(None)]

    assert all(name.startswith("here.") for name in named)


@pytest.mark.parametrize("topology", [shared_topology(NAMES), backend_topology(NAMES, ["groq", "mistral"])])
def test_bindings_join_what_exists(topology):
    """Every binding joins a queue and an exchange that are declared before; all but the kept letters are bound once."""
    exchanges = {exchange.name for exchange in shared_topology(NAMES).exchanges}
    bound = {queue.name for queue in topology.queues} - {NAMES.kept}

    assert {binding.queue for binding in topology.bindings} == bound
    assert {binding.exchange for binding in topology.bindings} <= exchanges
    assert len(topology.bindings) == len(bound)


def test_a_queue_for_each_priority():
    """Each backend has one call queue for each priority, bound with the key that calls are published with."""
    topology = backend_topology(NAMES, ["groq"])

    assert {(b.exchange, b.key, b.queue) for b in topology.bindings} == {
        ("here.calls", f"groq.{p}", f"here.calls.groq.{p}") for p in ("interactive", "standard", "batch")
    }
    assert NAMES.call_key("groq", Priority.BATCH) == "groq.batch"


def test_work_is_never_lost_or_dropped():
    """Queues of work are quorum queues that refuse what is too much and keep what cannot be handled, explicitly."""
    queues = [*shared_topology(NAMES).queues[:1], *backend_topology(NAMES, ["groq"]).queues]

    for queue in queues:
        assert queue.durable
        assert not queue.exclusive
        assert not queue.auto_delete
        assert set(queue.arguments) == {
            "x-queue-type",
            "x-delivery-limit",
            "x-max-length",
            "x-overflow",
            "x-dead-letter-exchange",
            "x-dead-letter-strategy",
        }
        assert queue.arguments["x-queue-type"] == "quorum"
        assert queue.arguments["x-overflow"] == "reject-publish"
        assert queue.arguments["x-dead-letter-exchange"] == NAMES.dead


def test_no_queue_of_a_kind_that_newer_versions_refuse():
    """No queue is transient and shared at once, which RabbitMQ 4 refuses."""
    queues = [reply_queue("r"), event_queue("e"), *shared_topology(NAMES).queues]

    assert all(queue.durable or queue.exclusive for queue in queues)
    assert all(queue.arguments["x-queue-type"] in {"quorum", "classic"} for queue in queues)


def test_replies_survive_a_blip():
    """A client's reply queue outlives its connection, and is gone ten minutes later."""
    queue = reply_queue("here.replies.guest.1")

    assert (queue.durable, queue.exclusive, queue.auto_delete) == (True, False, False)
    assert queue.arguments["x-expires"] == 600_000


@pytest.mark.parametrize(
    ("pattern", "bound"),
    [
        ("optimizer.*", "optimizer.#"),
        ("optimizer.cache.*", "optimizer.cache.#"),
        ("optimizer.call.failed", "optimizer.call.failed"),
        ("optimizer.#", "optimizer.#"),
        ("*", "#"),
        ("#", "#"),
        ("*.cache.hit", "*.cache.hit"),
        ("optimizer.*.hit", "optimizer.*.hit"),
        ("*.*", "*.#"),
    ],
)
def test_topic_pattern(pattern, bound):
    """A trailing `.*` means everything below, as people expect; all else is AMQP's own."""
    assert topic_pattern(pattern) == bound
