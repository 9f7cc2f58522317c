"""The task that talks to RabbitMQ for the asyncio client.

It keeps a connection and everything that waits for an answer (`Pending`), and ends every future: with a reply, an
error, at its deadline, or when the client is closed. Whatever is unanswered when a connection breaks is sent again on
the next one, under the same id.
"""

import asyncio
import logging
import math
from collections.abc import Collection, Coroutine
from contextlib import suppress
from typing import Any

from optimizer_client import failures
from optimizer_client.async_link import AsyncLink
from optimizer_client.pending import Entry, Pending
from optimizer_client.traced import traced
from optimizer_wire import messages
from optimizer_wire.backoff import backoff_s
from optimizer_wire.broker_errors import BrokerUnavailable, TopologyDiffers
from optimizer_wire.cancellation import end
from optimizer_wire.codec import decode
from optimizer_wire.errors import InvalidRequest, OptimizerError
from optimizer_wire.ids import new_id
from optimizer_wire.messages import VERSION, Question
from optimizer_wire.session import Session
from optimizer_wire.topology import Names

LEAVE_S = 2.0
RECONNECT_CAP_S = 5.0

ReplyFuture = asyncio.Future[messages.Reply]
_Entry = Entry[ReplyFuture]

_log = logging.getLogger("optimizer_client")


class IoTask:
    """One connection, kept, and the requests on it."""

    def __init__(self, url: str, names: Names, agent: str, *, waits_blocked: bool) -> None:
        """`waits_blocked` is whether a request waits until its deadline for a broker that takes none for now."""
        self._url = url
        self._names = names
        self._agent = agent
        self._waits_blocked = waits_blocked
        self.instance = new_id()
        self._pending: Pending[ReplyFuture] = Pending()
        self._keeper: asyncio.Task[None] | None = None
        # When it rings, and its handle: uvloop's knows no `when` if that is now.
        self._alarm: tuple[float, asyncio.Handle] | None = None
        self._link: AsyncLink | None = None
        self._links = 0
        self._why = "the connection to RabbitMQ has not been made yet."
        self._silence: str | None = None
        self._closed = False
        self._background: set[asyncio.Task[None]] = set()

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Begin to connect, if it has not begun."""
        self._closed = False
        if self._keeper is None:
            self._keeper = asyncio.ensure_future(self._keep())

    async def stop(self) -> None:
        """End the connection; what is unanswered gets `Cancelled`, and the optimizer is told so."""
        self._closed = True
        if self._alarm is not None:
            self._alarm[1].cancel()
            self._alarm = None
        unanswered = self._pending.clear()
        for entry in unanswered:
            fail(entry, failures.client_closed(entry.request.id))
        link = self._link
        if link is not None:
            await self._take_leave(link, unanswered)
            # It ends in good order by itself: cancelled while it closes a session, aiormq complains.
            link.drop("the client was closed.")
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            await _ended({keeper}, LEAVE_S if link is not None else 0)
        await _ended(list(self._background), LEAVE_S)

    async def _take_leave(self, link: AsyncLink, unanswered: list[_Entry]) -> None:
        """Cancel what nobody waits for any more, and leave no reply queue behind; both within two seconds."""
        now = asyncio.get_running_loop().time()
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await asyncio.gather(
                    *(link.cancel(entry.at(now)) for entry in unanswered if entry.sent and entry.plain)
                )
                await link.leave()

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._link is not None

    @property
    def in_flight(self) -> int:
        """How many requests have no answer yet."""
        return len(self._pending)

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────

    def ask(self, request: Question, future: ReplyFuture, patience_s: float) -> _Entry:
        """Send a request; the future is resolved whatever happens, after `patience_s` if there is no connection.

        :raises InvalidRequest: if a request of the same id is on its way, or if it cannot be encoded.
        """
        self.start()
        try:
            entry = self._pending.add(request, future, asyncio.get_running_loop().time(), patience_s)
        except ValueError:
            raise failures.on_its_way(request.id) from None
        entry.trace = traced(request, future)
        self._publish(entry)
        self._arm()
        return entry

    def discard(self, request_id: str) -> _Entry | None:
        """Stop waiting for a request; None if it does not wait."""
        return self._pending.discard(request_id)

    async def tell_cancelled(self, entry: _Entry) -> None:
        """Tell the optimizer that nobody waits for a request any more."""
        if self._link is not None and entry.sent and entry.plain:
            await self._link.cancel(entry.at(asyncio.get_running_loop().time()))

    def tell_cancelled_soon(self, entry: _Entry) -> None:
        """The same without waiting."""
        self._spawn(self.tell_cancelled(entry))

    def _publish(self, entry: _Entry) -> None:
        """Send a request. Only a clear "no" is an error; an unknown outcome is mended by sending it again."""
        link = self._link
        if link is None:
            return
        if link.blocked is not None:
            # There is a connection, so that its patience does not count; only its deadline does.
            if self._waits_blocked:
                entry.patience_until = math.inf
            return
        entry.published()
        try:
            link.publish(entry.at(asyncio.get_running_loop().time()), entry.trace)
        except InvalidRequest as error:
            self._pending.discard(entry.request.id)
            fail(entry, error)

    def _publish_all(self) -> None:
        for entry in self._pending:
            self._publish(entry)
        self._arm()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # ── deadlines and silence ────────────────────────────────────────────────────────────────────────────────────

    def _arm(self) -> None:
        moments = (self._pending.next_alarm(), self._link.stalls_at() if self._link is not None else None)
        when = min((moment for moment in moments if moment is not None), default=None)
        if when is None or (self._alarm is not None and self._alarm[0] <= when):
            return
        if self._alarm is not None:
            self._alarm[1].cancel()
        self._alarm = when, asyncio.get_running_loop().call_at(when, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now = asyncio.get_running_loop().time()
        due = self._pending.due(now)
        for entry in due.expired:
            fail(entry, failures.expired(entry, self._trouble()))
        if self._link is not None and (stalls_at := self._link.stalls_at()) is not None and stalls_at <= now:
            self._link.drop("RabbitMQ has stopped to answer.")
        else:
            for entry in due.resubmit:
                self._publish(entry)
            if due.resubmit and self._link is not None:
                self._spawn(self._look(self._link))
        self._arm()

    def _trouble(self) -> str | None:
        """What is wrong with the connection or at its other end, if anything is known to be."""
        if self._link is None:
            return self._why
        return self._link.blocked or self._silence

    async def _look(self, link: AsyncLink) -> None:
        """Silence may mean that nobody takes requests: then an error at the deadline can say so."""
        with suppress(BrokerUnavailable):
            self._silence = None if await link.look() else failures.NO_COORDINATOR

    # ── the connection ───────────────────────────────────────────────────────────────────────────────────────────

    async def _keep(self) -> None:
        attempt = 0
        while not self._closed:
            try:
                session = await Session.open(self._url, f"optimizer agent {self._agent}")
                try:
                    await self._serve(session)
                    attempt = 0
                finally:
                    self._link = None
                    # Not waited for: a broker that answers nothing would keep the next connection waiting.
                    self._spawn(session.close())
            except (BrokerUnavailable, TopologyDiffers) as error:
                self._why = str(error)
            except asyncio.CancelledError:
                # A library cancels what waits on a broken connection; only who cancels this very task ends it.
                if (task := asyncio.current_task()) is None or task.cancelling():
                    raise
            except Exception:  # noqa: BLE001 logged with its traceback, and mended
                _log.exception("The connection to RabbitMQ broke in an unexpected way; connecting again.")
                self._why = "the client's connection failed in an unexpected way; see the log."
            if not self._closed:
                await asyncio.sleep(backoff_s(attempt, cap_s=RECONNECT_CAP_S))
                attempt += 1

    async def _serve(self, session: Session) -> None:
        """Consume replies on one session until it is lost; send again what was unanswered."""
        self._links += 1
        link = AsyncLink(session, self._names, self.instance, self._agent, self)
        await link.open(self._links)
        self._link = link
        self._publish_all()
        await link.lost()
        self._why = link.why

    # ── what the link tells ──────────────────────────────────────────────────────────────────────────────────────

    def received(self, body: bytes) -> None:
        """End the request that a reply belongs to."""
        try:
            reply = decode(body, messages.Reply)
        except InvalidRequest:
            self._pending.strays += 1
            return
        entry = self._pending.resolve(reply.id)
        if entry is not None and not entry.token.done():
            entry.token.set_result(reply)

    def accepted(self, request_id: str) -> None:
        """The broker has it: that is all that a submitted request waits for."""
        entry = self._pending.accepted(request_id, asyncio.get_running_loop().time())
        if entry is not None and not entry.token.done():
            entry.token.set_result(messages.Reply(VERSION, request_id, ok=True))

    def refused(self, request_id: str, error: OptimizerError) -> None:
        """End a request that the broker did not take."""
        entry = self._pending.refused(request_id)
        if entry is not None:
            fail(entry, error)

    def unblocked(self) -> None:
        """Send what was held back."""
        for entry in self._pending:
            if not entry.on_its_way:
                self._publish(entry)
        self._arm()


async def _ended(tasks: Collection[asyncio.Task[None]], within_s: float) -> None:
    """Give tasks some time to end, and end them."""
    if tasks and within_s:
        await asyncio.wait(tasks, timeout=within_s)
    await end(tasks)


def fail(entry: _Entry, error: OptimizerError) -> None:
    """End a request with an error, unless it has ended."""
    if not entry.token.done():
        entry.token.set_exception(error)
