"""The blocking client through real coordinators and workers."""

import threading

import pytest

from optimizer_client import InvalidRequest, Optimizer, UnknownModel


@pytest.fixture
def optimizer(stack):
    """A client of two coordinators and a worker."""
    stack.simulate("alpha", {"latency": {"base_s": 0.3}})
    stack.start(coordinators=2)
    with Optimizer("agent", url=stack.amqp_url, prefix=stack.prefix, timeout=30) as client:
        yield client


def test_twenty_threads_that_ask_the_same_make_one_call(optimizer, stack):
    """Equal questions at the same time are one call at the backend, and a later one comes from the cache."""
    replies = []
    threads = [
        threading.Thread(target=lambda: replies.append(optimizer.chat("Why is the sky blue?"))) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    late = optimizer.chat("Why is the sky blue?")

    assert len({reply.text for reply in [*replies, late]}) == 1
    assert sorted(reply.source for reply in replies).count("backend") == 1
    assert late.source == "cache"


def test_what_it_asks_for_is_what_it_gets(optimizer):
    """Many questions get answers of their own, and errors come as their class."""
    replies = optimizer.chat_many([f"Question {number}?" for number in range(100)])

    assert len({reply.text for reply in replies}) == 100
    with pytest.raises(UnknownModel):
        optimizer.chat("Why?", model="no-such-model")
    with pytest.raises(InvalidRequest):
        optimizer.chat("Why?", stream=True)
