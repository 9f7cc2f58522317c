"""What those are told who waited for a message that has become a dead letter, and why it became one.

A process of ours that rejects a message has told its sender before, if it could read who that is. So what is left to
tell is what RabbitMQ moved by itself, and calls that no worker could read.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from optimizer_coordinator.intake import Envelope, Reception
from optimizer_state.answer import Answer
from optimizer_state.flights import Flights
from optimizer_state.mailboxes import is_mailbox
from optimizer_state.owners import owned_by
from optimizer_state.store import RedisAway, Store
from optimizer_wire.calls import understood, waiter_in
from optimizer_wire.codec import peek_id
from optimizer_wire.dead_letters import REQUEST_TYPES, DeadLetter
from optimizer_wire.errors import DeadlineExceeded, InternalError, OptimizerError, Overloaded
from optimizer_wire.messages import CALL_TYPE, FETCH_TYPE, Call, Source, Waiter
from optimizer_wire.topology import DELIVERY_LIMIT, Names

REJECTED = "rejected"
_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class LastWord:
    """A letter with its reason, and who is to be told what (nobody without `answer`); `work_id` names what ended."""

    letter: DeadLetter
    answer: Answer | None = None
    waiters: tuple[Waiter, ...] = ()
    source: Source | None = None
    work_id: str | None = None


def error_of(letter: DeadLetter) -> OptimizerError:
    """The error of those who waited for a message that RabbitMQ moved."""
    thing = "call" if letter.kind == CALL_TYPE else "request"
    match letter.why:
        case "delivery_limit":
            return InternalError(f"The {thing} was delivered {DELIVERY_LIMIT} times, and its process lost each time.")
        case "expired":
            return DeadlineExceeded(f"Nobody took the {thing} before its deadline.")
        case "maxlen":
            return Overloaded(f"The queue of the {thing} was full.")
        case _:
            return InternalError(f"The {thing} could not be handled ({letter.why}).")


class LastWords:
    """Finds the last word on each letter, and ends its flight."""

    def __init__(self, names: Names, reception: Reception, store: Store, flights: Flights, instance: str) -> None:
        self._names = names
        self._reception = reception
        self._clock = store.clock
        self._flights = flights
        self._instance = instance

    async def on(self, letter: DeadLetter) -> LastWord:
        """The last word; it may be asked for again. Waits while a live worker runs the same call."""
        if letter.kind == CALL_TYPE:
            return await self._on_call(letter)
        if letter.kind in REQUEST_TYPES or letter.kind == FETCH_TYPE:
            return await self._on_request(letter)
        return LastWord(_because(letter, f"Nobody knows messages of the type {letter.kind[:80]!r}."))

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _on_request(self, letter: DeadLetter) -> LastWord:
        now_ms, error = self._clock.now_ms(), error_of(letter)
        envelope = Envelope(
            letter.body, letter.kind, letter.reply_to or None, letter.user or None, now_ms, letter.agent or None
        )
        try:
            if letter.kind == FETCH_TYPE:
                self._reception.look_up(envelope)
                return self._unread(letter, envelope, error)
            intake = self._reception.receive(envelope)
        except OptimizerError as refusal:
            return self._unread(letter, envelope, refusal if letter.why == REJECTED else error)
        waiter = intake.waiter
        letter = msgspec.structs.replace(letter, agent=waiter.agent, tenant=waiter.tenant, request_id=waiter.id)
        if letter.why == REJECTED:
            return LastWord(_because(letter, "A coordinator refused it."))
        with suppress(RedisAway):
            fate = await self._flights.fate(intake.admission.fingerprint, waiter)
            if fate.answer is not None:
                return LastWord(_because(letter, error.message), fate.answer, (waiter,))
            if fate.verdict == "running":
                return LastWord(_because(letter, error.message))
            await self._flights.leave(intake.admission.fingerprint, waiter)
        return LastWord(_because(letter, error.message), _failed(waiter, error, now_ms), (waiter,))

    def _unread(self, letter: DeadLetter, envelope: Envelope, error: OptimizerError) -> LastWord:
        """All that is known of its sender is what the broker says, and an id."""
        letter = _because(letter, error.message)
        address, name = self._reception.answer_to(envelope), peek_id(letter.body) or letter.request_id
        if letter.why == REJECTED or not address or not name:
            return LastWord(letter)
        waiter = Waiter(name, address, 0, letter.agent, letter.tenant)
        return LastWord(letter, _failed(waiter, error, self._clock.now_ms()), (waiter,))

    # ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _on_call(self, letter: DeadLetter) -> LastWord:
        try:
            call = understood(letter.kind, letter.body)
        except OptimizerError as unread:
            return self._unread_call(letter, unread)
        waiter = call.waiter
        letter = msgspec.structs.replace(letter, agent=waiter.agent, tenant=waiter.tenant, request_id=waiter.id)
        if letter.why == REJECTED:
            return LastWord(_because(letter, await self._told(call)))
        error = error_of(letter)
        return await self._end(_because(letter, error.message), call, error)

    def _unread_call(self, letter: DeadLetter, error: OptimizerError) -> LastWord:
        """No worker could read it, so that nobody has told who waits for it."""
        letter = _because(letter, error.message)
        waiter = waiter_in(letter.body)
        if waiter is None:
            return LastWord(letter)
        letter = msgspec.structs.replace(letter, agent=waiter.agent, tenant=waiter.tenant, request_id=waiter.id)
        if not waiter.reply_to.startswith(self._names.reply_prefix(None)) and not is_mailbox(waiter.reply_to):
            return LastWord(letter)
        told = InternalError(f"No worker could read the call of this request: {error.message}", retryable=False)
        return LastWord(letter, _failed(waiter, told, self._clock.now_ms()), (waiter,))

    async def _told(self, call: Call) -> str:
        """What the worker that rejected a call told its waiters."""
        with suppress(RedisAway):
            fate = await self._flights.fate(call.fingerprint, call.waiter)
            if fate.answer is not None and fate.answer.error is not None:
                return fate.answer.error.message
        return "A worker gave it up; its log says why."

    async def _end(self, letter: DeadLetter, call: Call, error: OptimizerError) -> LastWord:
        """End the flight of a call that nobody will run any more."""
        answer, owner = _failed(call.waiter, error, self._clock.now_ms()), owned_by(self._instance)
        try:
            while call.flight:
                begun = await self._flights.begin(call, owner, redelivered=True, alone=True)
                match begun.verdict:
                    case "answered" | "hit":
                        source: Source | None = "cache" if begun.verdict == "hit" else None
                        return LastWord(letter, begun.answer, begun.waiters, source)
                    case "busy":
                        await asyncio.sleep(min(_LOOK_S, begun.busy_ms / 1000))
                    case "redispatch":
                        call = msgspec.structs.replace(call, number=begun.number)
                    case "run" | "poison":
                        ended = await self._flights.complete(call, owner, answer, store_ttl_ms=0)
                        return LastWord(letter, answer, ended.waiters, work_id=call.work_id)
                    case _:
                        return LastWord(letter)
        except RedisAway:
            pass
        return LastWord(letter, answer, (call.waiter,))


def _because(letter: DeadLetter, reason: str) -> DeadLetter:
    return msgspec.structs.replace(letter, reason=reason)


def _failed(waiter: Waiter, error: OptimizerError, now_ms: int) -> Answer:
    return Answer(ok=False, leader=waiter.id, stored_ms=now_ms, error=error.info)
