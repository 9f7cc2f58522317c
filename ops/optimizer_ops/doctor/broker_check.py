"""RabbitMQ: there, new enough, taking messages, with queues and exchanges as they must be. Changes nothing."""

from optimizer_config.model import Config
from optimizer_ops.doctor.finding import Area, Finding
from optimizer_ops.live.alarm import AlarmProbe
from optimizer_wire.broker_errors import BrokerUnavailable, NotPermitted, TopologyDiffers
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, Topology, backend_topology, shared_topology
from optimizer_wire.urls import masked_url

_OLDEST = (3, 10)
_CONNECT_S = 5.0
_MISSING_SHOWN = 3


async def examine(config: Config) -> list[Finding]:
    """What is found of RabbitMQ."""
    area = Area("rabbitmq")
    names = Names(config.prefix)
    probe = AlarmProbe(config.amqp_url, names)
    try:
        async with await Session.open(config.amqp_url, "optimizer doctor", timeout_s=_CONNECT_S) as session:
            _version(area, config, session)
            _user(area, config, session.user)
            why = await probe.reason(timeout_s=_CONNECT_S)
            if why:
                area.failed(
                    f"RabbitMQ takes no messages: {why}.", "Give it room: rabbitmqctl status shows memory and disk."
                )
            elif probe.refused:
                area.ok("Whether it has an alarm is not told to this user, who may not publish to queues.")
            else:
                area.ok("It has no alarm: it takes messages.")
            await _topology(area, config, session)
    except BrokerUnavailable as error:
        area.failed(str(error), _what_to_do(str(error)))
    finally:
        await probe.close()
    return area.findings


def _what_to_do(said: str) -> str:
    if "does not know the user" in said:
        return "Correct user and password in OPTIMIZER_AMQP_URL, or: rabbitmqctl add_user, then optimizer permissions."
    if "vhost" in said:
        return "rabbitmqctl add_vhost, and the rights of the user there: optimizer permissions."
    return "Start RabbitMQ, or correct OPTIMIZER_AMQP_URL; optimizer services up starts one for trying."


def _version(area: Area, config: Config, session: Session) -> None:
    version = session.server_version
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if parts and parts < _OLDEST:
        area.failed(f"RabbitMQ {version} is too old.", "RabbitMQ 3.10 or newer.")
    else:
        area.ok(f"RabbitMQ {version} at {masked_url(config.amqp_url)}.")


def _user(area: Area, config: Config, name: str) -> None:
    user = config.users.get(name)
    if not config.users:
        area.ok(f"We are the user {name}; without [users] whoever may publish may ask in any name.")
    elif user is None:
        area.warning(
            f"We are the user {name}, who is not in [users]: nobody listens to its requests.",
            "Use a URL with a user of the configuration.",
        )
    else:
        area.ok(f"We are the user {name}, with the role {user.role}.")


async def _topology(area: Area, config: Config, session: Session) -> None:
    names = Names(config.prefix)
    shared, calls = shared_topology(names), backend_topology(names, sorted(config.served))
    queues = [*shared.queues, *calls.queues]
    depths = await session.depths([queue.name for queue in queues])
    there = [exchange for exchange in shared.exchanges if await session.exchange_exists(exchange.name)]
    missing = [f"the exchange {each.name}" for each in shared.exchanges if each not in there]
    missing += [f"the queue {name}" for name, depth in depths.items() if depth is None]
    entities = [Topology((), (queue,), ()) for queue in queues if depths.get(queue.name)]
    differing, refused = await _differences(session, [*(Topology((each,), (), ()) for each in there), *entities])
    for words in differing:
        area.failed(words, "Delete it once it is empty, and start a coordinator; or use another prefix.")
    if missing:
        first = ", ".join(missing[:_MISSING_SHOWN]) + (", …" if len(missing) > _MISSING_SHOWN else "")
        area.failed(
            f"{len(missing)} missing: {first}.", "Start a coordinator, which declares them: optimizer coordinator"
        )
    if refused or len(depths) < len(queues):
        area.warning(
            "This user may not look at every queue and exchange: whether they are right is not known.",
            "Run optimizer doctor as the RabbitMQ user of the coordinators.",
        )
    elif not missing and not differing:
        area.ok(f"{len(queues)} queues and {len(there)} exchanges are as they must be.")


async def _differences(session: Session, entities: list[Topology]) -> tuple[list[str], bool]:
    """How what is there differs, in sentences, and whether we were refused. To declare what exists changes nothing."""
    found: list[str] = []
    refused = False
    for entity in entities:
        # A refused declaration closes its channel: each entity gets one of its own.
        channel = await session.channel()
        try:
            await channel.declare(entity)
        except TopologyDiffers as error:
            found.append(str(error))
        except NotPermitted:
            refused = True
    return found, refused
