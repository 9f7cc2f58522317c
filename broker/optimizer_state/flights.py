"""Flights in Redis: one upstream call and all the requests that wait for it.

Thin typed shell over `lua/{admit,gate,begin,renew,complete,release,cancel,fate,sweep}.lua`, where the rules are.
"""

import random
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from optimizer_state.admission import Admission, Admitted, admitted
from optimizer_state.answer import Answer, packed, unpacked
from optimizer_state.flushes import Flushes
from optimizer_state.scripts import Step
from optimizer_state.starts import MOST_STARTS
from optimizer_state.store import Store
from optimizer_state.verdicts import Begun, Completed, Fate, FateVerdict, GateVerdict
from optimizer_wire.messages import Call, Waiter

LEASE_MS = 15_000
RENEW_S = 5.0
KEEP_MS = 15 * 60 * 1000
SWEEP_GRACE_MS = 60_000

_encoder = msgspec.msgpack.Encoder()
_waiters = msgspec.msgpack.Decoder(Waiter)


def _name(waiter: Waiter) -> str:
    """How a request is named in its flight: ids are chosen by those who ask, and another user's is another request."""
    user, _, _ = waiter.reply_to.rpartition(".")
    return f"{waiter.id}\t{user}"


def flight_by_chance() -> int:
    """The name of a flight that Redis could not open: it was away. No other flight ever has it.

    If Redis is back by the time its call begins, the call is shared again: it opens the flight then, or its waiter
    joins another one of the same question, or has the answer.
    """
    return random.SystemRandom().getrandbits(53)


class Flights:
    """The flights of one deployment. Every method raises `RedisAway` if Redis is away."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._flushes = Flushes(store)

    def _key(self, fingerprint: str) -> str:
        return f"{self._store.prefix}:{{{fingerprint}}}"

    async def admit(self, batch: Sequence[Admission]) -> list[Admitted]:
        """Admit requests in one round trip."""
        replies = await self._store.run([self._admit_step(admission) for admission in batch])
        return [admitted(reply) for reply in replies]

    def _admit_step(self, admission: Admission) -> Step:
        waiter = admission.waiter
        arguments = (
            _name(waiter),
            int(admission.may_read),
            waiter.deadline_ms,
            waiter.priority.rank,
            _encoder.encode(waiter),
            KEEP_MS,
            int(admission.gated),
        )
        return Step("admit", self._key(admission.fingerprint), arguments)

    def gate_step(self, admission: Admission, flight: int, *, enter: bool) -> Step:
        """Ask whether a request at the gate is still wanted there; with `enter`, to be the one who publishes."""
        return Step("gate", self._key(admission.fingerprint), (flight, _name(admission.waiter), int(enter)))

    @staticmethod
    def gate_verdict(reply: list[Any]) -> GateVerdict:
        """What the answer to `gate_step` says."""
        verdict: GateVerdict = reply[0].decode()
        return verdict

    async def begin(
        self,
        call: Call,
        owner: str,
        *,
        redelivered: bool,
        look: bool = False,
        dead_owner: str = "",
        alone: bool = False,
    ) -> Begun:
        """Ask to run a dispatch; with `look` only what would be said. `owner` is a token of this delivery.

        The lease of `dead_owner` keeps nobody out: whoever asks knows that its worker died. `alone`: nothing else runs
        in the worker that asks.
        """
        waiter = call.waiter
        arguments = (
            call.flight,
            call.number,
            owner,
            LEASE_MS,
            int(call.may_read),
            int(redelivered),
            _name(waiter),
            waiter.deadline_ms,
            waiter.priority.rank,
            _encoder.encode(waiter),
            KEEP_MS,
            int(look),
            dead_owner,
            MOST_STARTS,
            int(alone),
        )
        reply = await self._run("begin", call.fingerprint, arguments)
        match verdict := reply[0].decode():
            case "answered":
                waiters = tuple(_waiters.decode(blob) for blob in reply[2:])
                return Begun("answered", unpacked(reply[1]), waiters)
            case "hit":
                return Begun("hit", unpacked(reply[1]), (waiter,))
            case "busy":
                return Begun("busy", busy_ms=int(reply[1]), owner=reply[2].decode())
            case "redispatch":
                return Begun("redispatch", number=int(reply[1]))
            case "poison":
                return Begun("poison", deaths=int(reply[1]))
            case _:
                return Begun(verdict)

    async def renew(
        self, call: Call, owner: str, *, lease_ms: int = LEASE_MS, rests: bool = False
    ) -> Literal["ok", "nobody", "lost"]:
        """Keep the lease of a dispatch that runs, or (`rests`) whose call has ended and is made again after a pause."""
        arguments = (call.flight, call.number, owner, lease_ms, KEEP_MS, int(rests))
        reply = await self._run("renew", call.fingerprint, arguments)
        verdict: Literal["ok", "nobody", "lost"] = reply[0].decode()
        return verdict

    async def latest_deadline(self, call: Call) -> int | None:
        """Until when anybody waits for a dispatch: 0 if nobody does (it is ended then), None if it is not known."""
        reply = await self._run("renew", call.fingerprint, (call.flight, call.number, "", LEASE_MS, KEEP_MS, 0))
        if reply[0] == b"nobody":
            return 0
        return int(reply[1]) if reply[0] == b"ok" else None

    async def complete(self, call: Call, owner: str, answer: Answer, *, store_ttl_ms: int) -> Completed:
        """End a flight with its outcome; an empty `owner` ends one whose call could not be published.

        The answer is stored for `store_ttl_ms`, unless it was flushed since it was asked for.
        """
        waiter = call.waiter
        answer = msgspec.structs.replace(
            answer, tenant=waiter.tenant, agent=waiter.agent, since_ms=waiter.since_ms, namespace=call.namespace
        )
        flushed_ms, read_ms = 0, 0
        if store_ttl_ms:
            # What was asked before a flush is not stored after it.
            known = await self._flushes.current()
            flushed_ms, read_ms = known.until_ms(call.fingerprint, answer), known.read_ms
        arguments = (
            call.flight,
            call.number,
            owner,
            packed(answer),
            0 if answer.since_ms <= flushed_ms else store_ttl_ms,
            KEEP_MS,
            _name(waiter),
            _encoder.encode(waiter),
            int(answer.ok),
            read_ms,
        )
        reply = await self._run("complete", call.fingerprint, arguments)
        if reply[0] == b"late":
            return Completed(mine=False)
        return Completed(mine=True, waiters=tuple(_waiters.decode(blob) for blob in reply[1:]))

    async def release(self, call: Call, owner: str, *, keep: bool = False) -> int | None:
        """Give a dispatch back for another backend, or (`keep`) to run it again from the same delivery later.

        Returns the number of the next dispatch, which stays the same with `keep`; None if it is not ours.
        """
        reply = await self._run("release", call.fingerprint, (call.flight, call.number, owner, int(keep)))
        return int(reply[1]) if reply[0] == b"next" else None

    async def forgive(self, fingerprint: str) -> None:
        """Forget the workers that a question has killed: somebody wants it to be asked again."""
        await self._store.command("DEL", f"{self._key(fingerprint)}:deaths")

    async def cancel(self, fingerprint: str, waiter: Waiter) -> None:
        """Take a request out of its flight, and keep late copies of it from joining again."""
        await self._run("cancel", fingerprint, (_name(waiter), _encoder.encode(waiter), KEEP_MS, "cancelled"))

    async def leave(self, fingerprint: str, waiter: Waiter) -> int:
        """Take a request that was refused out of its flight; returns how many still wait. It may ask again."""
        reply = await self._run("cancel", fingerprint, (_name(waiter), _encoder.encode(waiter), KEEP_MS, ""))
        return int(reply[1])

    async def withdraw(self, fingerprint: str, waiter: Waiter) -> int | None:
        """Take a request out of its flight unless its call has begun (None); returns how many others wait there."""
        reply = await self._run("withdraw", fingerprint, (_name(waiter), _encoder.encode(waiter), KEEP_MS))
        return int(reply[1]) if reply[0] == b"withdrawn" else None

    async def fate(self, fingerprint: str, waiter: Waiter) -> Fate:
        """How it stands with one request of a flight."""
        reply = await self._run("fate", fingerprint, (_name(waiter),))
        verdict: FateVerdict = reply[0].decode()
        match verdict:
            case "done":
                return Fate(verdict, unpacked(reply[1]))
            case "gone":
                return Fate(verdict, why=reply[1].decode())
            case _:
                return Fate(verdict)

    async def sweep(self) -> int:
        """Remove flights that ended unnoticed; returns how many. It looks at every flight: call it rarely."""
        cursor, swept, pattern = b"0", 0, f"{self._store.prefix}:{{*}}:flight"
        while True:
            cursor, keys = await self._store.command("SCAN", cursor, "MATCH", pattern, "COUNT", 500)
            steps = [Step("sweep", key.decode().removesuffix(":flight"), (SWEEP_GRACE_MS,)) for key in keys]
            swept += sum(int(reply[1]) for reply in await self._store.run(steps)) if steps else 0
            if int(cursor) == 0:
                return swept

    async def _run(self, script: Any, fingerprint: str, arguments: Sequence[str | int | bytes]) -> list[Any]:
        return (await self._store.run([Step(script, self._key(fingerprint), arguments)]))[0]
