"""The thread that talks to RabbitMQ for the blocking client.

Other threads hand it work through an inbox; everything that waits for an answer (`Pending`) belongs to this thread
alone. It ends every future: with a reply, an error, at its deadline, or when the client is closed.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

from pika.adapters.select_connection import IOLoop  # type: ignore[import-untyped]
from pika.exceptions import AMQPError  # type: ignore[import-untyped]

from optimizer_client import failures
from optimizer_client.inbox import Inbox
from optimizer_client.link import Link
from optimizer_client.pending import Entry, Pending
from optimizer_client.pika_words import words
from optimizer_client.reply import reply_from
from optimizer_client.traced import traced
from optimizer_wire import messages
from optimizer_wire.backoff import backoff_s
from optimizer_wire.codec import decode
from optimizer_wire.errors import InvalidRequest, OptimizerError
from optimizer_wire.ids import new_id
from optimizer_wire.messages import CANCEL_TYPE, VERSION, Question, Request, kind_of
from optimizer_wire.topology import Names

CLOSE_WITHIN_S = 1.0
JOIN_WITHIN_S = 5.0
RECONNECT_CAP_S = 5.0

ReplyFuture = Future[Any]
Detour = Callable[[Request, ReplyFuture], None]
_Entry = Entry[ReplyFuture]

_log = logging.getLogger("optimizer_client")


class IoThread:
    """One connection, kept, and the requests on it. `detour` takes requests for which there is no connection."""

    def __init__(
        self, parameters: Any, where: str, names: Names, *, connect_timeout_s: float, detour: Detour | None
    ) -> None:
        self._parameters = parameters
        self._where = where
        self._names = names
        self._instance = new_id()
        self._connect_timeout_s = connect_timeout_s
        self._detour = detour
        self._pid = os.getpid()
        self._pending: Pending[ReplyFuture] = Pending()
        self._link: Link | None = None
        self._links = 0
        self._silence: str | None = None
        self._attempt = 0
        self._alarm: tuple[float, Any] | None = None
        self._why = f"the connection to RabbitMQ at {where} has not been made yet."
        self._inbox = Inbox()
        self._stopping = False
        self._loop: Any = None
        self._thread = threading.Thread(target=self._run, name="optimizer-client", daemon=True)

    # ── from any thread ──────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Begin to connect."""
        self._new_loop()
        self._thread.start()

    @property
    def connected(self) -> bool:
        """Whether requests can be published now."""
        link = self._link
        return link is not None and link.ready

    @property
    def is_current(self) -> bool:
        """Whether this is the calling thread, which therefore must not wait for it."""
        return threading.current_thread() is self._thread

    def ask(self, request: Question, future: ReplyFuture) -> None:
        """Send a request; the future is resolved whatever happens.

        A submitted one ends when the broker has it, and a question about one with what came back: both with a reply as
        it came over the wire.
        """
        asked_at = time.monotonic()
        trace = traced(request, future)
        if not self._inbox.post(lambda: self._ask(request, future, asked_at, trace)):
            fail(future, failures.closed_already(request.id))

    def withdraw(self, request_id: str) -> None:
        """Forget a request and tell the optimizer that nobody wants its answer any more."""
        self._inbox.post(lambda: self._withdraw(request_id))

    def stop(self) -> None:
        """End the thread; what is unanswered gets `Cancelled`. May be called twice, and in a forked child."""
        if self._pid != os.getpid() or not self._thread.ident:
            return
        self._inbox.post(self._shut_down)
        if not self.is_current:
            self._thread.join(JOIN_WITHIN_S)

    # ── the thread ───────────────────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._turn()
        finally:
            self._stopping = True
            self._inbox.close()
            self._inbox.run()
            self._end_all()

    def _turn(self) -> None:
        """Run the loop until it is stopped. A fault of pika costs the connection, never the requests."""
        try:
            self._loop.add_callback_threadsafe(self._begin)
            self._loop.start()
        except Exception:  # noqa: BLE001 logged with its traceback, and mended
            _log.exception("The connection to RabbitMQ broke in an unexpected way; connecting again.")
            self._why = "the client's connection failed in an unexpected way; see the log."
            time.sleep(backoff_s(self._attempt, cap_s=RECONNECT_CAP_S))
            self._attempt += 1
        finally:
            self._link = self._alarm = None
            old = self._loop
            if not self._stopping:
                self._new_loop()
            old.close()

    def _new_loop(self) -> None:
        loop = self._loop = IOLoop()
        self._inbox.wake_with(lambda: loop.add_callback_threadsafe(self._inbox.run))

    def _begin(self) -> None:
        self._inbox.run()
        self._connect()
        self._arm()

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _ask(self, request: Question, future: ReplyFuture, asked_at: float, trace: str) -> None:
        if self._stopping:
            fail(future, failures.client_closed(request.id))
        if future.done():
            return
        patience_s = self._connect_timeout_s
        if self._detour is not None:
            # Half of the time is for the way around.
            patience_s = min(patience_s, request.timeout_ms / 2000)
        try:
            entry = self._pending.add(request, future, asked_at, patience_s)
        except ValueError:
            fail(future, failures.on_its_way(request.id))
            return
        entry.trace = trace
        self._publish(entry)
        self._arm()

    def _publish(self, entry: _Entry) -> None:
        if self._link is None or not self._link.ready:
            return
        if self._link.blocked is not None:
            # There is a connection, so that its patience does not count; only its deadline does.
            entry.patience_until = math.inf if self._detour is None else entry.patience_until
            return
        entry.published()
        try:
            self._link.publish(kind_of(entry.request), entry.at(time.monotonic()), entry.trace)
        except InvalidRequest as error:
            self._pending.discard(entry.request.id)
            fail(entry.token, error)
        except AMQPError as error:
            self._link.drop(words(error))

    def _withdraw(self, request_id: str) -> None:
        entry = self._pending.discard(request_id)
        if entry is not None and entry.sent and entry.plain and self._link is not None and self._link.writable:
            with suppress(InvalidRequest, AMQPError):
                self._link.publish(CANCEL_TYPE, entry.at(time.monotonic()))

    def _give_up(self, entry: _Entry, error: OptimizerError) -> None:
        """End a request for which there is no optimizer, or let it go around."""
        left_s = entry.deadline - time.monotonic()
        request = entry.at(time.monotonic())
        if self._detour is not None and left_s > 0 and entry.plain and isinstance(request, Request):
            self._detour(request, entry.token)
        else:
            fail(entry.token, error)

    # ── deadlines and silence ────────────────────────────────────────────────────────────────────────────────────

    def _arm(self) -> None:
        moments = (self._pending.next_alarm(), self._link.stalls_at() if self._link is not None else None)
        when = min((moment for moment in moments if moment is not None), default=None)
        if when is None or (self._alarm is not None and self._alarm[0] <= when):
            return
        if self._alarm is not None:
            self._loop.remove_timeout(self._alarm[1])
        self._alarm = (when, self._loop.call_later(max(0.0, when - time.monotonic()), self._ring))

    def _ring(self) -> None:
        self._alarm = None
        now = time.monotonic()
        due = self._pending.due(now)
        for entry in due.expired:
            error = failures.expired(entry, self._trouble())
            if entry.sent:
                fail(entry.token, error)
            else:
                self._give_up(entry, error)
        if self._link is not None and (stalls_at := self._link.stalls_at()) is not None and stalls_at <= now:
            self._link.drop("RabbitMQ has stopped to answer.")
        else:
            for entry in due.resubmit:
                self._publish(entry)
            if due.resubmit and self._link is not None:
                self._link.look()
        self._arm()

    def _trouble(self) -> str | None:
        """What is wrong with the connection or at its other end, if anything is known to be."""
        if self._link is None or not self._link.ready:
            return self._why
        return self._link.blocked or self._silence

    # ── the connection ───────────────────────────────────────────────────────────────────────────────────────────

    def _connect(self) -> None:
        if not self._stopping:
            self._links += 1
            self._link = Link(self._parameters, self._loop, self._names, self._instance, self._links, self)

    def link_ready(self) -> None:
        """Send what is unanswered, again."""
        self._attempt = 0
        for entry in self._pending:
            self._publish(entry)
        self._arm()

    def link_unblocked(self) -> None:
        """Send what was held back."""
        for entry in self._pending:
            if not entry.on_its_way:
                self._publish(entry)
        self._arm()

    def served(self, *, anybody: bool) -> None:
        """Silence may mean that nobody takes requests: then an error at the deadline can say so."""
        self._silence = None if anybody else failures.NO_COORDINATOR

    def link_lost(self, why: str) -> None:
        """Connect again after a while."""
        self._why = f"RabbitMQ at {self._where}: {why}"
        self._link = None
        if not self._stopping:
            self._loop.call_later(backoff_s(self._attempt, cap_s=RECONNECT_CAP_S), self._connect)
            self._attempt += 1

    def received(self, body: bytes) -> None:
        """End the request that a reply belongs to."""
        try:
            wire = decode(body, messages.Reply)
        except InvalidRequest:
            self._pending.strays += 1
            return
        entry = self._pending.resolve(wire.id)
        if entry is None:
            return
        try:
            reply = reply_from(wire) if entry.plain else wire
        except OptimizerError as error:
            fail(entry.token, error)
        else:
            with suppress(InvalidStateError):
                entry.token.set_result(reply)

    def accepted(self, request_id: str) -> None:
        """The broker has it: that is all that a submitted request waits for."""
        entry = self._pending.accepted(request_id, time.monotonic())
        if entry is not None:
            with suppress(InvalidStateError):
                entry.token.set_result(messages.Reply(VERSION, request_id, ok=True))

    def refused(self, request_id: str, error: OptimizerError) -> None:
        """End a request that the broker did not take."""
        entry = self._pending.refused(request_id)
        if entry is None:
            return
        if error.code == "backend_unavailable":
            self._give_up(entry, error)
        else:
            fail(entry.token, error)

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _shut_down(self) -> None:
        self._stopping = True
        self._end_all()
        link = self._link
        if link is None:
            self._loop.stop()
            return
        link.close(self._loop.stop)
        self._loop.call_later(CLOSE_WITHIN_S, lambda: self._cut(link))

    def _end_all(self) -> None:
        for entry in self._pending.clear():
            fail(entry.token, failures.client_closed(entry.request.id))

    def _cut(self, link: Link) -> None:
        link.abort()
        self._loop.call_later(0.1, self._loop.stop)


def fail(future: ReplyFuture, error: OptimizerError) -> None:
    """End a future with an error, unless its caller was faster to cancel it."""
    with suppress(InvalidStateError):
        future.set_exception(error)
