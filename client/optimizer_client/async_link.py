"""One session of the asyncio client, for one life: replies come in on it, requests go out.

What is lost stays lost: its owner makes another one, and sends again what is unanswered.
"""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Protocol

from optimizer_client import failures
from optimizer_client.confirms import Confirms
from optimizer_wire.broker_errors import BrokerUnavailable, ChannelRefused, Refused, Unconfirmed, Unroutable
from optimizer_wire.channel import Channel
from optimizer_wire.codec import encode
from optimizer_wire.deliveries import Delivery
from optimizer_wire.errors import OptimizerError
from optimizer_wire.frames import Properties
from optimizer_wire.messages import CANCEL_TYPE, CONTENT_TYPE, Question, kind_of
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, reply_queue
from optimizer_wire.tracing import traceparent_headers

CANCEL_WITHIN_S = 5.0


class Owner(Protocol):
    """Who is told what happens on a link."""

    def received(self, body: bytes) -> None:
        """A reply came."""

    def accepted(self, request_id: str) -> None:
        """The broker has the request."""

    def refused(self, request_id: str, error: OptimizerError) -> None:
        """The broker did not take the request."""

    def unblocked(self) -> None:
        """The broker takes requests again."""


class AsyncLink:
    """A session with the reply queue consumed, and a channel with confirms for requests."""

    def __init__(self, session: Session, names: Names, instance: str, agent: str, owner: Owner) -> None:
        self._session = session
        self._names = names
        self._queue = names.reply_queue(session.user, instance)
        self._agent = agent
        self._owner = owner
        self._replies: Channel | None = None
        self._requests: Channel | None = None
        self._confirms = Confirms()
        self._tag = 0
        self.why = "the connection to RabbitMQ was lost."

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def open(self, precedence: int) -> None:
        """Consume the reply queue before anything is asked.

        While the broker takes the connection before this one for alive, its consumer would still get replies, and lose
        them: a higher `precedence` has the newest consumer go first.

        :raises BrokerUnavailable, TopologyDiffers: if the broker does not let us.
        """
        self._replies = await self._session.channel()
        requests = await self._session.channel(confirms=True)
        await self._replies.declare_queue(reply_queue(self._queue))
        await self._replies.consume(
            self._queue, self._deliver, no_ack=True, precedence=precedence, on_cancel=self._queue_deleted
        )
        self._requests = requests
        self._session.on_block(self._on_block)

    async def lost(self) -> None:
        """Wait until it is over."""
        await self._session.lost.wait()

    def drop(self, why: str) -> None:
        """Give it up."""
        if not self._session.lost.is_set():
            self.why = why
            self._session.lost.set()

    async def leave(self) -> None:
        """Delete the reply queue, which nobody needs any more."""
        if self._replies is not None:
            with suppress(BrokerUnavailable):
                await self._replies.delete_queue(self._queue)

    # ── publishing ───────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def blocked(self) -> str | None:
        """Why the broker takes no requests for now, as a sentence; None if it takes them."""
        reason = self._session.blocked
        return None if reason is None else f"RabbitMQ takes no requests for now ({reason})."

    def publish(self, request: Question, trace: str = "") -> None:
        """Publish a request; its owner is told what the broker says, if it says anything while the link lives.

        :raises InvalidRequest: if it cannot be encoded.
        """
        body = encode(request)
        if self._requests is None:
            return
        self._tag += 1
        self._confirms.published(self._tag, request.id, len(body), request.timeout_ms / 1000, _now())
        self._requests.publish_watched(
            self._names.requests,
            self._names.requests,
            body,
            self._properties(kind_of(request), request, trace),
            partial(self._told, self._tag),
        )

    async def cancel(self, request: Question) -> None:
        """Tell the optimizer that nobody waits for a request any more; without a promise that it hears it."""
        if self._requests is None or self._session.blocked is not None:
            return
        with suppress(BrokerUnavailable, Unroutable, Refused, Unconfirmed):
            await self._requests.publish_confirmed(
                self._names.requests,
                self._names.requests,
                encode(request),
                self._properties(CANCEL_TYPE, request),
                timeout_s=CANCEL_WITHIN_S,
            )

    def _properties(self, kind: str, request: Question, trace: str = "") -> Properties:
        return Properties(
            kind,
            request.id,
            content_type=CONTENT_TYPE,
            reply_to=self._queue,
            expiration_ms=request.timeout_ms,
            user=self._session.user,
            agent=self._agent,
            durable=True,
            headers=traceparent_headers(trace),
        )

    def _told(self, tag: int, error: Unroutable | Refused | Unconfirmed | None) -> None:
        for request_id in self._confirms.told(tag, _now()):
            match error:
                case None:
                    self._owner.accepted(request_id)
                case Unroutable():
                    self._owner.refused(request_id, failures.nobody_serves(request_id, str(error)))
                case Refused():
                    self._owner.refused(request_id, failures.queue_full(request_id))
                case ChannelRefused(code=code, text=text):
                    self._owner.refused(request_id, failures.channel_refused(code, text, request_id))

    # ── what the broker says, and does not say ───────────────────────────────────────────────────────────────────

    def stalls_at(self) -> float | None:
        """When the broker will have kept silent about requests for longer than it ever should; None if never."""
        return None if self._session.blocked is not None else self._confirms.stalls_at()

    async def look(self) -> bool:
        """Look after silence: is the reply queue still consumed (if not, this link is given up)?

        :return: whether there is a coordinator that takes requests.
        :raises BrokerUnavailable: if the connection is gone.
        """
        if not await self._session.consumers(self._queue):
            self._queue_deleted()
        return await self._session.consumers(self._names.requests) > 0

    def _deliver(self, message: Delivery) -> None:
        self._owner.received(message.body)

    def _queue_deleted(self) -> None:
        self.drop("RabbitMQ has deleted the reply queue.")

    def _on_block(self, reason: str | None) -> None:
        if reason is None:
            # What the broker had not read while it was blocked counts from now.
            self._confirms.begin_anew(_now())
            self._owner.unblocked()


def _now() -> float:
    return asyncio.get_running_loop().time()
