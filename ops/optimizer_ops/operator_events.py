"""What an operator did, as an event: whoever looks later at the history is to see who did what, and when."""

import getpass
import socket

from optimizer_config.model import Config
from optimizer_service.outbox import Outbox
from optimizer_state.store import Store
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.events import Event
from optimizer_wire.ids import new_id
from optimizer_wire.session import Session
from optimizer_wire.topology import Names

_CONNECT_S = 3.0
# One process, one source: its events are numbered.
SOURCE = f"operator/{new_id()[-12:]}"


async def tell(config: Config, store: Store, happened: Event) -> str | None:
    """Publish the event; returns a sentence if it could not be told. What was done needs no RabbitMQ."""
    names = Names(config.prefix)
    try:
        async with await Session.open(config.amqp_url, "optimizer operator", timeout_s=_CONNECT_S) as session:
            # Before any process has run there is nobody to tell.
            if await session.exchange_exists(names.journal):
                channel = await session.channel()
                await Outbox(channel, names, store).tell(happened)
                await channel.flush()
    except BrokerUnavailable as error:
        return f"This holds, but is not told as an event. {error}"
    return None


def who() -> str:
    """The user of this machine, and the machine."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in a container
        name = "somebody"
    return f"{name}@{socket.gethostname()}"
