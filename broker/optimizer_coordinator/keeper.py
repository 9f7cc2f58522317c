"""The keeper of dead letters: takes what RabbitMQ moved to `optimizer.dead`, tells those who waited, and keeps it.

::

    optimizer.dead ─► keep (optimizer.dead.kept, confirmed) ─► end its flight ─► reply to its waiters ─► event ─► ack

Dying anywhere on this way it does all of it again: a letter that is kept twice has the same id twice, and clients drop
a second reply. It has a connection of its own, so that no fault of it reaches the requests.

Now and then it writes to itself through the exchange of dead letters. If that comes back, or the queue is deleted, the
topology is declared anew. RabbitMQ retains what it could not move meanwhile and tries again after three minutes.
"""

import asyncio

from optimizer_coordinator.last_word import LastWord, LastWords
from optimizer_coordinator.metrics import DEAD_UNROUTABLE, dead_because
from optimizer_coordinator.sending_back import origin_of
from optimizer_service.crash_points import crash_point
from optimizer_service.lifetime import first_of
from optimizer_service.logs import Logger
from optimizer_service.outbox import Outbox
from optimizer_state.store import RedisAway, Store
from optimizer_wire import events
from optimizer_wire.broker_errors import BrokerUnavailable, Refused, Unconfirmed, Unroutable
from optimizer_wire.cancellation import set_within
from optimizer_wire.channel import Channel
from optimizer_wire.dead_letters import DeadLetter, died
from optimizer_wire.deliveries import Delivery
from optimizer_wire.frames import Properties
from optimizer_wire.ids import new_id
from optimizer_wire.messages import CONTENT_TYPE, PROBE_TYPE
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, shared_topology

PREFETCH = 32
PROBE_S = 10.0
_PROBE_LIVES_MS = 60_000
_AGAIN_S = 1.0
_DRAIN_S = 5.0


class Keeper:
    """Keeps letters for `keep_s`, on one session after another; any number of keepers may run."""

    def __init__(
        self,
        names: Names,
        last_words: LastWords,
        store: Store,
        source: str,
        keep_s: float,
        stop: asyncio.Event,
        log: Logger,
    ) -> None:
        self._names = names
        self._last_words = last_words
        self._store = store
        self._source = source
        self._keep_ms = round(keep_s * 1000)
        self.stop = stop
        self._log = log
        self._missing: str | None = None

    async def serve(self, session: Session) -> None:
        """Keep letters until the session is lost or the process is asked to stop."""
        channel, confirmed = await session.channel(), await session.channel(confirms=True)
        await channel.declare(shared_topology(self._names))
        shift = _Shift(self, session, channel, confirmed)
        if self._missing is not None:
            await shift.tell_missing(self._missing)
            self._missing = None
        tag = await channel.consume(self._names.dead, shift.deliver, prefetch=PREFETCH, on_cancel=shift.cancelled)
        self._log.info("keeping", queue=self._names.dead)
        probing = asyncio.ensure_future(shift.probe_for_ever())
        try:
            await first_of(self.stop, session.lost)
            if not session.lost.is_set():
                # Its last probe is to come back before nobody is there to take it.
                await asyncio.wait([probing], timeout=_DRAIN_S)
                await channel.stop_consuming(tag)
                await shift.drain()
        finally:
            probing.cancel()
            shift.abandon()

    def found_missing(self, what: str) -> None:
        """Remember it for the next session, which declares everything anew."""
        self._missing = what
        DEAD_UNROUTABLE.inc()
        self._log.error("dead letters have nowhere to go", reason=what, then="declared again")

    async def last_word(self, letter: DeadLetter) -> LastWord:
        """The last word on a letter; one that this process fails over is kept all the same."""
        try:
            return await self._last_words.on(letter)
        except Exception:  # noqa: BLE001 - it must not come back to every keeper for ever
            self._log.exception("dead letter failed", letter=letter.id)
            return LastWord(letter)

    @property
    def parts(self) -> tuple[Names, Store, str, int, Logger]:
        """What a session's work needs."""
        return self._names, self._store, self._source, self._keep_ms, self._log


class _Shift:
    """The work on one session."""

    def __init__(self, keeper: Keeper, session: Session, channel: Channel, confirmed: Channel) -> None:
        self._keeper = keeper
        self._names, self._store, self._source, self._keep_ms, self._log = keeper.parts
        self._session = session
        self._channel = channel
        self._confirmed = confirmed
        self._outbox = Outbox(channel, self._names, self._store)
        self._tasks: set[asyncio.Task[None]] = set()

    def deliver(self, message: Delivery) -> None:
        """Take one message off the channel."""
        task = asyncio.ensure_future(self._guarded(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancelled(self) -> None:
        """The broker ended the consumer: its queue was deleted."""
        self._keeper.found_missing(f"The queue {self._names.dead} was deleted.")
        self._session.lost.set()

    async def drain(self) -> None:
        """Finish what was taken, as far as that is soon."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_DRAIN_S)
        await self._channel.flush()

    def abandon(self) -> None:
        """Leave what is unfinished to another keeper."""
        for task in self._tasks:
            task.cancel()

    async def _guarded(self, message: Delivery) -> None:
        try:
            await self._handle(message)
        except (BrokerUnavailable, Unconfirmed):
            self._session.lost.set()
        except Unroutable as error:
            self._keeper.found_missing(str(error))
            self._session.lost.set()
        except Exception:  # noqa: BLE001 - whatever it was, another keeper must get what this one holds
            self._log.exception("keeper failed")
            self._session.lost.set()

    async def _handle(self, message: Delivery) -> None:
        known, tag = message.properties, message.tag
        if known.message_type == PROBE_TYPE and not message.body:
            await self._channel.ack(tag)
            return
        crash_point("keeper.after_receive")
        sender, _ = origin_of(known, self._session.user)
        word = await self._keeper.last_word(died(known, message.body, sender, self._store.clock.now_ms()))
        crash_point("keeper.after_end")
        letter = word.letter
        await self._confirmed.publish_confirmed("", self._names.kept, message.body, letter.kept(self._keep_ms))
        crash_point("keeper.after_keep")
        await self._reply(word)
        crash_point("keeper.after_reply")
        await self._tell(word)
        await self._channel.ack(tag)
        crash_point("keeper.after_ack")

    async def _reply(self, word: LastWord) -> None:
        """Tell the waiters; those with a mailbox in Redis as soon as that is back."""
        while word.answer is not None:
            try:
                await self._outbox.answer(word.answer, word.waiters, word.source)
            except RedisAway:
                await asyncio.sleep(_AGAIN_S)
            else:
                return

    async def _tell(self, word: LastWord) -> None:
        letter = word.letter
        error = word.answer.error if word.answer else None
        (dead_because.get(letter.why) or dead_because["other"]).inc()
        happened = events.event(
            events.DEAD,
            self._source,
            request_id=letter.request_id or None,
            agent=letter.agent or None,
            tenant=letter.tenant or None,
            outcome=letter.why,
            work_id=word.work_id,
            error_code=error.code if error else None,
            waiters=len(word.waiters) if word.answer else 0,
            message=f"{letter.reason} Kept as {letter.id}.",
        )
        await self._outbox.tell(happened)
        self._log.warning("dead letter", letter=letter.id, why=letter.why, queue=letter.queue, reason=letter.reason)

    # ── whether letters can come at all ──────────────────────────────────────────────────────────────────────────

    async def probe_for_ever(self) -> None:
        """See now and then whether a dead letter finds its way."""
        while not await set_within(self._keeper.stop, PROBE_S):
            try:
                await self._probe()
            except Unroutable as error:
                self._keeper.found_missing(str(error))
                self._session.lost.set()
                return
            except Refused:
                self._log.error("dead letters have nowhere to go", reason=f"The queue {self._names.dead} is full.")
            except (BrokerUnavailable, Unconfirmed):
                self._session.lost.set()
                return

    async def _probe(self) -> None:
        probe = Properties(PROBE_TYPE, new_id(), content_type=CONTENT_TYPE, expiration_ms=_PROBE_LIVES_MS)
        await self._confirmed.publish_confirmed(self._names.dead, self._names.dead, b"", probe)

    async def tell_missing(self, what: str) -> None:
        """Tell the fleet what was missing, now that it is there again."""
        await self._outbox.tell(events.event(events.DEAD_LOST, self._source, message=what))
