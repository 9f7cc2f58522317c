"""Waiting for what the broker answers: never for ever, and with errors that say what it means."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import aiormq.exceptions

from optimizer_wire.broker_errors import LOST, BrokerUnavailable, NotPermitted, QueueMissing, TopologyDiffers
from optimizer_wire.broker_words import difference, words

# A broker that sends heartbeats and does not answer: it recovers its queues, or it has an alarm and reads nothing.
ANSWER_TIMEOUT_S = 20.0

_Answer = TypeVar("_Answer")


@contextmanager
def lost_if_cancelled() -> Iterator[None]:
    """When a connection breaks, aiormq cancels what waits on it for an answer; its caller was not cancelled."""
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise BrokerUnavailable("The connection was lost.") from error


async def answer(asked: Awaitable[_Answer]) -> _Answer:
    """What the broker answers.

    :raises TopologyDiffers: if something exists with other arguments; the channel is closed by then.
    :raises QueueMissing: if there is no such queue; the channel is closed by then.
    :raises NotPermitted: if the user may not do this; the channel is closed by then.
    :raises BrokerUnavailable: if it refuses, is gone, or does not answer in time.
    """
    try:
        with lost_if_cancelled():
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await asked
    except TimeoutError as error:
        raise BrokerUnavailable(f"RabbitMQ did not answer within {ANSWER_TIMEOUT_S:g} s.") from error
    except aiormq.exceptions.ChannelPreconditionFailed as error:
        raise TopologyDiffers(difference(str(error))) from error
    except aiormq.exceptions.ChannelNotFoundEntity as error:
        raise QueueMissing(words(error)) from error
    except aiormq.exceptions.ChannelAccessRefused as error:
        raise NotPermitted(error) from error
    except LOST as error:
        raise BrokerUnavailable(words(error)) from error
