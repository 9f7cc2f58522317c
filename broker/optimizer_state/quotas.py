"""Quotas of agents, of tenants and of the whole fleet: what may be asked of backends, by whom, in which time.

One budget for all of them, `<prefix>:{quota}`, kept by the scripts of budgets. Its windows are named `fleet:rpm`,
`tenant:<tenant>:rpm`, `agent:<tenant>/<agent>:rpm`. The request whose call is published pays; what is answered from the
cache or joins a flight is free. What counts is the moment of admission, so that it is known exactly when a window has
room again. Tokens and money are reserved as what the agent's earlier calls used on average, and replaced by the real
usage when the call has ended.

While Redis is away each coordinator lets through its share, 0.8 × quota ÷ coordinators last seen, less what it let
through itself; that is not charged afterwards. After Redis lost its memory the windows begin unused.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from optimizer_config.amounts import Amounts
from optimizer_config.model import BreakerSettings, Limit
from optimizer_config.model import Quotas as Settings
from optimizer_state.answer import Answer
from optimizer_state.budget_steps import Ending, reserve_step, settle_step
from optimizer_state.estimates import TOKENS_AROUND, TOKENS_PER_CHAR, UNKNOWN_OUTPUT_TOKENS
from optimizer_state.grants import Settled
from optimizer_state.local_quota import LocalQuota
from optimizer_state.scripts import Step
from optimizer_state.store import RedisAway, Store
from optimizer_state.windows import Window, amounts_by_window, windows_of
from optimizer_wire.messages import Waiter

# A reservation is kept so long after its request's deadline, for a call that ends late.
LATE_MS = 60_000
SEEN_MS = 5_000
HALVED_AFTER_CALLS = 100
LEARNED_MS = 30 * 24 * 3600 * 1000
_NO_BREAKER = BreakerSettings(failures=0)
_COUNTED = frozenset({"requests"})


@dataclass(frozen=True, slots=True)
class Over:
    """A quota that is used up: of whom, in words, and in how many ms it has room again.

    `sure`: not sooner, because it is counted in requests.
    """

    ms: int
    whose: str
    sure: bool


@dataclass(frozen=True, slots=True)
class Wish:
    """The wish of a request to be called; `chars` is how long its prompt is."""

    waiter: Waiter
    chars: int = 0

    @property
    def whose(self) -> tuple[str, str]:
        """Tenant and agent."""
        return self.waiter.tenant, self.waiter.agent


class Quotas:
    """The quotas of one deployment, as a coordinator or a worker sees them. `coordinators`: how many were last seen."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._key = f"{store.prefix}:{{quota}}"
        self._local = LocalQuota()
        self._means: dict[tuple[str, str], Amounts | None] = {}
        self.coordinators = 1
        self.windows = lru_cache(maxsize=10_000)(self._windows)

    def _windows(self, tenant: str, agent: str) -> tuple[Window, ...]:
        return (
            *_named("fleet", self._settings.limits.get("fleet", ())),
            *_named(f"tenant:{tenant}", self._settings.limits.get("tenant", ())),
            *_named(f"agent:{tenant}/{agent}", self._settings.limits_of(agent)),
        )

    def concern(self, tenant: str, agent: str) -> bool:
        """Whether any quota applies to an agent."""
        return bool(self.windows(tenant, agent))

    def reserve_steps(self, wish: Wish) -> Sequence[Step]:
        """Reserve, count it now if it was granted, and look up what the agent's calls use if that matters."""
        now_ms = self._store.clock.now_ms()
        windows = self.windows(*wish.whose)
        amounts = self._amounts(windows, wish)
        lease_ms = max(0, wish.waiter.deadline_ms - now_ms) + LATE_MS
        reservation = _reservation(wish.waiter)
        reserve = reserve_step(self._key, reservation, windows, amounts, now_ms, lease_ms=lease_ms)
        arrive = Step("arrive", self._key, (reservation, 0))
        if all(window.dimension in _COUNTED for window in windows):
            return (reserve, arrive)
        return (reserve, arrive, self._learn(wish.whose))

    def reserved(self, wish: Wish, replies: Sequence[list[Any]]) -> Over | None:
        """What the answers to `reserve_steps` say: None if it was granted."""
        windows = self.windows(*wish.whose)
        if len(replies) > 2:
            self._means[wish.whose] = _mean(replies[2])
        verdict = replies[0]
        if verdict[0] == b"granted":
            self._let_through(windows, self._amounts(windows, wish), self._store.clock.now_ms())
            return None
        name = verdict[2].decode()
        window = next((window for window in windows if window.name == name), None)
        if window is None:
            return Over(int(verdict[1]), f"the quota ({name})", sure=False)
        return Over(int(verdict[1]), _words(window), window.dimension in _COUNTED)

    def alone(self, wish: Wish) -> Over | None:
        """The same while Redis is away."""
        windows, now_ms = self.windows(*wish.whose), self._store.clock.now_ms()
        amounts = self._amounts(windows, wish)
        waits = [(self._local.wait_ms(each, amounts[each.name], self.coordinators, now_ms), each) for each in windows]
        wait_ms, longest = max(waits, key=lambda wait: wait[0])
        if wait_ms:
            return Over(wait_ms, _words(longest), sure=False)
        self._let_through(windows, amounts, now_ms)
        return None

    def _let_through(self, windows: Sequence[Window], amounts: dict[str, int], now_ms: int) -> None:
        self._local.add({window: amounts[window.name] for window in windows}, now_ms)

    async def settle(self, waiter: Waiter, settled: Settled) -> None:
        """The call of the request that paid has ended, after all its attempts. Never raises; to be repeated at will."""
        whose = waiter.tenant, waiter.agent
        windows = self.windows(*whose)
        if not windows:
            return
        used = settled.used
        real = None if used is None else amounts_by_window(windows, "", used)
        steps = [settle_step(self._key, _reservation(waiter), Ending(settled.written_ago_ms), _NO_BREAKER, real)]
        if used is not None and settled.written_ago_ms is not None:
            steps.append(self._learn(whose, used))
        await self._tell(steps)

    async def ended(self, waiter: Waiter, answer: Answer) -> None:
        """The flight of the request that paid has ended like this. Never raises."""
        await self.settle(waiter, _settled(answer))

    async def give_back(self, waiter: Waiter) -> None:
        """The request that paid is not called after all. Never raises."""
        if not self.concern(waiter.tenant, waiter.agent):
            return
        await self._tell([settle_step(self._key, _reservation(waiter), Ending(), _NO_BREAKER)])

    async def _tell(self, steps: Sequence[Step]) -> None:
        try:
            await self._store.run(steps)
        except RedisAway:
            # It is counted as it was estimated.
            return

    async def meet(self, coordinator: str) -> None:
        """Tell that this coordinator lives, and count how many do. Raises `RedisAway`."""
        if not (self._settings.limits or self._settings.agents):
            return
        key, now_ms = f"{self._store.prefix}:coordinators", self._store.clock.now_ms()
        await self._store.command("ZADD", key, now_ms, coordinator)
        await self._store.command("ZREMRANGEBYSCORE", key, "-inf", now_ms - SEEN_MS)
        self.coordinators = max(1, int(await self._store.command("ZCARD", key)))

    def _amounts(self, windows: Sequence[Window], wish: Wish) -> dict[str, int]:
        known = self._means.get(wish.whose)
        first = Amounts(1, TOKENS_AROUND + round(TOKENS_PER_CHAR * wish.chars), UNKNOWN_OUTPUT_TOKENS)
        return amounts_by_window(windows, "", known or first)

    def _learn(self, whose: tuple[str, str], used: Amounts | None = None) -> Step:
        sums: tuple[str | int, ...] = ()
        if used is not None:
            sums = ("calls", 1, "in", used.input_tokens, "out", used.output_tokens, "micro_usd", used.micro_usd)
        return Step("learn", f"{self._key}:mean:{'/'.join(whose)}", (HALVED_AFTER_CALLS, LEARNED_MS, *sums))


def _reservation(waiter: Waiter) -> str:
    """The same for every copy of a request."""
    return f"{waiter.tenant}/{waiter.agent}/{waiter.id}"


def _settled(answer: Answer) -> Settled:
    if not answer.attempts:
        return Settled(None)
    usage = answer.usage
    if usage is None:
        # What failed cost its request; what was answered without saying what it used, as much as was expected.
        return Settled(0.0, None if answer.ok else Amounts())
    return Settled(0.0, Amounts(1, usage.input_tokens, usage.output_tokens, round((answer.cost_usd or 0.0) * 1e6)))


def _named(subject: str, limits: Sequence[Limit]) -> tuple[Window, ...]:
    return tuple(replace(window, name=f"{subject}:{window.name}") for window in windows_of(limits))


def _mean(answer: list[bytes]) -> Amounts | None:
    """What a call uses on average, by the sums that the fleet has learned."""
    sums = {name.decode(): int(amount) for name, amount in zip(answer[::2], answer[1::2], strict=True)}
    calls = sums.get("calls", 0)
    if not calls:
        return None
    each = (math.ceil(sums.get(name, 0) / calls) for name in ("in", "out", "micro_usd"))
    return Amounts(1, *each)


def _words(window: Window) -> str:
    """`the quota of agent a (30 requests in 60 s)`."""
    subject, _, rest = window.name.partition(":")
    who = rest.rpartition(":")[0].rpartition("/")[2] if subject == "agent" else rest.rpartition(":")[0]
    whose = "the fleet" if subject == "fleet" else f"{subject} {who}"
    many = f"{window.count:,} {window.dimension.replace('_', ' ')}"
    if window.dimension == "usd":
        many = f"${window.count / 1e6:g}"
    return f"the quota of {whose} ({many} {_time(window)})"


def _time(window: Window) -> str:
    return f"a {window.reset.every}" if window.reset else f"in {window.window_ms / 1000:g} s"
