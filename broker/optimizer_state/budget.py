"""A backend's budget, shared by all its workers through Redis; while Redis is away, this worker's share of it.

Reserve before a call, settle after it. Requests per window and concurrency are enforced here; limits in tokens are
known to the configuration and will be further dimensions of the same reservation.
"""

import asyncio
from collections.abc import Sequence

from optimizer_config.model import Backend
from optimizer_state.fleet_view import FleetView, Level
from optimizer_state.grants import Ask, BreakerChange, Grant, Settled, Wait
from optimizer_state.store import RedisAway, Step, Store
from optimizer_state.windows import OwnUse, Window

__all__ = ["Ask", "BreakerChange", "Budget", "FleetView", "Grant", "Level", "Settled", "Wait"]

LEASE_MS = 30_000
# What counts is the moment a request reaches the backend; this much later than it was written, at the latest.
ARRIVAL_MARGIN_MS = 250
# Every worker looks so often whether Redis still knows what it used; the first to speak after a loss of Redis' memory
# (or ever) waits a little longer than that for the others.
REMIND_S = 0.25
RESTORE_GRACE_MS = 600


def request_windows(backend: Backend) -> tuple[Window, ...]:
    """The limits of a backend that are counted in requests."""
    return tuple(
        Window(limit.name, limit.count, round(limit.per_s * 1000))
        for limit in backend.limits
        if limit.dimension == "requests" and not limit.models
    )


class Budget:
    """One worker's view of its backend's budget."""

    def __init__(self, store: Store, backend: Backend, worker: str) -> None:
        self._store = store
        self._worker = worker
        self._concurrency = backend.concurrency
        self._windows = request_windows(backend)
        self._amounts = {window.name: 1 for window in self._windows}
        self._own = OwnUse(self._windows)
        self._flying: set[str] = set()
        # Of these, the ones that were granted without Redis; and those that ended without Redis, which may hold them.
        self._alone: set[str] = set()
        self._ghosts: set[str] = set()
        self._must_report = False
        self._restoring = asyncio.Lock()
        self.workers_seen = 1
        self._key = f"{store.prefix}:{{backend:{backend.name}}}"

    async def reserve(self, ask: Ask) -> Grant | Wait:
        """Reserve one call, in all limits or none. Never raises: without Redis it is this worker's share."""
        reservation = ask.reservation
        if not self._must_report:
            try:
                return await self._reserve(reservation)
            except RedisAway:
                # It may have been done, and only its answer was lost.
                self._ghosts.add(reservation)
                self._must_report = True
        elif await self.restore():
            return Wait(1, "restored")
        return self._reserve_alone(reservation)

    async def _reserve(self, reservation: str) -> Grant | Wait:
        limits = [part for window in self._windows for part in (window.name, window.count, window.window_ms, 1)]
        arguments = (reservation, self._worker, LEASE_MS, self._concurrency, *limits)
        reply = (await self._store.run([Step("reserve", self._key, arguments)]))[0]
        if reply[0] == b"unknown":
            await self._restore()
            return Wait(1, "restored")
        if reply[0] == b"wait":
            return Wait(int(reply[1]), reply[2].decode())
        self._hold(reservation)
        return Grant(reservation)

    def _reserve_alone(self, reservation: str) -> Grant | Wait:
        share = max(1, self._concurrency // max(1, self.workers_seen))
        if len(self._flying) >= share:
            return Wait(50, "concurrency")
        wait_ms = self._own.wait_ms(self._amounts, self.workers_seen, self._store.clock.now_ms())
        if wait_ms:
            return Wait(wait_ms, "own share")
        self._hold(reservation)
        self._alone.add(reservation)
        return Grant(reservation)

    def _hold(self, reservation: str) -> None:
        self._flying.add(reservation)
        self._ghosts.discard(reservation)
        self._own.hold(reservation, dict(self._amounts))

    async def settle(self, grant: Grant, settled: Settled) -> BreakerChange | None:
        """The call has ended. Returns how this changed the breaker. Call `block` before it, if the backend said so."""
        written_ago_ms = settled.written_ago_ms
        self._flying.discard(grant.reservation)
        counts_ago_ms = None if written_ago_ms is None else round(written_ago_ms) - ARRIVAL_MARGIN_MS
        reported = False
        if grant.reservation in self._alone:
            self._alone.discard(grant.reservation)
            self._ghosts.add(grant.reservation)
        else:
            ago = "unsent" if counts_ago_ms is None else counts_ago_ms
            try:
                reply = (await self._store.run([Step("settle", self._key, (grant.reservation, ago))]))[0]
                # Not found: Redis lost it, or the lease ran out and it has been counted then.
                reported = int(reply[1]) == 1
            except RedisAway:
                self._ghosts.add(grant.reservation)
        now_ms = self._store.clock.now_ms()
        counts_at = None if counts_ago_ms is None else now_ms - counts_ago_ms
        self._own.settle(grant.reservation, counts_at, reported=reported)
        if not reported:
            self._must_report = True
        return None

    @property
    def remind_s(self) -> float:
        """How often `remind` is to be called."""
        return REMIND_S

    @property
    def fleet_view(self) -> FleetView:
        """The last look at what the whole fleet uses."""
        return FleetView()

    def written(self, grant: Grant) -> None:
        """The request of a granted call is being written to its connection right now."""

    async def remind(self) -> None:
        """Keep Redis informed, and look at the whole fleet's use. Quick while Redis is away; never raises."""
        await self.restore()

    async def block(self, for_s: float, reason: str = "") -> None:  # noqa: ARG002
        """Let no worker start a call for a while, because the backend said so."""
        try:
            await self._store.run([Step("block", self._key, (round(for_s * 1000),))])
        except RedisAway:
            self._must_report = True

    async def keep(self) -> None:
        """Renew the leases of the calls in flight; to be called every few seconds."""
        if self._flying:
            await self._store.run([Step("keep", self._key, (LEASE_MS, *self._flying))])

    async def restore(self) -> bool:
        """Make sure that Redis knows this worker and what it used; False if Redis is away."""
        try:
            await self._restore()
        except RedisAway:
            return False
        return True

    async def _restore(self) -> None:
        async with self._restoring:
            slots = self._own.slots(self._store.clock.now_ms())
            alone, ghosts = set(self._alone), set(self._ghosts)
            arguments: Sequence[str | int] = (
                self._worker,
                LEASE_MS,
                RESTORE_GRACE_MS,
                len(slots),
                *(part for slot in slots for part in (slot.limit, slot.index, slot.amount, slot.unreported)),
                *(str(part) for held in self._own.flying() for part in (*held, int(held[0] in alone))),
            )
            # What ghosts used is among the slots by now.
            given_back = [Step("settle", self._key, (ghost, "unsent")) for ghost in ghosts]
            await self._store.run([Step("restore", self._key, arguments), *given_back])
            self._own.reported(slots)
            self._alone -= alone
            self._ghosts -= ghosts
            # Whatever came up meanwhile is told next time.
            left = any(slot.unreported for slot in self._own.slots(self._store.clock.now_ms()))
            self._must_report = bool(left or self._alone or self._ghosts)
