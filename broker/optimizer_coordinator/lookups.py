"""Questions about submitted requests: their answer, how they stand, or that they are no longer wanted.

::

    fetch ─► mailbox ─┬─ a reply ───────────────────────────────► reply
                      ├─ nothing ─► (it may be on its way) ─────► unknown
                      └─ it waits ─► its flight ─┬─ done, gone ─► into the mailbox, reply
                                                 └─ running, waiting ─► look again, at last: how it stands

Only the mailboxes of the RabbitMQ user who asks are looked into: what is another's is not there.
"""

import asyncio
import math
import time

import msgspec

from optimizer_coordinator.custody import LATE_MS, late
from optimizer_coordinator.intake import Lookup, Reception
from optimizer_coordinator.metrics import NO_STATE, REDIS_AWAY, fetched
from optimizer_coordinator.snapshot import Snapshot
from optimizer_service.outbox import Outbox
from optimizer_state.flights import Flights
from optimizer_state.mailboxes import Mailboxes, Seen, Submission
from optimizer_state.outlooks import NEVER_MS
from optimizer_state.places import Places
from optimizer_state.replies import reply_of, source_for
from optimizer_state.store import RedisAway, Store
from optimizer_state.verdicts import Fate
from optimizer_wire.errors import Cancelled, InternalError, NotFoundError, OptimizerError
from optimizer_wire.messages import VERSION, Reply, State, Status

SHORTEST_PAUSE_S, LONGEST_PAUSE_S, SLOWER = 0.05, 0.5, 1.5
AWAY = "Submitted requests cannot be looked up while Redis is away. They go on: ask again."
# A message that was sent before may be handled after: so long an id may be unknown yet.
UNKNOWN_S = 2.0
# Workers tell the places of their calls so soon after they were asked.
PLACES_S = 0.7
# Beyond these nobody is waited for: a question is answered with what is known.
MOST_WAITING = 1_000


class Lookups:
    """Answers questions on one session."""

    def __init__(
        self, store: Store, flights: Flights, reception: Reception, snapshot: Snapshot, outbox: Outbox
    ) -> None:
        self._store = store
        self._flights = flights
        self._mailboxes = Mailboxes(store)
        self._places = Places(store)
        self._reception = reception
        self._snapshot = snapshot
        self._outbox = outbox
        self._waiting = 0

    async def answer(self, lookup: Lookup) -> None:
        """Answer one question, after at most the time that it may wait; `BrokerUnavailable` if nobody can be told."""
        self._waiting += 1
        try:
            reply = await (self._cancel(lookup) if lookup.fetch.want == "cancel" else self._found(lookup))
        except RedisAway:
            fetched[REDIS_AWAY].inc()
            reply = _error(lookup, InternalError(AWAY, retry_after_s=2))
        else:
            fetched[reply.status.state if reply.status else NO_STATE].inc()
        finally:
            self._waiting -= 1
        await self._outbox.reply(lookup.reply_to, msgspec.structs.replace(reply, id=lookup.fetch.id))

    async def _found(self, lookup: Lookup) -> Reply:
        wait_s = lookup.fetch.wait_ms / 1000 if self._waiting <= MOST_WAITING else 0.0
        asked, pause_s = time.monotonic(), SHORTEST_PAUSE_S
        while True:
            waited_s = time.monotonic() - asked
            left_s = wait_s - waited_s
            try:
                reply = await self._look(lookup)
            except RedisAway:
                if left_s <= 0:
                    raise
            else:
                status = reply.status
                if status is None or status.ended:
                    return reply
                left_s = min(wait_s, _patience_s(lookup, status)) - waited_s
                if left_s <= 0:
                    return reply
            await asyncio.sleep(max(0.0, min(pause_s, left_s)))
            pause_s = min(pause_s * SLOWER, LONGEST_PAUSE_S)

    async def _look(self, lookup: Lookup) -> Reply:
        """The reply to a question as things stand."""
        seen = await self._mailboxes.look(lookup.mailbox, lookup.fetch.request_id)
        if seen.reply is not None:
            return _ended(seen.reply)
        if seen.submission is None:
            return _unknown(lookup)
        submission = seen.submission
        fate = await self._flights.fate(submission.fingerprint, submission.waiter)
        if (end := self._end_of(submission, fate)) is not None:
            return _ended((await self._mailboxes.put(lookup.mailbox, [end]))[0])
        if fate.verdict == "running":
            return _standing(lookup, Status("running", 0, 0.0))
        if fate.verdict == "gated":
            return _standing(lookup, Status("waiting"))
        return _standing(lookup, await self._waits(submission))

    def _end_of(self, submission: Submission, fate: Fate) -> Reply | None:
        """How a request has ended that nobody has told its mailbox of; None if it has not."""
        waiter, now_ms = submission.waiter, self._store.clock.now_ms()
        if fate.answer is not None:
            return reply_of(fate.answer, waiter, source_for(fate.answer, waiter), now_ms)
        if fate.why == "cancelled":
            return _failed(submission, Cancelled("The request was cancelled."))
        if fate.why == "expired" or waiter.deadline_ms + LATE_MS < now_ms:
            return _failed(submission, late())
        return None

    async def _waits(self, submission: Submission) -> Status:
        """Where a request stands, as the workers tell; before it is in a line, how soon one more would start."""
        await self._places.ask()
        now_ms, workers = self._store.clock.now_ms(), self._snapshot.workers
        found = await self._places.of(submission.fingerprint, workers)
        if found is None:
            return Status("waiting", None, _seconds(self._soonest_ms(submission), now_ms))
        presence, place = found
        # The workers of a backend take its calls evenly.
        mates = sum(worker.backend == presence.backend for worker in workers)
        return Status("waiting", place.position * mates, _seconds(place.start_ms, now_ms))

    def _soonest_ms(self, submission: Submission) -> int:
        try:
            route = self._reception.route_of(submission.model, submission.task, submission.op, self._snapshot.view)
        except OptimizerError:
            return NEVER_MS
        return min(self._snapshot.view.ready_ms(hop.backend) for hop in route)

    async def _cancel(self, lookup: Lookup) -> Reply:
        """End a request that has not ended; what is told is how it stood before."""
        reply = await self._look(lookup)
        seen = await self._mailboxes.look(lookup.mailbox, lookup.fetch.request_id)
        if seen.submission is None or (reply.status is not None and reply.status.ended and not _cancelled(seen)):
            return reply
        # The mailbox decides: an answer that came first stays.
        end = _failed(seen.submission, Cancelled("The request was cancelled."))
        (there,) = await self._mailboxes.put(lookup.mailbox, [end])
        if there.error is None or there.error.code != Cancelled.code:
            return _ended(there)
        await self._flights.cancel(seen.submission.fingerprint, seen.submission.waiter)
        return _standing(lookup, Status("waiting"))


def _seconds(start_ms: int, now_ms: int) -> float | None:
    """How long until then; None if only an operator knows: a backend is paused until it is resumed."""
    return None if start_ms >= NEVER_MS else max(0, start_ms - now_ms) / 1000


def _patience_s(lookup: Lookup, status: Status) -> float:
    """For how long something better may come than what is known."""
    if status.state == "unknown":
        return UNKNOWN_S
    if lookup.fetch.want == "answer":
        return math.inf
    return 0.0 if status.state == "running" or status.position is not None else PLACES_S


def _cancelled(seen: Seen) -> bool:
    return seen.reply is not None and seen.reply.error is not None and seen.reply.error.code == Cancelled.code


def _ended(reply: Reply) -> Reply:
    state: State = "answered" if reply.ok else "failed"
    return msgspec.structs.replace(reply, status=Status(state))


def _standing(lookup: Lookup, status: Status) -> Reply:
    return Reply(VERSION, lookup.fetch.id, ok=True, status=status)


def _error(lookup: Lookup, error: OptimizerError, status: Status | None = None) -> Reply:
    return Reply(VERSION, lookup.fetch.id, ok=False, error=error.info, status=status)


def _unknown(lookup: Lookup) -> Reply:
    """The same words for what never was, what is over, and what is another's."""
    sentence = (
        f"There is no submitted request {lookup.fetch.request_id[:80]!r} of this RabbitMQ user: none was submitted "
        "under this id, or it ended more than 15 minutes ago."
    )
    return _error(lookup, NotFoundError(sentence), Status("unknown"))


def _failed(submission: Submission, error: OptimizerError) -> Reply:
    return Reply(VERSION, submission.waiter.id, ok=False, task=submission.task, error=error.info)
