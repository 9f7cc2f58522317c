"""Forgetting a tenant: what waits is taken away and told so, what is kept is removed, until a whole look finds nothing.

::

    request queue ─► a moment ─► mark ─► (Redis: answers, outcomes, waiters ─► tell them)* ─► call queues, dead letters
                                                                                                        ─► history

The mark is a moment of Redis' clock: what was asked later is a new request. It makes workers let go of what they hold
(`optimizer_workers.forgetting`); a call that runs is broken off at its next sign of life, within five seconds, and what
comes of it is not stored (`lua/complete.lua`).
"""

import asyncio
import time
from collections.abc import Iterable

from optimizer_config.model import Config
from optimizer_ops.dead.letters import letters
from optimizer_ops.forget.history import forget_history
from optimizer_ops.forget.owners import call_in, tenant_of_message, tenant_of_user, users_of
from optimizer_ops.forget.queues import take_out
from optimizer_ops.forget.tally import Tally
from optimizer_service.outbox import Outbox
from optimizer_state.flights import Flights
from optimizer_state.forgotten import Erasure, Forgotten, Found
from optimizer_state.store import Store
from optimizer_wire.channel import Channel
from optimizer_wire.codec import peek_id
from optimizer_wire.dead_letters import kept_letter
from optimizer_wire.deliveries import Delivery
from optimizer_wire.errors import Cancelled
from optimizer_wire.messages import DEAD_TYPE, REQUEST_TYPE, VERSION, Priority, Reply, Waiter
from optimizer_wire.session import Session
from optimizer_wire.topology import Names

# What a coordinator has taken and not yet written to Redis when its queue is looked at.
_IN_HAND_S = 1.0
_AGAIN_S = 0.5
# Workers look twice a second who was forgotten. What they have not let go of after the second time may be in a queue.
_NOTICED_S = 1.0
_LET_GO_S = 3.0
_CANCELLED = Cancelled("The tenant of this request was forgotten by an operator.").info


class Forgetting:
    """One run for one tenant. Every method raises `RedisAway`, `BrokerUnavailable` or `Busy`; it may be repeated."""

    def __init__(self, config: Config, tenant: str, store: Store, session: Session, channel: Channel) -> None:
        self._config = config
        self._tenant = tenant
        self._session = session
        self._names = Names(config.prefix)
        self._store = store
        self._flights = Flights(store)
        self._erasure = Erasure(store, tenant, users_of(config, tenant))
        self._outbox = Outbox(channel, self._names, store)
        self._letters = (self._names.dead, self._names.kept)
        self.tally = Tally(tenant)

    async def look(self) -> Tally:
        """Count without touching anything; of queues only how much is in them."""
        await self._store.synchronise_clock()
        self._count(await self._erasure.flights(self._store.clock.now_ms(), only_count=True))
        self.tally.dry_run = True
        self.tally.places = await self._erasure.places(only_count=True)
        self.tally.dead = sum([await self._session.messages(queue) for queue in self._letters])
        queues = (self._names.requests, *self._call_queues(), *self._letters)
        self.tally.waiting = sum([await self._session.messages(queue) for queue in queues])
        return self.tally

    async def run(self, wait_s: float) -> Tally:
        """Remove everything; waits at most so long for calls that workers hold."""
        self.tally.waiting += await take_out(self._session, self._names.requests, self._is_theirs)
        await asyncio.sleep(_IN_HAND_S)
        until_ms = await Forgotten(self._store).mark(self._tenant)
        await self._remove(until_ms, time.monotonic() + wait_s)
        # Whoever looks through the kept letters meanwhile would hide them.
        async with letters(self._config.amqp_url, self._names):
            for queue in self._letters:
                self.tally.dead += await take_out(self._session, queue, self._is_dead)
        self.tally.places = await self._erasure.places()
        return self.tally

    async def _remove(self, until_ms: int, end: float) -> None:
        """Look again and again, until there was nothing in a whole look, and once into the queues of calls.

        Once, because each look at a queue counts as a delivery of what others have there.
        """
        marked, looked = time.monotonic(), False
        while True:
            found = await self._erasure.flights(until_ms)
            self._count(found)
            await self._tell(found.waiters)
            self.tally.open = found.open_flights
            held_s = time.monotonic() - marked
            if (looked and found.nothing) or time.monotonic() > end:
                return
            if not looked and held_s > (_LET_GO_S if found.open_flights else _NOTICED_S):
                for queue in self._call_queues():
                    self.tally.waiting += await take_out(self._session, queue, self._is_forgotten_call)
                looked = True
            else:
                await asyncio.sleep(_AGAIN_S)

    def _call_queues(self) -> list[str]:
        return [self._names.call_queue(name, priority) for name in self._config.backends for priority in Priority]

    def _count(self, found: Found) -> None:
        self.tally.answers += found.answers
        self.tally.outcomes += found.outcomes
        self.tally.submitted += found.submitted
        self.tally.cancelled += found.requests

    async def _tell(self, waiters: Iterable[Waiter]) -> None:
        for waiter in waiters:
            await self._cancelled(waiter.reply_to, waiter.id)

    async def _cancelled(self, reply_to: str, request_id: str) -> None:
        await self._outbox.reply(reply_to, Reply(v=VERSION, id=request_id, ok=False, error=_CANCELLED))

    async def _is_theirs(self, message: Delivery) -> bool:
        """Whether a message of the request queue is the tenant's; then its sender is told."""
        properties = message.properties
        if tenant_of_user(self._config, properties.user_id) != self._tenant:
            return False
        reply_to, name = properties.reply_to or "", peek_id(message.body)
        listens = reply_to.startswith(self._names.reply_prefix(properties.user_id))
        if properties.message_type == REQUEST_TYPE and listens and name:
            await self._cancelled(reply_to, name)
        return True

    async def _is_forgotten_call(self, message: Delivery) -> bool:
        """Whether nobody waits any more for a call of the tenant; one that others share goes on."""
        call = call_in(message.body)
        if call is None or call.waiter.tenant != self._tenant:
            return False
        if call.flight:
            return not await self._flights.latest_deadline(call)
        await self._tell([call.waiter])
        return True

    async def _is_dead(self, message: Delivery) -> bool:
        """Whether a dead letter is the tenant's, before or after its keeper took it."""
        properties = message.properties
        kind, user = properties.message_type, properties.user_id
        if kind == DEAD_TYPE:
            letter = kept_letter(properties, message.body)
            kind, user = letter.kind or None, letter.user or None
        owner = tenant_of_message(self._config, kind, user, message.body)
        self.tally.unreadable += owner is None
        return owner == self._tenant


async def forget(config: Config, tenant: str, *, wait_s: float, dry_run: bool) -> Tally:
    """Remove a tenant everywhere, or (`dry_run`) count what there is.

    :raises RedisAway, BrokerUnavailable: if a service is missing; what was removed by then stays removed.
    :raises Busy: if somebody else looks through the dead letters.
    :raises DatabaseUnavailable: if the history is away; everything else is done by then.
    """
    store = Store(config.redis_url, config.prefix)
    try:
        await store.synchronise_clock()
        async with await Session.open(config.amqp_url, "optimizer forget") as session:
            forgetting = Forgetting(config, tenant, store, session, await session.channel())
            tally = await (forgetting.look() if dry_run else forgetting.run(wait_s))
            recorded = Names(config.prefix).recorder
            kept = (await session.depths([recorded])).get(recorded) is not None
    finally:
        await store.close()
    # Last: what has ended by now has been told of with a time that is past.
    tally.history = await asyncio.to_thread(forget_history, config.history_url, tenant, dry_run=dry_run, kept=kept)
    return tally
