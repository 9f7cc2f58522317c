"""Whether Redis is away for all workers of a backend, or for this one alone: it asks its mates, over RabbitMQ.

::

    Redis does not answer ─► question to the queue of each mate ─► the mate looks at Redis ─► answer to this one's queue

Without Redis a worker lives on its share of the budget; that holds because nobody uses more then. A mate that has Redis
uses all of it. So a worker starts nothing until its mates have spoken, which takes `ANSWER_S` at most, and nothing
while one of them has Redis: that one serves. It does not know who was started since. So whoever has Redis says so to
those of whom Redis has not heard for a while.
"""

import asyncio
from collections.abc import Collection
from contextlib import suppress

from optimizer_service.logs import Logger
from optimizer_state.store import RedisAway, Store
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.channel import Channel
from optimizer_wire.deliveries import Delivery
from optimizer_wire.frames import Properties
from optimizer_wire.messages import REDIS_ANSWER_TYPE, REDIS_QUESTION_TYPE
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, mates_queue
from optimizer_workers.fleet import Fleet
from optimizer_workers.opinions import Opinions

# A mate that does not know yet finds out in a quarter of a second.
ANSWER_S = 0.3
ASK_AGAIN_S = 0.5
EXPIRES_MS = 1_000
JUST_BACK_S = 1.0
_UNASKED = 0
THERE, AWAY = b"there", b"away"


class Mates:
    """Asks and answers, on one session after another."""

    def __init__(self, store: Store, fleet: Fleet, names: Names, worker: str, log: Logger) -> None:
        self._store = store
        self._fleet = fleet
        self._names = names
        self._worker = worker
        self._log = log
        self._channel: Channel | None = None
        self._wanted = asyncio.Event()
        self._met: set[str] = set()
        self._opinions = Opinions()
        self._answering: set[asyncio.Task[None]] = set()

    @property
    def serve_alone(self) -> bool:
        """Whether a mate has Redis and this worker has not, as far as known."""
        return self._store.away and self._opinions.others_have_it is True

    def may_go_alone(self) -> bool:
        """Whether this worker may live on its share now. Asks the mates if nobody knows."""
        if not self._store.away:
            # It is there again, or does not do one thing, which others will find as well.
            return not self._store.rejoin_ms(within_s=JUST_BACK_S)
        if not self._known():
            return True
        self._wanted.set()
        return self._opinions.others_have_it is False

    async def open(self, session: Session, channel: Channel) -> None:
        """Let questions and answers come in on this session.

        :raises BrokerUnavailable: if the connection is gone.
        """
        queue = mates_queue(self._names, self._worker)
        await channel.declare_queue(queue)
        await channel.consume(queue.name, self._received, no_ack=True, on_cancel=session.lost.set)
        self._channel = channel

    async def watch(self) -> None:
        """Ask while Redis is away and somebody wants to know, until cancelled."""
        while True:
            await self._wanted.wait()
            told = False
            while self._store.away:
                await self._round()
                if self.serve_alone and not told:
                    told = True
                    self._log.warning("only this worker is without redis", then="its mates serve")
                await asyncio.sleep(ASK_AGAIN_S)
            self._opinions.forget()
            self._met.clear()
            self._wanted.clear()

    async def greet(self) -> None:
        """Say that Redis is there to those that it has not heard of; most of them are dead. Never raises."""
        with suppress(BrokerUnavailable):
            for worker in () if self._store.away else self._fleet.silent:
                await self._send(worker, THERE, self._message(REDIS_ANSWER_TYPE, _UNASKED))

    def _known(self) -> Collection[str]:
        return self._fleet.mates | self._met

    async def _round(self) -> None:
        mates = self._known()
        number = self._opinions.ask(mates)
        question = self._message(REDIS_QUESTION_TYPE, number)
        for mate in mates:
            await self._send(mate, b"", question)
        await asyncio.sleep(ANSWER_S)
        self._opinions.close(number)

    def _message(self, kind: str, number: int) -> Properties:
        return Properties(
            kind,
            str(number),
            content_type="text/plain",
            reply_to=mates_queue(self._names, self._worker).name,
            expiration_ms=EXPIRES_MS,
            agent=self._worker,
        )

    async def _send(self, mate: str, body: bytes, properties: Properties) -> None:
        if self._channel is not None:
            self._channel.publish("", mates_queue(self._names, mate).name, body, properties)

    def _received(self, message: Delivery) -> None:
        properties = message.properties
        mate, number = str(properties.app_id or ""), str(properties.message_id or "")
        if not mate or not number.isdecimal():
            return
        if properties.message_type == REDIS_QUESTION_TYPE:
            task = asyncio.ensure_future(self._answer(mate, int(number)))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        elif properties.message_type == REDIS_ANSWER_TYPE and int(number) == _UNASKED:
            self._greeted(mate)
        elif properties.message_type == REDIS_ANSWER_TYPE:
            self._opinions.hear(int(number), mate, has_redis=message.body == THERE)

    def _greeted(self, mate: str) -> None:
        if self._store.away and mate not in self._met:
            self._met.add(mate)
            self._opinions.told()
            self._wanted.set()

    async def _answer(self, mate: str, number: int) -> None:
        try:
            await self._store.command("PING")
            body = THERE
        except RedisAway:
            body = AWAY
        # A question goes with the connection; it is asked again.
        with suppress(BrokerUnavailable):
            await self._send(mate, body, self._message(REDIS_ANSWER_TYPE, number))
