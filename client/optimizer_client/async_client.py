"""`AsyncOptimizer`: the client for asyncio, on aio-pika.

One connection carries any number of requests. A background task keeps it; whatever is unanswered when it breaks is sent
again on the next one, under the same id.
"""

import asyncio
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, Unpack

from aiormq.abc import DeliveredMessage

from optimizer_client import failures
from optimizer_client.direct import DirectCaller, direct_caller
from optimizer_client.options import DEFAULT_TIMEOUT_S, Options, Prompt, chat_request, embed_request
from optimizer_client.pending import Entry, Pending
from optimizer_client.reply import Reply, reply_from
from optimizer_client.settings import ClientSettings
from optimizer_wire import messages
from optimizer_wire.backoff import backoff_s
from optimizer_wire.codec import decode, encode
from optimizer_wire.errors import BackendUnavailable, InvalidRequest, OptimizerError, OptimizerUnavailable
from optimizer_wire.ids import new_id
from optimizer_wire.messages import CANCEL_TYPE, CONTENT_TYPE, REQUEST_TYPE, Request
from optimizer_wire.session import (
    BrokerUnavailable,
    Channel,
    Refused,
    Session,
    TopologyDiffers,
    Unconfirmed,
    Unroutable,
    properties,
)
from optimizer_wire.topology import Names, reply_queue

LEAVE_S = 2.0

_Future = asyncio.Future[messages.Reply]

_log = logging.getLogger("optimizer_client")


class AsyncOptimizer:
    """The optimizer, for asyncio::

        async with AsyncOptimizer(agent="quality") as optimizer:
            reply = await optimizer.chat("Why is the sky blue?", task="reasoning", timeout=30)

    `agent` names who asks. `url` is the AMQP URL (default: `OPTIMIZER_AMQP_URL`, else a local RabbitMQ); `timeout` the
    default deadline of a request in seconds. A request that finds no connection waits `connect_timeout` seconds for one
    and then raises `OptimizerUnavailable`, or with `fallback="direct"` goes straight to the first backend of the route.
    """

    def __init__(
        self,
        agent: str,
        *,
        url: str | None = None,
        prefix: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        connect_timeout: float = 5.0,
        fallback: Literal["direct"] | None = None,
    ) -> None:
        settings = ClientSettings.read(os.environ, url=url, prefix=prefix)
        self.agent = agent
        self._url = settings.amqp_url
        self._names = Names(settings.prefix)
        self._instance = new_id()
        self._timeout_s = timeout
        self._connect_timeout_s = connect_timeout
        self._direct: DirectCaller | None = direct_caller() if fallback == "direct" else None
        self._pending: Pending[_Future] = Pending()
        self._keeper: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._ready = asyncio.Event()
        self._channel: Channel | None = None
        self._session: Session | None = None
        self._why = "the connection to RabbitMQ has not been made yet."
        self._silence: str | None = None
        self._closed = False
        self._background: set[asyncio.Task[None]] = set()

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> Self:
        """Begin to connect; requests may be made at once."""
        self._closed = False
        if self._keeper is None:
            self._keeper = asyncio.ensure_future(self._keep())
        return self

    async def close(self) -> None:
        """Close the connection; whatever is unanswered raises `Cancelled`, and the optimizer is told so."""
        self._closed = True
        if self._alarm is not None:
            self._alarm.cancel()
        unanswered = self._pending.clear()
        for entry in unanswered:
            _fail(entry, failures.client_closed(entry.request.id))
        await self._take_leave(unanswered)
        keeper, self._keeper = self._keeper, None
        if self._session is not None and keeper is not None:
            # It closes the session itself: cancelled in the middle of that, aiormq complains.
            self._session.lost.set()
            await asyncio.wait({keeper}, timeout=LEAVE_S)
        tasks = [*self._background, *([keeper] if keeper else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._direct is not None:
            await self._direct.close()

    async def _take_leave(self, unanswered: list[Entry[_Future]]) -> None:
        """Cancel what nobody waits for any more, and leave no reply queue behind; both within two seconds."""
        session, channel = self._session, self._channel
        if session is None or channel is None:
            return
        with suppress(TimeoutError, BrokerUnavailable):
            async with asyncio.timeout(LEAVE_S):
                await asyncio.gather(*(self._tell_cancelled(entry) for entry in unanswered))
                await channel.delete_queue(self._names.reply_queue(session.user, self._instance))

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._ready.is_set()

    @property
    def instance(self) -> str:
        """The name of this client among all: its reply queue ends with it."""
        return self._instance

    @property
    def in_flight(self) -> int:
        """How many requests have no answer yet."""
        return len(self._pending)

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def chat(self, prompt: Prompt, *, system: str | None = None, **options: Unpack[Options]) -> Reply:
        """Ask for a chat completion; `prompt` is text, or a list of OpenAI messages.

        :raises OptimizerError: see `optimizer_wire.errors` for the tree.
        """
        return await self._ask(chat_request(self.agent, prompt, system, self._with_defaults(options)))

    async def embed(self, text: str | list[str], **options: Unpack[Options]) -> Reply:
        """Ask for the embeddings of one or several texts.

        :raises OptimizerError: see `optimizer_wire.errors` for the tree.
        """
        return await self._ask(embed_request(self.agent, text, self._with_defaults(options)))

    async def chat_many(self, prompts: Iterable[Prompt], **options: Unpack[Options]) -> list[Reply | OptimizerError]:
        """Ask many at once; returns an answer or an error for each, in their order.

        :raises InvalidRequest: for a `request_id`, which names one request.
        """
        if "request_id" in options:
            raise InvalidRequest("A request_id names one request; chat_many makes several.")
        asked = [asyncio.ensure_future(self.chat(prompt, **options)) for prompt in prompts]
        results = await asyncio.gather(*asked, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, OptimizerError):
                raise result
        return [result for result in results if isinstance(result, Reply | OptimizerError)]

    async def cancel(self, request_id: str) -> bool:
        """Stop waiting for a request, here and in the optimizer; False if it does not wait.

        Its caller gets `Cancelled`. A call that has begun and that others wait for goes on.
        """
        entry = self._pending.discard(request_id)
        if entry is None:
            return False
        _fail(entry, failures.cancelled(request_id))
        await self._tell_cancelled(entry)
        return True

    def _with_defaults(self, options: Any) -> dict[str, Any]:
        return {"timeout": self._timeout_s, **options}

    async def _ask(self, request: Request) -> Reply:
        if self._closed:
            raise failures.closed_already(request.id)
        await self.start()
        loop = asyncio.get_running_loop()
        future: _Future = loop.create_future()
        try:
            entry = self._pending.add(request, future, loop.time(), self._patience_s(request))
        except ValueError:
            raise failures.on_its_way(request.id) from None
        self._arm()
        try:
            self._publish(entry)
            reply = await future
        except (OptimizerUnavailable, BackendUnavailable):
            # Not a reply, but what the client itself found: there is no optimizer.
            if self._direct is None or entry.deadline <= loop.time():
                raise
            return await self._direct.call(entry.at(loop.time()))
        except asyncio.CancelledError:
            if self._pending.discard(request.id) is not None:
                self._spawn(self._tell_cancelled(entry))
            raise
        finally:
            self._pending.discard(request.id)
        return reply_from(reply)

    def _patience_s(self, request: Request) -> float:
        """How long a request may look for a connection; with a way around, that gets half of the time."""
        if self._direct is None:
            return self._connect_timeout_s
        return min(self._connect_timeout_s, request.timeout_ms / 2000)

    # ── publishing ───────────────────────────────────────────────────────────────────────────────────────────────

    def _publish(self, entry: Entry[_Future]) -> None:
        """Send a request. Only a clear "no" is an error; an unknown outcome is mended by sending it again."""
        session, channel = self._session, self._channel
        if session is None or channel is None or not self._ready.is_set():
            return
        request = entry.at(asyncio.get_running_loop().time())
        entry.sent += 1
        try:
            channel.publish_watched(
                self._names.requests,
                self._names.requests,
                encode(request),
                self._properties(REQUEST_TYPE, request, session),
                partial(self._told, request.id),
            )
        except InvalidRequest as error:
            self._refused(request.id, error)

    def _told(self, request_id: str, error: Unroutable | Refused | Unconfirmed | None) -> None:
        """What the broker says of a request."""
        match error:
            case None:
                self._pending.accepted(request_id)
            case Unroutable():
                self._refused(request_id, failures.nobody_serves(request_id, str(error)))
            case Refused():
                self._refused(request_id, failures.queue_full(request_id))

    def _refused(self, request_id: str, error: OptimizerError) -> None:
        entry = self._pending.refused(request_id)
        if entry is not None:
            _fail(entry, error)

    def _properties(self, kind: str, request: Request, session: Session) -> Any:
        return properties(
            kind,
            request.id,
            content_type=CONTENT_TYPE,
            reply_to=self._names.reply_queue(session.user, self._instance),
            expiration_ms=request.timeout_ms,
            user=session.user,
            agent=self.agent,
            durable=True,
        )

    async def _tell_cancelled(self, entry: Entry[_Future]) -> None:
        session, channel = self._session, self._channel
        if session is None or channel is None:
            return
        request = entry.at(asyncio.get_running_loop().time())
        with suppress(BrokerUnavailable, Unroutable, Refused, Unconfirmed):
            await channel.publish_confirmed(
                self._names.requests,
                self._names.requests,
                encode(request),
                self._properties(CANCEL_TYPE, request, session),
                timeout_s=5,
            )

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # ── deadlines and silence ────────────────────────────────────────────────────────────────────────────────────

    def _arm(self) -> None:
        when = self._pending.next_alarm()
        if when is None or (self._alarm is not None and not self._alarm.cancelled() and self._alarm.when() <= when):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(when, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        due = self._pending.due(asyncio.get_running_loop().time())
        for entry in due.expired:
            _fail(entry, failures.expired(entry, self._silence if self._ready.is_set() else self._why))
        for entry in due.resubmit:
            self._publish(entry)
        if due.resubmit:
            self._spawn(self._look_for_coordinators())
        self._arm()

    async def _look_for_coordinators(self) -> None:
        """Silence may mean that nobody takes requests: then an error at the deadline can say so."""
        session = self._session
        if session is None:
            return
        with suppress(BrokerUnavailable):
            served = await session.consumers(self._names.requests)
            self._silence = None if served else failures.NO_COORDINATOR

    # ── the connection ───────────────────────────────────────────────────────────────────────────────────────────

    async def _keep(self) -> None:
        attempt = 0
        while not self._closed:
            try:
                async with await Session.open(self._url, f"optimizer agent {self.agent}") as session:
                    await self._serve(session)
                    attempt = 0
                self._why = "the connection to RabbitMQ was lost."
            except (BrokerUnavailable, TopologyDiffers) as error:
                self._why = str(error)
            except Exception:  # noqa: BLE001 logged with its traceback, and mended
                _log.exception("The connection to RabbitMQ broke in an unexpected way; connecting again.")
                self._why = "the client's connection failed in an unexpected way; see the log."
            finally:
                self._ready.clear()
                self._channel = self._session = None
            if not self._closed:
                await asyncio.sleep(backoff_s(attempt, cap_s=5.0))
                attempt += 1

    async def _serve(self, session: Session) -> None:
        """Consume replies on one session until it is lost; send again what was unanswered."""
        replies = await session.channel()
        requests = await session.channel(confirms=True)
        queue = self._names.reply_queue(session.user, self._instance)
        await replies.declare_queue(reply_queue(queue))
        await replies.consume(queue, self._received, no_ack=True, on_cancel=session.lost.set)
        self._session, self._channel = session, requests
        self._ready.set()
        for entry in self._pending:
            self._publish(entry)
        await session.lost.wait()

    def _received(self, message: DeliveredMessage) -> None:
        try:
            reply = decode(message.body, messages.Reply)
        except InvalidRequest:
            self._pending.strays += 1
            return
        entry = self._pending.resolve(reply.id)
        if entry is not None and not entry.token.done():
            entry.token.set_result(reply)


def _fail(entry: Entry[_Future], error: OptimizerError) -> None:
    if not entry.token.done():
        entry.token.set_exception(error)
