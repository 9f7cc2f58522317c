"""The rights of every user, from the topology. Pure.

What RabbitMQ wants for each operation (3.10 to 4.x):

=========================  ============================================================================================
declare, delete            configure on the queue or exchange
see that it is there       any of the three on it; until 4.x nothing
declare with dead letters  also read on the queue, write on the exchange of the dead letters
bind, unbind               write on the queue, read on the exchange; for a topic exchange also the key, as it is written
publish                    write on the exchange; for a topic exchange also the key. To a queue by its name: on
                           `amq.default`, which is then the right to publish to every queue of the virtual host
consume, get, purge        read on the queue
=========================  ============================================================================================

A name in a pattern means both the queue and the exchange of this name.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from optimizer_config.model import Config, User
from optimizer_ops.permissions.patterns import NOTHING, any_of, bindings_within, escaped, exactly
from optimizer_wire.messages import Priority
from optimizer_wire.topology import Names, backend_topology, shared_topology

# Replies go to queues by their names.
DEFAULT_EXCHANGE = "amq.default"


@dataclass(frozen=True, slots=True)
class TopicRights:
    """With which keys a user may publish to a topic exchange (`write`) and bind to it (`read`)."""

    exchange: str
    write: str
    read: str


@dataclass(frozen=True, slots=True)
class Rights:
    """What a user may configure, write and read: a regular expression over names each."""

    user: str
    configure: str
    write: str
    read: str
    topics: tuple[TopicRights, ...] = ()


def rights_of(config: Config) -> list[Rights]:
    """The rights of every user of a deployment, in the order of the configuration."""
    names = Names(config.prefix)
    return [_RIGHTS[user.role](name, user, names, config) for name, user in config.users.items()]


def _agent(name: str, _user: User, names: Names, _config: Config) -> Rights:
    """Asks, and reads what is answered. Its reply queues are those with its name and one more word."""
    own = f"{escaped(names.reply_prefix(name))}[^.]+"
    return Rights(name, configure=any_of([own]), write=any_of(exactly([names.requests])), read=any_of([own]))


def _coordinator(name: str, _user: User, names: Names, config: Config) -> Rights:
    """Declares and binds everything, takes requests and dead letters, publishes calls, replies and events."""
    parts = shared_topology(names), backend_topology(names, sorted(config.served))
    exchanges = {each.name for part in parts for each in part.exchanges}
    queues = {each.name for part in parts for each in part.queues}
    bound = {each.queue for part in parts for each in part.bindings}
    sources = {each.exchange for part in parts for each in part.bindings}
    return Rights(
        name,
        configure=any_of([*exactly(exchanges | queues | {names.kept_lock}), _self_checks(names)]),
        write=any_of(exactly(exchanges | bound | {DEFAULT_EXCHANGE})),
        read=any_of([*exactly(queues | sources), _self_checks(names)]),
    )


def _worker(name: str, user: User, names: Names, _config: Config) -> Rights:
    """Takes the calls of its backends, publishes calls to others, replies and events.

    It may bind nothing: who may bind to the exchange of calls could have a copy of another backend's.
    """
    queues = [names.call_queue(backend, priority) for backend in user.backends for priority in Priority]
    return Rights(
        name,
        configure=any_of([_self_checks(names)]),
        write=any_of(exactly([names.calls, names.events, names.journal, DEFAULT_EXCHANGE])),
        read=any_of([*exactly(queues), _self_checks(names)]),
    )


def _self_checks(names: Names) -> str:
    """The queues with which processes check themselves: each belongs to one connection alone."""
    return f"{escaped(names.self_checks)}[^.]+"


def _observer(name: str, user: User, names: Names, _config: Config) -> Rights:
    """Hears its events, on queues of its own, and publishes nothing."""
    own = f"{escaped(names.event_queue(name, ''))}[^.]+"
    return Rights(
        name,
        configure=any_of([own]),
        write=any_of([own]),
        read=any_of([own, escaped(names.events)]),
        topics=(TopicRights(names.events, NOTHING, bindings_within(user.events)),),
    )


def _recorder(name: str, _user: User, names: Names, config: Config) -> Rights:
    """Declares its queue and hears the journal on it; tells of alerts by events; sees how long queues are."""
    own = [names.events, names.journal, names.recorder]
    return Rights(
        name,
        configure=any_of(exactly(own)),
        write=any_of(exactly({*own, *_queues(names, config)})),
        read=any_of(exactly(own)),
    )


def _dashboard(name: str, _user: User, names: Names, config: Config) -> Rights:
    """Hears every event, sees how long queues are, lists the dead letters; tells of what operators do there."""
    heard = f"{escaped(names.event_queue(name, ''))}[^.]+"
    return Rights(
        name,
        configure=any_of([heard, *exactly([names.kept_lock])]),
        write=any_of([heard, *exactly({names.events, names.journal, *_queues(names, config)})]),
        read=any_of([heard, *exactly([names.events, names.kept])]),
    )


def _queues(names: Names, config: Config) -> set[str]:
    """The queues whose length operators look at.

    Since RabbitMQ 4 nobody sees a queue without a right to it. That to write is the least: it reads and deletes nothing
    and publishes nothing; it could only bind the queue to an exchange that this user may read.
    """
    parts = shared_topology(names), backend_topology(names, sorted(config.served))
    return {names.recorder, *(each.name for part in parts for each in part.queues)}


_RIGHTS = {
    "agent": _agent,
    "coordinator": _coordinator,
    "worker": _worker,
    "observer": _observer,
    "recorder": _recorder,
    "dashboard": _dashboard,
}


def definitions(rights: list[Rights], vhost: str) -> Mapping[str, list[dict[str, str]]]:
    """The rights as a part of RabbitMQ's definitions, to be imported once the users and the exchanges exist."""
    return {
        "permissions": [
            {"user": each.user, "vhost": vhost, "configure": each.configure, "write": each.write, "read": each.read}
            for each in rights
        ],
        "topic_permissions": [
            {"user": each.user, "vhost": vhost, "exchange": topic.exchange, "write": topic.write, "read": topic.read}
            for each in rights
            for topic in each.topics
        ],
    }


def commands(rights: list[Rights], vhost: str) -> list[list[list[str]]]:
    """The rights as lines of commands, each a list of words; one that fails ends its line.

    No tags: one of them (`impersonator`) allows to forge users. A user without topic rights may bind with any key, so
    that these come first.
    """
    made: list[list[list[str]]] = []
    for each in rights:
        topics = [
            ["rabbitmqctl", "set_topic_permissions", "-p", vhost, each.user, topic.exchange, topic.write, topic.read]
            for topic in each.topics
        ]
        main = ["rabbitmqctl", "set_permissions", "-p", vhost, each.user, each.configure, each.write, each.read]
        made.append([["rabbitmqctl", "set_user_tags", each.user], *topics, main])
    return made
