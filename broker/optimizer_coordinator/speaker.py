"""What a coordinator says: replies to waiters, and events to the fleet."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from optimizer_coordinator.intake import Asker, Intake
from optimizer_service.metrics import saved_by_cache
from optimizer_service.outbox import Outbox
from optimizer_state.answer import Answer
from optimizer_state.clock import FleetClock
from optimizer_state.mailboxes import is_mailbox
from optimizer_state.replies import reply_of
from optimizer_state.store import RedisAway
from optimizer_wire import events
from optimizer_wire.codec import peek_id
from optimizer_wire.deliveries import Delivery
from optimizer_wire.errors import Cancelled, OptimizerError
from optimizer_wire.messages import VERSION, Reply, Waiter
from optimizer_wire.text import prompt_chars


class Speaker:
    """Speaks on one channel; every method raises `BrokerUnavailable` if it is gone."""

    def __init__(self, outbox: Outbox, source: str, clock: FleetClock) -> None:
        self._outbox = outbox
        self._source = source
        self._clock = clock

    async def answer(self, answer: Answer, waiters: Iterable[Waiter]) -> None:
        """Tell waiters how their flight ended."""
        await self._outbox.answer(answer, waiters)

    async def hit(self, intake: Intake, answer: Answer) -> None:
        """Answer from the cache."""
        reply = reply_of(answer, intake.waiter, "cache", self._clock.now_ms())
        await self._outbox.reply(intake.waiter.reply_to, reply)
        saved_by_cache.inc(answer.cost_usd or 0.0)
        await self._tell(
            events.CACHE_HIT,
            intake,
            backend=answer.backend,
            model=answer.model,
            answered_from="cache",
            usage=answer.usage,
            cost_usd=0.0,
            saved_usd=answer.cost_usd,
            age_s=reply.age_s,
            timings=reply.timings,
        )

    async def joined(self, intake: Intake, flight: int, number: int) -> None:
        """Tell that a request was collapsed."""
        await self._tell(events.COLLAPSED, intake, work_id=f"{intake.admission.fingerprint}.{flight}.{number}")

    async def led(self, intake: Intake, flight: int) -> None:
        """Tell that a request leads a call."""
        work_id = f"{intake.admission.fingerprint}.{flight}.1" if flight else intake.request.id
        await self._tell(events.CACHE_MISS, intake, work_id=work_id, prompt_chars=prompt_chars(intake.request.params))

    async def failed(
        self, intake: Intake, error: OptimizerError, waiters: Iterable[Waiter], work_id: str | None = None
    ) -> None:
        """Tell all waiters that there will be no call; `work_id` if their whole flight ends with it."""
        told = 0
        if intake.step is not None:
            intake.step.fail(error.code)
        # Who listens hears it first: Redis may be away.
        for waiter in sorted(waiters, key=lambda each: is_mailbox(each.reply_to)):
            told += 1
            await self._outbox.reply(
                waiter.reply_to, Reply(VERSION, waiter.id, ok=False, task=intake.task, error=error.info)
            )
        await self._tell(
            events.ERROR, intake, error_code=error.code, message=error.message, waiters=told, work_id=work_id
        )

    async def cancelled(self, intake: Intake) -> None:
        """Tell that a request was taken back by its sender, who waits for no reply."""
        message = "Its sender took it back."
        await self._tell(events.ERROR, intake, error_code=Cancelled.code, message=message, waiters=0)

    async def late(self, waiter: Waiter, error: OptimizerError) -> None:
        """Tell a submitted request that its time is over; nobody knows of a call."""
        await self._ended(waiter, error)

    async def withdrawn(self, waiter: Waiter, error: OptimizerError) -> None:
        """Tell a request that was taken back before its call began; who took it knows no more of it than its waiter."""
        with suppress(RedisAway):
            await self._ended(waiter, error)

    async def _ended(self, waiter: Waiter, error: OptimizerError) -> None:
        await self._outbox.reply(waiter.reply_to, Reply(VERSION, waiter.id, ok=False, error=error.info))
        told = events.event(
            events.ERROR,
            self._source,
            request_id=waiter.id,
            agent=waiter.agent,
            tenant=waiter.tenant,
            priority=waiter.priority,
            error_code=error.code,
            message=error.message,
            waiters=1,
        )
        await self._outbox.tell(told)

    async def held(self, kind: str, intake: Intake, outcome: str, message: str, retry_after_s: float | None) -> None:
        """Tell that a request has to wait before its call, or was refused one."""
        await self._tell(kind, intake, outcome=outcome, message=message, retry_after_s=retry_after_s)

    async def route_out(self, backends: Iterable[str], message: str, retry_after_s: float | None) -> None:
        """Tell that no backend of a route serves."""
        happened = events.event(
            events.BACKEND_DOWN,
            self._source,
            backend=", ".join(backends),
            message=message,
            retry_after_s=retry_after_s,
        )
        await self._outbox.tell(happened)

    async def refuse(self, message: Delivery, reply_to: str | None, asker: Asker, error: OptimizerError) -> None:
        """Tell the sender of a message that it is refused, if there is an address."""
        known = message.properties
        request_id = peek_id(message.body) or known.correlation_id or known.message_id or ""
        if reply_to and request_id:
            await self._outbox.reply(reply_to, Reply(VERSION, request_id, ok=False, error=error.info))
        request = asker.request
        said: dict[str, Any] = {}
        if request is not None:
            # Not its tags: they may be what is wrong, and too long for an event.
            said = {"op": request.op, "task": request.task, "priority": request.priority}
        refused = events.event(
            events.ERROR,
            self._source,
            request_id=request_id or None,
            agent=asker.agent,
            tenant=asker.tenant,
            error_code=error.code,
            message=error.message,
            **said,
        )
        await self._outbox.tell(refused)

    async def _tell(self, kind: str, intake: Intake, **fields: Any) -> None:
        request = intake.request
        happened = events.event(
            kind,
            self._source,
            request_id=request.id,
            fingerprint=intake.admission.fingerprint,
            agent=request.agent,
            tenant=intake.waiter.tenant,
            op=request.op,
            task=intake.task,
            priority=request.priority,
            tags=request.tags,
            **fields,
        )
        await self._outbox.tell(happened)
