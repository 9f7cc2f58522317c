"""Mailboxes in Redis: where the replies to submitted requests are kept until somebody fetches them.

A submitted request has nobody who listens: instead of a reply queue its waiter names the mailbox of its owner, and
whoever would send it a reply puts that there, before the ack. The owner is the RabbitMQ user and its tenant, so that
nobody finds the requests of others. The first end that is put counts; it stays for 15 minutes.

Thin typed shell over `lua/mailbox_{open,put,look}.lua`, where the rules are.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

import msgspec

from optimizer_state.flights import KEEP_MS
from optimizer_state.scripts import Script, Step
from optimizer_state.store import Store
from optimizer_wire.messages import Op, Reply, Task, Waiter

_ADDRESS = "mailbox:"
_END = ".box"
_OWNER_BYTES = 16

_encoder = msgspec.msgpack.Encoder()
_replies = msgspec.msgpack.Decoder(Reply)


class Submission(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a submitted request while it waits: its waiter, its flight, and what its route goes by."""

    waiter: Waiter
    fingerprint: str
    model: str
    task: Task
    op: Op = "chat"


_submissions = msgspec.msgpack.Decoder(Submission)


@dataclass(frozen=True, slots=True)
class Opened:
    """What was found when a submitted request came: it is `open` (with what was written first), has `ended`, or
    another request of its owner has taken its id (`conflict`). `new`: there was no mailbox for it until now.
    """

    verdict: Literal["open", "ended", "conflict"]
    submission: Submission | None = None
    new: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What is in a mailbox; nothing if nobody of this owner has submitted it, or it was too long ago."""

    reply: Reply | None = None
    submission: Submission | None = None


def address_of(user: str, tenant: str) -> str:
    """Where the submitted requests of a RabbitMQ user are answered.

    No queue has such a name; what is before the last dot is the owner's, as in the name of a reply queue.
    """
    owner = blake2b(_encoder.encode((user, tenant)), digest_size=_OWNER_BYTES).hexdigest()
    return f"{_ADDRESS}{tenant}/{owner}{_END}"


def keys_of(prefix: str, tenant: str) -> str:
    """A pattern (`SCAN`) of the keys of all mailboxes of a tenant."""
    escaped = re.sub(r"([*?\[\]\\^])", r"\\\1", tenant)
    return f"{prefix}:{{{_ADDRESS}{escaped}/*"


def is_mailbox(reply_to: str) -> bool:
    """Whether a waiter is to be answered in a mailbox."""
    return reply_to.startswith(_ADDRESS)


def _opened(reply: list[Any]) -> Opened:
    match reply[0]:
        case b"open":
            return Opened("open", _submissions.decode(reply[1]), new=reply[2] == 1)
        case b"ended":
            return Opened("ended")
        case _:
            return Opened("conflict")


class Mailboxes:
    """The mailboxes of one deployment. Every method may be repeated, and raises `RedisAway` if Redis is away."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def _key(self, address: str, request_id: str) -> str:
        return f"{self._store.prefix}:{{{address}}}:{request_id}"

    async def open(self, submissions: Sequence[Submission]) -> list[Opened]:
        """Note that these requests have come, in one round trip."""
        replies = await self._store.run([self._open_step(each) for each in submissions])
        return [_opened(reply) for reply in replies]

    def _open_step(self, submission: Submission) -> Step:
        waiter = submission.waiter
        arguments = (submission.fingerprint, _encoder.encode(submission), waiter.deadline_ms, KEEP_MS)
        return Step("mailbox_open", self._key(waiter.reply_to, waiter.id), arguments)

    async def put(self, address: str, replies: Sequence[Reply]) -> list[Reply]:
        """Keep replies to requests of one owner; returns what is there: an end that came earlier stays."""
        steps = [self._put_step(address, reply) for reply in replies]
        return [_replies.decode(said[2]) for said in await self._store.run(steps)]

    def _put_step(self, address: str, reply: Reply) -> Step:
        return Step("mailbox_put", self._key(address, reply.id), (_encoder.encode(reply), KEEP_MS))

    async def look(self, address: str, request_id: str) -> Seen:
        """Look into the mailbox of one request."""
        reply, known = (await self._run("mailbox_look", address, request_id))[1:]
        return Seen(_replies.decode(reply) if reply else None, _submissions.decode(known) if known else None)

    async def _run(self, script: Script, address: str, request_id: str) -> list[Any]:
        return (await self._store.run([Step(script, self._key(address, request_id), ())]))[0]
