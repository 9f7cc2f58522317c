"""Quotas at the gate: a request waits until its agent, its tenant and the fleet have room, or is refused.

The requests of one agent are let through in the order of their arrival at a coordinator, and agents take turns.
"""

from collections.abc import Sequence
from typing import Any, Literal

from optimizer_coordinator.intake import Intake
from optimizer_coordinator.line import Held
from optimizer_state.quotas import Over, Quotas, Wish
from optimizer_state.scripts import Step
from optimizer_wire import events
from optimizer_wire.errors import QuotaExceeded
from optimizer_wire.text import prompt_chars


class QuotaBarrier:
    """Lets a request pass when there is room for it. `over` says what happens to it otherwise."""

    def __init__(self, quotas: Quotas, over: Literal["wait", "reject"]) -> None:
        self._quotas = quotas
        self._over = over

    def concerns(self, intake: Intake) -> bool:
        """Whether a quota applies to its agent."""
        return self._quotas.concern(intake.waiter.tenant, intake.waiter.agent)

    def line(self, intake: Intake) -> str | None:
        """Each agent has a line of its own."""
        return f"{intake.waiter.tenant}/{intake.waiter.agent}"

    def steps(self, intake: Intake) -> Sequence[Step]:
        """Reserve."""
        return self._quotas.reserve_steps(_wish(intake))

    async def heard(self, intake: Intake, replies: Sequence[list[Any]]) -> Held | None:
        """Pass, or wait.

        :raises QuotaExceeded: if nobody is to wait.
        """
        return self._judge(self._quotas.reserved(_wish(intake), replies))

    def alone(self, intake: Intake) -> Held | None:
        """Without Redis: this coordinator's share.

        :raises QuotaExceeded: if nobody is to wait.
        """
        return self._judge(self._quotas.alone(_wish(intake)))

    async def leave(self, intake: Intake) -> None:
        """It is not called after all."""
        await self._quotas.give_back(intake.waiter)

    def _judge(self, over: Over | None) -> Held | None:
        if over is None:
            return None
        if self._over == "reject":
            wait_s = over.ms / 1000
            raise QuotaExceeded(f"There is no room in {over.whose} for another {wait_s:.1f} s.", retry_after_s=wait_s)
        return Held(over.ms, f"for {over.whose}", sure=over.sure, event=events.QUOTA)


def _wish(intake: Intake) -> Wish:
    return Wish(intake.waiter, prompt_chars(intake.request.params))
