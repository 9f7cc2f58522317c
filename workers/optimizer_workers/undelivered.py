"""What a worker still has to put into the mailboxes of submitted requests: Redis was away when their calls ended.

Their messages stay unacked until then, so that another worker gets them if this one dies.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from optimizer_state.answer import Answer
from optimizer_state.mailboxes import Mailboxes, Submission, is_mailbox
from optimizer_state.presence import REJOIN_S
from optimizer_state.store import RedisAway, Store
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.messages import Source, Waiter
from optimizer_workers.job import Job
from optimizer_workers.link import Link

RETRY_S = 0.5


@dataclass(frozen=True, slots=True)
class _End:
    job: Job
    answer: Answer
    waiters: tuple[Waiter, ...]
    source: Source | None
    dead: bool


class Undelivered:
    """Keeps the ends of jobs until Redis is back."""

    def __init__(self, store: Store, link: Link) -> None:
        self._store = store
        self._link = link
        self._mailboxes = Mailboxes(store)
        self._ends: deque[_End] = deque()

    def keep(self, job: Job, answer: Answer, waiters: Sequence[Waiter], source: Source | None, *, dead: bool) -> None:
        """Keep what those of these waiters are to be told whose mailboxes could not be reached."""
        submitted = tuple(waiter for waiter in waiters if is_mailbox(waiter.reply_to))
        self._ends.append(_End(job, answer, submitted, source, dead))

    async def deliver(self) -> None:
        """Tell what there is to tell, as far as Redis and RabbitMQ are there. Never raises."""
        with suppress(RedisAway, BrokerUnavailable):
            if self._ends and self._store.away:
                await self._store.synchronise_clock()
            for _ in range(len(self._ends)):
                await self._deliver_next()

    async def _deliver_next(self) -> None:
        end = self._ends[0]
        try:
            await self._link.outbox.answer(end.answer, end.waiters, end.source)
        except RedisAway:
            if self._store.away:
                raise
            # It is this one that Redis does not take now: the others must not wait for it.
            self._ends.rotate(-1)
            return
        self._ends.popleft()
        await (self._link.reject(end.job) if end.dead else self._link.ack(end.job))

    async def remind(self, jobs: Iterable[Job]) -> None:
        """Tell a Redis that has just come back of the submitted requests that this worker has: it may have forgotten
        them. Never raises.
        """
        if self._store.away or not self._store.rejoin_ms(within_s=REJOIN_S):
            return
        known = [_submission(job) for job in jobs if is_mailbox(job.call.waiter.reply_to)]
        with suppress(RedisAway):
            if known:
                await self._mailboxes.open(known)


def _submission(job: Job) -> Submission:
    call, hop = job.call, job.hop
    return Submission(call.waiter, call.fingerprint, f"{hop.backend}/{hop.model}", call.task, call.op)
