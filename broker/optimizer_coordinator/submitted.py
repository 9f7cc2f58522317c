"""Requests that are submitted, to be fetched later: their mailbox is opened, then they are admitted like others."""

from collections.abc import Sequence

from msgspec.structs import replace

from optimizer_coordinator.gate import Gate
from optimizer_coordinator.intake import Intake
from optimizer_coordinator.metrics import handled
from optimizer_coordinator.settling import Settling
from optimizer_state.mailboxes import Mailboxes
from optimizer_state.store import RedisAway
from optimizer_wire.deliveries import Delivery


class Submitted:
    """Opens their mailboxes, a batch in one round trip."""

    def __init__(self, mailboxes: Mailboxes, gate: Gate, settling: Settling) -> None:
        self._mailboxes = mailboxes
        self._gate = gate
        self._settling = settling

    async def open(self, submitted: Sequence[tuple[Delivery, Intake]]) -> list[tuple[Delivery, Intake]]:
        """Note that these were submitted; returns those that are to be admitted, with the deadlines they came with."""
        if not submitted:
            return []
        try:
            opened = await self._mailboxes.open([intake.submission for _, intake in submitted])
        except RedisAway:
            # They lead calls of their own; a worker keeps their answers until Redis is back.
            return [(message, self._gate.mark(intake)) for message, intake in submitted]
        taken = []
        for (message, intake), found in zip(submitted, opened, strict=True):
            if found.submission is not None:
                admission = replace(intake.admission, waiter=found.submission.waiter)
                taken.append((message, self._gate.mark(replace(intake, admission=admission))))
            elif found.verdict == "conflict":
                await self._settling.conflict(message, intake)
            else:
                handled["known"].inc()
                await self._settling.ack(message)
        return taken
