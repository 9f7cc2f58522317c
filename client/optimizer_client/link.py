"""One pika connection for one life, in the I/O thread that opened it.

::

    connect ─► channel 1: declare and consume the reply queue ─► channel 2: confirms on ─► ready ─► … ─► lost
                                                                       ▲                     │
                                                                       └── closed by the broker: what it had
                                                                           not confirmed is refused, open again

Everything happens in callbacks of the loop; none blocks. What is lost stays lost: its owner makes another one.

While the broker takes the connection before this one for alive, its consumer would still get replies, and lose them: a
higher `precedence` has the newest consumer go first.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import pika  # type: ignore[import-untyped]
import pika.exceptions  # type: ignore[import-untyped]
from pika.spec import Basic  # type: ignore[import-untyped]

from optimizer_client import failures
from optimizer_client.confirms import Confirms
from optimizer_client.pika_words import words
from optimizer_client.probe import Probe
from optimizer_wire.codec import encode
from optimizer_wire.errors import OptimizerError
from optimizer_wire.messages import CANCEL_TYPE, CONTENT_TYPE, Question
from optimizer_wire.topology import Names, reply_queue
from optimizer_wire.tracing import traceparent_headers

READY_WITHIN_S = 10.0
# RabbitMQ speaks at least once in each heartbeat. Looked for every half of one, silence is noticed within two.
SILENT_HEARTBEATS = 1.5


class Owner(Protocol):
    """Who is told what happens on a link."""

    def link_ready(self) -> None:
        """Requests can be published, on a new connection or a new channel."""

    def link_unblocked(self) -> None:
        """The broker takes requests again."""

    def link_lost(self, why: str) -> None:
        """The link is over. Comes once, and nothing after it."""

    def received(self, body: bytes) -> None:
        """A reply came."""

    def accepted(self, request_id: str) -> None:
        """The broker has the request."""

    def refused(self, request_id: str, error: OptimizerError) -> None:
        """The broker did not take the request."""

    def served(self, *, anybody: bool) -> None:
        """Whether anybody takes requests off the broker, as far as `look` has found."""


class Link:
    """A connection, its reply queue and the publishing of requests."""

    def __init__(self, parameters: Any, loop: Any, names: Names, instance: str, precedence: int, owner: Owner) -> None:
        self._loop = loop
        self._precedence = precedence
        self._owner = owner
        self._names = names
        self._user = parameters.credentials.username
        self._encrypted = parameters.ssl_options is not None
        self._queue = names.reply_queue(self._user, instance)
        self._replies: Any = None
        self._requests: Any = None
        self._tag = 0
        self._confirms = Confirms()
        self._opened_at: float | None = None
        self._heard = 0
        self._heard_at = 0.0
        self._returned: set[str] = set()
        self._was_open = self._cut = self._over = False
        self._done: Callable[[], None] | None = None
        self.blocked: str | None = None
        self.ready = False
        self._connection = pika.SelectConnection(
            parameters,
            on_open_callback=self._opened,
            on_open_error_callback=self._closed,
            on_close_callback=self._closed,
            custom_ioloop=loop,
        )

    # ── publishing ───────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def writable(self) -> bool:
        """Whether a request may be published now."""
        return self.ready and self.blocked is None

    def publish(self, kind: str, request: Question, trace: str = "") -> None:
        """Publish a request; `accepted` or `refused` tells its owner what the broker said.

        :raises InvalidRequest: if it cannot be encoded.
        """
        body = encode(request)
        properties = pika.BasicProperties(
            content_type=CONTENT_TYPE,
            delivery_mode=2,
            correlation_id=request.id,
            message_id=request.id,
            reply_to=self._queue,
            expiration=str(request.timeout_ms),
            type=kind,
            user_id=self._user,
            app_id=request.agent,
            headers=traceparent_headers(trace),
        )
        self._tag += 1
        # What tells of a cancelled request is not waited for: its id may be in use again.
        watched = "" if kind == CANCEL_TYPE else request.id
        self._confirms.published(self._tag, watched, len(body), request.timeout_ms / 1000, time.monotonic())
        self._requests.basic_publish(self._names.requests, self._names.requests, body, properties, mandatory=True)

    def stalls_at(self) -> float | None:
        """When the broker will have kept silent for longer than it ever should; None if nothing is waited for."""
        if self.blocked is not None or self._opened_at is None:
            return None
        return self._confirms.stalls_at() if self.ready else self._opened_at + READY_WITHIN_S

    def look(self) -> None:
        """Look after silence who consumes: the reply queue (if nobody, this link is given up), and requests."""
        if self.ready:
            Probe(self._connection, [self._queue, self._names.requests], self._seen)

    def _seen(self, queue: str, consumers: int) -> None:
        if queue == self._names.requests:
            self._owner.served(anybody=consumers > 0)
        elif not consumers:
            self.drop("RabbitMQ has deleted the reply queue.")

    def _confirmed(self, frame: Any) -> None:
        tag, multiple = frame.method.delivery_tag, frame.method.multiple
        for request_id in self._confirms.told(tag, time.monotonic(), multiple=multiple):
            if isinstance(frame.method, Basic.Nack):
                self._owner.refused(request_id, failures.queue_full(request_id))
            elif request_id in self._returned:
                # A returned message is acked too.
                self._returned.discard(request_id)
            else:
                self._owner.accepted(request_id)

    def _on_return(self, _channel: Any, _method: Any, properties: Any, _body: bytes) -> None:
        if properties.type == CANCEL_TYPE:
            return
        request_id = properties.message_id
        self._returned.add(request_id)
        detail = f"Its queue {self._names.requests} does not exist on this RabbitMQ."
        self._owner.refused(request_id, failures.nobody_serves(request_id, detail))

    # ── opening ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _opened(self, connection: Any) -> None:
        self._was_open = True
        self._opened_at = time.monotonic()
        self._listen()
        connection.add_on_connection_blocked_callback(self._on_blocked)
        connection.add_on_connection_unblocked_callback(self._on_unblocked)
        connection.channel(on_open_callback=self._declare)

    def _listen(self) -> None:
        """Give up a broker that says nothing at all. pika would take two to three heartbeats, and five seconds each."""
        heartbeat_s = self._connection.params.heartbeat
        if self._over or not heartbeat_s:
            return
        now, heard = time.monotonic(), self._connection.bytes_received
        if heard != self._heard:
            self._heard, self._heard_at = heard, now
        elif now - self._heard_at >= SILENT_HEARTBEATS * heartbeat_s:
            self.drop(f"RabbitMQ has said nothing for {now - self._heard_at:.0f} s.")
            return
        self._loop.call_later(heartbeat_s / 2, self._listen)

    def _declare(self, channel: Any) -> None:
        self._replies = channel
        channel.add_on_close_callback(self._replies_closed)
        channel.add_on_cancel_callback(lambda _: self.drop("RabbitMQ has deleted the reply queue."))
        queue = reply_queue(self._queue)
        channel.queue_declare(queue.name, durable=queue.durable, arguments=queue.arguments, callback=self._consume)

    def _consume(self, _frame: Any) -> None:
        first = {"x-priority": self._precedence}
        self._replies.basic_consume(
            self._queue, self._deliver, auto_ack=True, arguments=first, callback=self._open_requests
        )

    def _deliver(self, _channel: Any, _method: Any, _properties: Any, body: bytes) -> None:
        self._owner.received(body)

    def _open_requests(self, _frame: Any = None) -> None:
        self._tag = 0
        self._opened_at = time.monotonic()
        self._connection.channel(on_open_callback=self._with_confirms)

    def _with_confirms(self, channel: Any) -> None:
        self._requests = channel
        channel.add_on_close_callback(self._requests_closed)
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._confirmed, callback=self._is_ready)

    def _is_ready(self, _frame: Any) -> None:
        if not self._over:
            self.ready = True
            self._owner.link_ready()

    # ── what the broker may do ───────────────────────────────────────────────────────────────────────────────────

    def _on_blocked(self, _connection: Any, frame: Any) -> None:
        self.blocked = f"RabbitMQ takes no requests for now ({frame.method.reason or 'memory or disk alarm'})."

    def _on_unblocked(self, _connection: Any, _frame: Any) -> None:
        self.blocked = None
        # Whatever the broker had not read while it was blocked counts from now.
        self._confirms.begin_anew(time.monotonic())
        if self.ready:
            self._owner.link_unblocked()

    def _requests_closed(self, _channel: Any, reason: Exception) -> None:
        """The broker refused something published: it is one of those it had not confirmed."""
        self.ready = False
        if self._over or not isinstance(reason, pika.exceptions.ChannelClosedByBroker):
            return
        self._returned.clear()
        for request_id in self._confirms.take_all():
            self._owner.refused(request_id, failures.channel_refused(reason.reply_code, reason.reply_text, request_id))
        self._open_requests()

    def _replies_closed(self, _channel: Any, reason: Exception) -> None:
        if isinstance(reason, pika.exceptions.ChannelClosedByBroker):
            self.drop(f"RabbitMQ refuses the reply queue: {words(reason)}")

    def _closed(self, _connection: Any, error: BaseException) -> None:
        self._lose(words(error, encrypted=self._encrypted and not self._was_open))
        if self._done is not None:
            self._done()

    def _lose(self, why: str) -> None:
        self.ready = False
        if not self._over:
            self._over = True
            self._owner.link_lost(why)

    # ── ending ───────────────────────────────────────────────────────────────────────────────────────────────────

    def drop(self, why: str) -> None:
        """Give the link up, without waiting for a broker that may not answer."""
        if not self._over:
            self._lose(why)
            self.abort()

    def close(self, done: Callable[[], None]) -> None:
        """Close in good order, with the reply queue, which nobody needs any more; calls `done` at the end."""
        self._over, self.ready = True, False
        self._done = done
        if self._connection.is_closed:
            done()
            return
        if self._replies is not None and self._replies.is_open:
            self._replies.queue_delete(self._queue, callback=partial(self._close_now))
        else:
            self._close_now()

    def _close_now(self, _frame: Any = None) -> None:
        if not (self._connection.is_closing or self._connection.is_closed):
            self._connection.close()

    def abort(self) -> None:
        """Cut the connection; its socket is closed at the next turn of the loop."""
        connection = self._connection
        if connection.is_closed or self._cut:
            return
        self._cut = True
        if self._was_open:
            # pika has no public way to leave a broker that answers nothing.
            connection._terminate_stream(pika.exceptions.ConnectionOpenAborted("given up"))  # noqa: SLF001
        elif not connection.is_closing:
            connection.close()
