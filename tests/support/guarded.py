"""A broker whose users have only the rights that `optimizer permissions` prints, each with a password of its own."""

import base64
import contextlib
import hashlib
import json
import secrets
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import pika
from tests.support import newer
from tests.support.servers import PrivateRabbitMQ

from optimizer_config.load import load
from optimizer_ops.permissions.rights import definitions, rights_of
from optimizer_wire.messages import REQUEST_TYPE
from optimizer_wire.topology import Names, reply_queue

PASSWORD = "a password of tests"
_LOGIN_S = 120


class GuardedBroker:
    """A virtual host of its own on a private broker; `url(user)` is where a user of the configuration logs in."""

    def __init__(self, server: PrivateRabbitMQ, vhost: str) -> None:
        self.server = server
        self.vhost = vhost

    def url(self, user: str) -> str:
        return f"amqp://{user}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.server.port}/{self.vhost}"

    @property
    def admin_url(self) -> str:
        """For one who may do everything."""
        return f"{self.server.url.rpartition('/')[0]}/{self.vhost}"


@contextmanager
def guarded_broker(server: PrivateRabbitMQ, config_file: Path) -> Iterator[GuardedBroker]:
    """Import the users of a configuration with their rights into a new virtual host."""
    config, vhost = load(str(config_file), {}), f"guarded-{uuid.uuid4().hex[:8]}"
    everything = {"user": "guest", "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"}
    rights = definitions(rights_of(config), vhost)
    broker = GuardedBroker(server, vhost)
    _import(
        server,
        vhosts=[{"name": vhost}],
        users=[_user(name) for name in config.users],
        permissions=[*rights["permissions"], everything],
    )
    # As a coordinator would: newer brokers take no topic rights for an exchange that does not exist.
    with contextlib.closing(pika.BlockingConnection(_patient(broker.admin_url))) as connection:
        connection.channel().exchange_declare(Names(config.prefix).events, "topic", durable=True)
    _import(server, topic_permissions=rights["topic_permissions"])
    try:
        yield broker
    finally:
        server.ctl("delete_vhost", vhost)


def _import(server: PrivateRabbitMQ, **definitions: Any) -> None:
    file = server.folder / "definitions.json"
    file.write_text(json.dumps(definitions))
    server.ctl("import_definitions", newer.as_seen(str(file)))


def _patient(url: str) -> pika.URLParameters:
    """A login may take long on a machine that does much else."""
    parameters = pika.URLParameters(url)
    parameters.socket_timeout = parameters.stack_timeout = _LOGIN_S
    return parameters


def _user(name: str) -> dict[str, Any]:
    salt = secrets.token_bytes(4)
    digest = base64.b64encode(salt + hashlib.sha256(salt + PASSWORD.encode()).digest()).decode()
    return {
        "name": name,
        "password_hash": digest,
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": "",
        "limits": {},
    }


class Intruder:
    """A user who tries things over raw AMQP."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(_patient(url))

    def close(self) -> None:
        self._connection.close()

    def try_to(self, method: str, *arguments: Any, **more: Any) -> str:
        """What the broker says: `done`, or the beginning of its refusal. Each try has a channel of its own."""
        channel = self._connection.channel()
        channel.confirm_delivery()
        try:
            getattr(channel, method)(*arguments, **more)
        except pika.exceptions.ChannelClosedByBroker as error:
            return str(error.reply_text).partition(" - ")[0]
        except pika.exceptions.UnroutableError:
            return "done"
        channel.close()
        return "done"


class RawAgent(Intruder):
    """A user who publishes requests byte by byte, and reads its own reply queue."""

    def __init__(self, url: str, names: Names, user: str) -> None:
        super().__init__(url)
        self._names, self._user = names, user
        self._channel = self._connection.channel()
        self._channel.confirm_delivery()
        self.reply_to = names.reply_queue(user, uuid.uuid4().hex)
        queue = reply_queue(self.reply_to)
        self._channel.queue_declare(queue.name, durable=queue.durable, arguments=queue.arguments)

    def send(self, agent: str, prompt: str, *, kind: str = REQUEST_TYPE, properties: Any = None, **fields: Any) -> str:
        """Publish a request; `properties` and `fields` replace what an honest client would say. Returns its id."""
        request = {
            "v": 1,
            "id": uuid.uuid4().hex,
            "agent": agent,
            "params": {"messages": [{"role": "user", "content": prompt}]},
            "timeout_ms": 15_000,
        } | fields
        said = {
            "type": kind,
            "message_id": request["id"],
            "reply_to": self.reply_to,
            "user_id": self._user,
            "app_id": agent,
        } | (properties or {})
        self._channel.basic_publish(
            self._names.requests,
            self._names.requests,
            msgpack.packb(request),
            pika.BasicProperties(**said),
            mandatory=True,
        )
        return request["id"]

    def answer(self, timeout_s: float = 15.0) -> dict[str, Any] | None:
        """The next reply; None if none comes in time."""
        end = time.monotonic() + timeout_s
        while True:
            method, _, body = self._channel.basic_get(self.reply_to, auto_ack=True)
            if method is not None:
                return msgpack.unpackb(body)
            if time.monotonic() >= end:
                return None
            self._connection.sleep(0.01)

    def close(self) -> None:
        self._channel.queue_delete(self.reply_to)
        super().close()
