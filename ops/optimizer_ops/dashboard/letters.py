"""The dead letters as a page lists them.

RabbitMQ hands every letter out to whoever looks, and only one may look at a time: so they are read seldom, and not at
all if there are very many.
"""

import time

import msgspec

from optimizer_config.model import Config
from optimizer_ops.dead.letters import Busy, Kept, letters
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.topology import Names

MOST = 500
# So long one look is good for all.
FRESH_S = 15.0


class LettersUnavailable(Exception):
    """The letters cannot be listed; the message says why and what to do."""


class Listed(msgspec.Struct, frozen=True):
    """The letters, the latest first, and when they were read (Unix seconds)."""

    letters: list[Kept]
    at: float


async def listed(config: Config, ready: int | None) -> Listed:
    """The letters.

    :param ready: how many there are, as far as is known.
    :raises LettersUnavailable: if RabbitMQ is away, another one looks just now, or they are too many for a page.
    """
    if ready is not None and ready > MOST:
        raise LettersUnavailable(
            f"There are {ready:,} dead letters, too many for a page: optimizer dead list shows them, "
            "optimizer dead replay --all sends them again."
        )
    try:
        async with letters(config.amqp_url, Names(config.prefix)) as box:
            found = await box.all()
    except Busy:
        raise LettersUnavailable(
            "Somebody looks through the dead letters just now; in a moment they are here."
        ) from None
    except BrokerUnavailable as error:
        raise LettersUnavailable(f"The dead letters cannot be read: {error}") from error
    return Listed(sorted(found, key=lambda kept: -kept.letter.died_ms), time.time())
