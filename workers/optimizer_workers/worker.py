"""The worker process of one backend: what it holds, what it runs, and its life on one session after another."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

import msgspec
from aiormq.abc import DeliveredMessage

from optimizer_service.lifetime import first_of
from optimizer_service.logs import Logger
from optimizer_service.outbox import Outbox, publish_call
from optimizer_state.budget import Budget, Grant, Wait
from optimizer_state.flights import RENEW_S, Flights
from optimizer_state.presence import HEARTBEAT_S, Presence, Roster
from optimizer_state.store import RedisAway, Store
from optimizer_wire import events
from optimizer_wire.codec import decode
from optimizer_wire.errors import InvalidRequest, OptimizerError
from optimizer_wire.ids import new_id
from optimizer_wire.messages import CALL_TYPE, Call, Priority
from optimizer_wire.session import (
    BrokerUnavailable,
    Channel,
    Refused,
    Session,
    Unconfirmed,
    Unroutable,
)
from optimizer_wire.topology import Names, backend_topology, shared_topology
from optimizer_workers.execution import Execution
from optimizer_workers.job import Job
from optimizer_workers.metrics import BUDGET_WAITS, HELD, REDIS_UP
from optimizer_workers.reporter import Reporter
from optimizer_workers.scheduler import Scheduler
from optimizer_workers.upstream import Upstream

PREFETCH = 100  # of each of the three priorities
DRAIN_S = 25.0
LONGEST_LOOK_S = 1.0
TELL_WAIT_MS = 1_000


class Worker:
    """One worker process of one backend."""

    def __init__(
        self,
        store: Store,
        names: Names,
        upstream: Upstream,
        budget: Budget,
        instance: str,
        stop: asyncio.Event,
        log: Logger,
    ) -> None:
        self._store = store
        self._names = names
        self._backend = upstream.backend
        self._budget = budget
        self._flights = Flights(store)
        self._roster = Roster(store)
        self._presence = Presence(self._backend.name, instance)
        self._reporter = Reporter(self._backend.name, f"worker/{self._backend.name}/{instance}")
        self._execution = Execution(self, self._flights, upstream, self._reporter, store.clock)
        self._scheduler = Scheduler()
        self._running: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._stop = stop
        self._log = log
        self._stage = 0
        self._channel: Channel | None = None
        self._calls: Channel | None = None
        self._session: Session | None = None
        self._waiting_told = False
        self.serving = False

    # ── the life of the process ──────────────────────────────────────────────────────────────────────────────────

    async def serve(self, session: Session) -> None:
        """Serve on one session until it is lost or the process is asked to stop; then finish what runs."""
        channel = await session.channel()
        self._calls = await session.channel(confirms=True)
        await channel.declare(shared_topology(self._names))
        await channel.declare(backend_topology(self._names, [self._backend.name]))
        await self._beat()
        self._stage += 1
        self._channel, self._session = channel, session
        tags = [await self._consume(priority) for priority in Priority]
        self.serving = True
        self._log.info("ready", backend=self._backend.name, concurrency=self._backend.concurrency)
        await self._reporter.worker(self.outbox, events.WORKER_STARTED, f"{self._backend.concurrency} calls at once")
        loops = [asyncio.ensure_future(self._guard(loop)) for loop in (self._pump(), self._heart(), self._expire())]
        try:
            await first_of(self._stop, session.lost)
            if not session.lost.is_set():
                await self._drain(tags)
        finally:
            self.serving = False
            for loop in loops:
                loop.cancel()
            # What was not begun comes again with another delivery.
            self._scheduler.take_all()

    async def leave(self) -> None:
        """Tell the fleet that this worker stops, and cancel what still runs."""
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        with suppress(RedisAway):
            await self._roster.leave(self._presence)

    async def _consume(self, priority: Priority) -> str:
        assert self._session is not None  # noqa: S101 - set by serve
        queue = self._names.call_queue(self._backend.name, priority)
        channel = self.channel
        return await channel.consume(
            queue, self._receiver(self._stage), prefetch=PREFETCH, on_cancel=self._session.lost.set
        )

    async def _drain(self, tags: list[str]) -> None:
        """Take nothing new, hand back what was not begun, finish what runs."""
        for tag in tags:
            await self.channel.stop_consuming(tag)
        for job in self._scheduler.take_all():
            await self.channel.requeue(job.tag)
        if self._running:
            _, unfinished = await asyncio.wait(self._running, timeout=DRAIN_S)
            if unfinished:
                self._log.warning("left undone", calls=len(unfinished))
        await self._reporter.worker(self.outbox, events.WORKER_STOPPED, "drained")
        await self.channel.flush()

    async def _guard(self, loop: Awaitable[None]) -> None:
        """A lost connection ends a loop quietly; anything else is a fault to be seen. Both end the session."""
        try:
            await loop
        except BrokerUnavailable:
            pass
        except Exception:
            self._log.exception("worker loop failed")
        if self._session is not None:
            self._session.lost.set()

    # ── taking calls ─────────────────────────────────────────────────────────────────────────────────────────────

    def _receiver(self, stage: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
        def receive(message: DeliveredMessage) -> None:
            self._take(message, stage)

        return receive

    def _take(self, message: DeliveredMessage, stage: int) -> None:
        tag = int(message.delivery.delivery_tag or 0)  # type: ignore[union-attr]
        redelivered = bool(message.delivery.redelivered)  # type: ignore[union-attr]
        try:
            if message.header.properties.message_type != CALL_TYPE:
                raise InvalidRequest(f"A message on a call queue is not a call ({CALL_TYPE}).")
            call = decode(message.body, Call)
            if not 0 <= call.hop < len(call.route):
                raise InvalidRequest("The call has no station on its route.")
        except OptimizerError as error:
            self._spawn(self._misunderstood(tag, error))
            return
        self._scheduler.push(Job(call, tag, redelivered, stage, call.waiter.deadline_ms))
        self._changed.set()

    async def _misunderstood(self, tag: int, error: OptimizerError) -> None:
        await self._reporter.misunderstood(self.outbox, error)
        await self.channel.reject(tag)

    # ── running calls ────────────────────────────────────────────────────────────────────────────────────────────

    async def _pump(self) -> None:
        """Begin held calls, the most pressing first, as budget and concurrency allow."""
        while True:
            HELD.labels(self._backend.name).set(len(self._scheduler))
            now_ms = self._store.clock.now_ms()
            if len(self._running) >= self._backend.concurrency or self._scheduler.next(now_ms) is None:
                await self._look_again(self._scheduler.wakes_in_ms(now_ms))
                continue
            verdict = await self._budget.reserve(new_id())
            if isinstance(verdict, Wait):
                await self._tell_waiting(verdict)
                await self._look_again(max(1, verdict.ms), only_time=True)
                continue
            self._waiting_told = False
            job = self._scheduler.pop(self._store.clock.now_ms())
            if job is None:
                await self._budget.settle(verdict, written_ago_ms=None)
                continue
            self._spawn(self._run(job, verdict))

    async def _look_again(self, in_ms: int | None, *, only_time: bool = False) -> None:
        """Wait until something changed, or for so long; a wait for budget is not cut short by another arrival."""
        timeout_s = LONGEST_LOOK_S if in_ms is None else min(in_ms / 1000, LONGEST_LOOK_S)
        if only_time:
            await asyncio.sleep(timeout_s)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), max(timeout_s, 0.001))
        self._changed.clear()

    async def _tell_waiting(self, wait: Wait) -> None:
        if wait.limit in {"restored", "concurrency"}:
            return
        BUDGET_WAITS.labels(self._backend.name, wait.limit).inc()
        if wait.ms >= TELL_WAIT_MS and not self._waiting_told:
            self._waiting_told = True
            await self._reporter.waiting(self.outbox, wait.limit, wait.ms, len(self._scheduler))

    async def _run(self, job: Job, grant: Grant) -> None:
        """Run one job to its end; without a connection its outcome waits in Redis for the redelivery."""
        try:
            await self._execution.run(job, grant)
        except BrokerUnavailable:
            self._log.info("finished without a connection", work=job.call.work_id)
        except Exception:
            # Its delivery stays unacked: ending the session hands it to another worker.
            self._log.exception("job failed", work=job.call.work_id)
            if self._session is not None:
                self._session.lost.set()

    def _spawn(self, work: Awaitable[None]) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)  # type: ignore[assignment]
        self._running.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._changed.set()

    # ── what the execution asks of its worker (Desk) ─────────────────────────────────────────────────────────────

    @property
    def channel(self) -> Channel:
        """The channel of the present session."""
        if self._channel is None or self._session is None or self._session.lost.is_set():
            raise BrokerUnavailable("There is no connection to RabbitMQ for now.")
        return self._channel

    @property
    def outbox(self) -> Outbox:
        """Where to speak now."""
        return Outbox(self.channel, self._names, self._store.clock)

    async def ack(self, job: Job) -> None:
        """Tell the broker; a delivery of an earlier session is not ours to ack any more."""
        if job.stage == self._stage:
            await self.channel.ack(job.tag)

    def hold(self, job: Job, rest_ms: int) -> None:
        """Look at the job again after a rest, unless it will be delivered anew anyway."""
        if job.stage == self._stage and self.serving:
            job.not_before_ms = self._store.clock.now_ms() + max(50, min(rest_ms, 1_000))
            self._scheduler.push(job)

    async def forward(self, job: Job, number: int) -> str | None:
        """Publish the call to the next backend of its route that takes it."""
        for hop in range(job.call.hop + 1, len(job.call.route)):
            following = msgspec.structs.replace(
                job.call, hop=hop, number=number, attempts=job.call.attempts + job.attempts
            )
            try:
                if self._calls is None:
                    raise Unconfirmed("There is no connection.")
                await publish_call(self._calls, self._names, following)
            except (Unroutable, Refused):
                continue
            except Unconfirmed as error:
                # Unknown outcome: the unacked delivery comes again and publishes the same dispatch.
                if self._session is not None:
                    self._session.lost.set()
                raise BrokerUnavailable(str(error)) from error
            return following.route[hop].backend
        return None

    async def pause(self, job: Job, for_s: float) -> bool:
        """Rest before a repetition, keeping the flight; False if nobody waits any more."""
        left_s = for_s
        while left_s > 0:
            await asyncio.sleep(min(left_s, RENEW_S))
            left_s -= RENEW_S
            if not await self._wanted(job):
                return False
        return True

    async def reserve(self, job: Job) -> Grant | None:
        """Wait for budget for a repetition; None if nobody waits for the job any more."""
        reservation = new_id()
        while True:
            verdict = await self._budget.reserve(reservation)
            if isinstance(verdict, Grant):
                return verdict
            if not await self._wanted(job):
                return None
            await asyncio.sleep(max(0.02, min(verdict.ms / 1000, RENEW_S)))

    async def _wanted(self, job: Job) -> bool:
        if job.call.flight:
            with suppress(RedisAway):
                return await self._flights.renew(job.call, job.owner) == "ok"
        return self._store.clock.now_ms() < job.deadline_ms

    async def block(self, for_s: float) -> None:
        """Leave the backend alone for a while, all workers."""
        await self._budget.block(for_s)

    # ── in the background ────────────────────────────────────────────────────────────────────────────────────────

    async def _heart(self) -> None:
        beats = 0
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            await self._beat()
            beats += 1
            if beats % round(RENEW_S / HEARTBEAT_S) == 0:
                with suppress(RedisAway):
                    await self._budget.keep()

    async def _beat(self) -> None:
        """Tell that this worker lives, count the others, and see to it that Redis knows what this one used."""
        try:
            await self._store.synchronise_clock()
            await self._roster.beat(self._presence)
            alive = await self._roster.alive()
        except RedisAway:
            REDIS_UP.labels(self._backend.name).set(0)
            return
        REDIS_UP.labels(self._backend.name).set(1)
        self._budget.workers_seen = max(1, sum(1 for p in alive if p.backend == self._backend.name))
        await self._budget.restore()

    async def _expire(self) -> None:
        """Let go of held calls whose own deadline has passed, unless somebody else waits in their flight for longer."""
        while True:
            await asyncio.sleep(LONGEST_LOOK_S)
            for job in self._scheduler.take_expired(self._store.clock.now_ms()):
                latest = None
                if job.call.flight:
                    with suppress(RedisAway):
                        latest = await self._flights.latest_deadline(job.call)
                if latest is not None and latest > self._store.clock.now_ms():
                    job.deadline_ms = latest
                    self._scheduler.push(job)
                else:
                    await self.ack(job)
