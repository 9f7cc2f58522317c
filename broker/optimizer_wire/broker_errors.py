"""What may go wrong between us and the broker, as errors with a sentence; and aiormq's errors as these."""

import aiormq.exceptions

from optimizer_wire.broker_words import words

# What the library raises when the connection or the channel is gone, or the broker refused something on it.
LOST = (aiormq.exceptions.AMQPError, aiormq.exceptions.ChannelInvalidStateError, ConnectionError, OSError)


class BrokerUnavailable(Exception):
    """RabbitMQ cannot be reached, refuses us, or went away."""


class QueueMissing(BrokerUnavailable):
    """There is no queue of this name."""


class NotDeclared(BrokerUnavailable):
    """Something that this user may not declare does not exist yet."""


class NotPermitted(BrokerUnavailable):
    """The broker refuses something to this user."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"{words(error)} `optimizer permissions` prints the rights that each user needs.")


class Unroutable(Exception):
    """No queue is bound where the message was published to."""


class Refused(Exception):
    """The broker did not take the message: the queue is full."""


class Unconfirmed(Exception):
    """It is unknown whether the broker has the message: the connection broke or the confirm did not come in time."""


class ChannelRefused(Unconfirmed):
    """The broker closed the channel over something published on it; `code` and `text` are its words."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"RabbitMQ closed the channel: {text} ({code}).")
        self.code = code
        self.text = text


class Blocked(Unconfirmed):
    """The broker has an alarm (memory, disk) and has not read the message; it may yet, when the alarm is over."""


class TopologyDiffers(Exception):
    """An entity exists on the broker with other arguments than it must have; the message says which."""


def not_taken(error: BaseException, exchange: str) -> Unroutable | Refused | Unconfirmed:
    """What the broker, or its silence, says of a message that was published with a confirm."""
    match error:
        case Unroutable() | Refused():
            return error
        case aiormq.exceptions.ChannelNotFoundEntity() if f"'{exchange}'" in str(error):
            # What was published to other exchanges on the same channel may have been taken before.
            return Unroutable(f"The exchange {exchange} does not exist.")
        case aiormq.exceptions.ChannelAccessRefused():
            return ChannelRefused(403, str(error))
        case aiormq.exceptions.ChannelPreconditionFailed():
            return ChannelRefused(406, str(error))
        case _:
            return Unconfirmed(words(error))
