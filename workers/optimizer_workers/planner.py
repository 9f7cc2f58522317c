"""What a worker expects of the calls it holds: when each can start, which of them miss their deadline, and what to tell
the others of it. No I/O.

It learns from refusals: a limit that is used up blocks the calls of one model (a lane), everything else all of them.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

from optimizer_config.amounts import Amounts
from optimizer_config.model import Backend, Limit
from optimizer_state.budget import FleetView, Wait
from optimizer_state.outlook import Outlook
from optimizer_state.outlooks import NEVER_MS
from optimizer_state.places import Place
from optimizer_workers.allowance import Allowance
from optimizer_workers.forecast import Line, Supply, per_call_ms
from optimizer_workers.job import Job
from optimizer_workers.latency import Latency
from optimizer_workers.scheduler import Scheduler
from optimizer_workers.shortages import Shortages

# What was seen so long after a refusal knows more than it did.
LOOK_MS = 300
# So long before its deadline a waiting call is told what it waited for: no call would end in time.
LAST_WORD_MS = 350
LONGEST_LOOK_MS = 1_000
PLAN_EVERY_MS = 200
# So much of its line a worker tells the others.
LINE_POINTS = 12
# Held behind others for longer than this, while nobody knows how long calls take here.
HELD_TOO_LONG_MS = 2_000
# These pass with the next call that ends, or are over in a moment.
PASSING = frozenset({"concurrency", "redis", "restored"})
# Operators may end a pause at any time, and a share or a worker's own part of a limit may grow.
UNSURE = frozenset({*PASSING, "paused", "share", "own share"})
# How long these last nobody knows: long enough for others to be better. A share grows with the calls of others.
UNKNOWN_MS = {"paused": 3_600_000, "share": 1_100}


@dataclass(frozen=True, slots=True)
class _Refusal:
    wait: Wait
    at_ms: int

    @property
    def until_ms(self) -> int:
        return self.at_ms + UNKNOWN_MS.get(self.wait.limit, self.wait.ms)


def sampled(line: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Some of (deadline, start) by deadline, the last among them; later deadlines start no sooner than earlier ones."""
    latest_ms, ordered = 0, []
    for deadline_ms, start_ms in sorted(line):
        latest_ms = max(latest_ms, start_ms)
        ordered.append((deadline_ms, latest_ms))
    step = max(1, len(ordered) // LINE_POINTS)
    return tuple(ordered[::-step][::-1])


class Planner:
    """Plans for what one worker holds."""

    def __init__(self, backend: Backend, scheduler: Scheduler, latency: Latency, allowance: Allowance) -> None:
        self._limits = {limit.name: limit for limit in backend.limits}
        self._models = backend.models
        self._concurrency = backend.concurrency
        self._scheduler = scheduler
        self._latency = latency
        self._allowance = allowance
        self._budget = allowance.budget
        self._refused: dict[str, _Refusal] = {}
        self._shortages = Shortages()
        self._tail_ms: dict[str, int] = {}
        # Of each lane: deadlines, and when those calls start.
        self._lines: dict[str, list[tuple[int, int]]] = {}
        # When each held call starts, as planned last.
        self._starts: list[tuple[int, str]] = []
        self._planned_ms = 0
        # What the last call that could not start would have used.
        self._usual = Amounts()

    def refused(self, job: Job, wait: Wait, now_ms: int) -> None:
        """There was no budget for a call: pass over those that cannot start either."""
        model, self._usual = job.hop.model, job.amounts
        limit = self._limits.get(wait.limit)
        # A limit holds for all of its models: a call that waits for it is not passed by smaller ones of another.
        lanes = {model, *(self._models if limit is None or not limit.models else limit.models)}
        for lane in lanes:
            self._shortages.begin(lane, self._missing(wait.limit), now_ms)
            self._refused[lane] = _Refusal(wait, now_ms)
            self._scheduler.block_lane(lane, now_ms + max(1, min(wait.ms, LONGEST_LOOK_MS)))

    def granted(self, model: str) -> None:
        """A call of this model may start."""
        self._refused.pop(model, None)
        self._tail_ms.pop(model, None)

    def _missing(self, reason: str) -> str:
        """What there is too little of: a limit with its count, or a word."""
        limit, level = self._limits.get(reason), self._budget.fleet_view.levels.get(reason)
        if limit is None:
            return reason
        count = limit.count if level is None else level.count
        return f"{reason} ${count / 1e6:,.2f}" if limit.dimension == "usd" else f"{reason} {count:,}"

    def begins(self, job: Job, now_ms: int) -> None:
        """A call starts: note how long it stood in line, and what for."""
        lane, since_ms = job.hop.model, max(job.in_line_ms or job.held_since_ms, job.not_before_ms)
        job.waited_ms = max(0, now_ms - since_ms)
        job.waited_for = self._shortages.longest(lane, since_ms, now_ms)
        self._shortages.end(lane, now_ms)

    def freed(self) -> None:
        """A call has ended: a place is free, and it may not have used all the tokens that were reserved for it."""
        for lane, refusal in self._refused.items():
            limit = self._limits.get(refusal.wait.limit)
            if refusal.wait.limit == "concurrency" or (limit is not None and limit.dimension != "requests"):
                self._scheduler.block_lane(lane, 0)

    def due(self, now_ms: int) -> bool:
        """Whether the last plan is old enough for a new one."""
        return now_ms - self._planned_ms >= PLAN_EVERY_MS

    def ready_ms(self, model: str) -> int:
        """When a call of this model that comes now is expected to start; 0 for at once."""
        return self._tail_ms.get(model, 0)

    @property
    def least_ms(self) -> int:
        """The least that a call takes here, as far as known."""
        return self._latency.least_ms

    def hopeless(self, job: Job, now_ms: int) -> bool:
        """Whether a call that starts now surely ends after its deadline."""
        return job.deadline_ms - now_ms < self._latency.least_ms

    def plan(self, now_ms: int, move: Callable[[Job, int], bool], miss: Callable[[Job, str], bool]) -> None:
        """Look at all held calls in the order of service.

        `move(job, start_ms)` may take a call that is served clearly sooner elsewhere, `miss(job, reason)` one that
        surely misses its deadline here; both say whether they did. What leaves lets those behind it start sooner.
        """
        self._planned_ms = now_ms
        self._forget_what_is_over(now_ms)
        lanes: dict[str, list[Job]] = defaultdict(list)
        for job in self._scheduler.in_order(now_ms):
            if not job.look_first:
                lanes[job.hop.model].append(job)
        self._tail_ms.clear()
        self._lines.clear()
        self._starts.clear()
        for model, jobs in lanes.items():
            self._tail_ms[model] = now_ms + self._plan_lane(model, jobs, now_ms, move, miss)

    def _plan_lane(
        self,
        model: str,
        jobs: list[Job],
        now_ms: int,
        move: Callable[[Job, int], bool],
        miss: Callable[[Job, str], bool],
    ) -> int:
        """Returns in how many ms a call that comes now would start."""
        refusal = self._refused.get(model)
        reason = "concurrency" if refusal is None else refusal.wait.limit
        limit = self._limits.get(reason)
        supply, least_ms = self._supply(refusal, limit, jobs, now_ms), self._latency.least_ms
        expected = Line.expected(supply, self._budget.workers_seen)
        sure = Line.earliest(replace(supply, call_ms=least_ms))
        cost = least = 1
        line = self._lines[model] = []
        for job in jobs:
            if limit is not None and limit.dimension != "requests":
                self._allowance.estimate(job)
                cost = max(1, job.amounts.of(limit.dimension))
                least = self._allowance.least(job, limit.dimension)
            if move(job, now_ms + expected.start_ms(cost)):
                continue
            late = now_ms + sure.start_ms(least) + least_ms > job.deadline_ms
            if not late:
                job.hopeless_since_ms = 0
            last_word = refusal is not None and job.deadline_ms - now_ms < LAST_WORD_MS
            if (last_word or (late and reason not in UNSURE)) and miss(job, reason):
                continue
            start_ms = now_ms + expected.start(cost)
            line.append((job.deadline_ms, start_ms))
            self._starts.append((start_ms, job.call.fingerprint))
            sure.start(least)
        return expected.start_ms(cost)

    def _supply(self, refusal: _Refusal | None, limit: Limit | None, jobs: list[Job], now_ms: int) -> Supply:
        """What the backend gives from now on, as far as one refusal tells."""
        usual_ms = self._latency.median_ms
        supply = Supply(concurrency=self._concurrency, call_ms=usual_ms)
        if refusal is None or refusal.wait.limit in PASSING:
            # All places are taken, by calls that are half done.
            return replace(supply, closed_ms=usual_ms // 2 or self._held_too_long_ms(jobs, now_ms))
        if limit is None:
            return replace(supply, closed_ms=max(0, refusal.until_ms - now_ms))
        age_ms = now_ms - refusal.at_ms
        frees = tuple((max(0, in_ms - age_ms), amount) for in_ms, amount in refusal.wait.frees)
        level = self._budget.fleet_view.levels.get(limit.name)
        return replace(
            supply,
            count=limit.count if level is None else level.count,
            window_ms=round(limit.per_s * 1000),
            frees=frees,
            reset_in_ms=max((in_ms for in_ms, _ in frees), default=0) if limit.reset else None,
        )

    @staticmethod
    def _held_too_long_ms(jobs: list[Job], now_ms: int) -> int:
        oldest_ms = min(job.held_since_ms for job in jobs)
        return HELD_TOO_LONG_MS if now_ms - oldest_ms > HELD_TOO_LONG_MS else 0

    def _forget_what_is_over(self, now_ms: int) -> None:
        """Drop refusals whose reason is gone, as the last look at the budget shows: nobody may have asked since."""
        for lane, refusal in list(self._refused.items()):
            idle = lane not in self._tail_ms and refusal.until_ms <= now_ms
            if idle or self._over(refusal, now_ms):
                del self._refused[lane]
                self._scheduler.block_lane(lane, 0)

    def _over(self, refusal: _Refusal, now_ms: int) -> bool:
        view, reason = self._budget.fleet_view, refusal.wait.limit
        if view.seen_ms <= refusal.at_ms + LOOK_MS:
            return False
        if reason == "paused":
            return view.mode != "paused"
        if reason in {"blocked", "breaker"}:
            return view.shut_until_ms <= now_ms
        limit, level = self._limits.get(reason), view.levels.get(reason)
        return limit is not None and level is not None and level.left >= max(1, self._usual.of(limit.dimension))

    def places(self) -> dict[str, Place]:
        """Where the held calls stand, as planned last: by fingerprint, and in the order in which they start."""
        ordered = sorted(self._starts, key=lambda each: each[0])
        # When a paused backend is resumed only its operator knows.
        never = self._budget.fleet_view.mode == "paused"
        return {
            name: Place(position, NEVER_MS if never else start_ms) for position, (start_ms, name) in enumerate(ordered)
        }

    def reason(self, model: str) -> str:
        """What calls of this model wait for, in a word; empty if nothing was refused."""
        refusal = self._refused.get(model)
        return "" if refusal is None else refusal.wait.limit

    def dry_ms(self, now_ms: int) -> int:
        """For how long no call at all starts here, as far as known; 0 if one may."""
        view = self._budget.fleet_view
        if view.mode == "paused":
            return UNKNOWN_MS["paused"]
        shut_ms = max(0, view.shut_until_ms - now_ms)
        waits = [refusal.until_ms - now_ms for refusal in self._refused.values() if self._used_up(refusal, view)]
        if not waits or len(waits) < len(self._refused):
            return shut_ms
        held = {job.hop.model for job in self._scheduler.in_order(now_ms)}
        return max(shut_ms, min(waits)) if held <= self._refused.keys() else shut_ms

    @staticmethod
    def _used_up(refusal: _Refusal, view: FleetView) -> bool:
        """Whether the limit that refused is still used up: operators may have raised it."""
        level = view.levels.get(refusal.wait.limit)
        return level is not None and level.left <= 0

    def outlook(self, now_ms: int) -> Outlook:
        """How soon a call that comes now can start, for the other processes."""
        self._forget_what_is_over(now_ms)
        if closed := self._closed(now_ms):
            return closed
        lanes = [lane for lane in {*self._refused, *self._tail_ms} if not self._narrow(lane)]
        if not lanes:
            return Outlook(0)
        last = max(lanes, key=self._lane_ready_ms)
        refusal = self._refused.get(last)
        reason = "concurrency" if refusal is None else refusal.wait.limit
        shut_ms = refusal.until_ms if refusal is not None and self._sure(reason) else 0
        line = sampled(self._lines.get(last, []))
        return Outlook(self._lane_ready_ms(last), self._per_call_ms(reason), reason, shut_ms=shut_ms, line=line)

    def _closed(self, now_ms: int) -> Outlook | None:
        """The outlook of a backend that takes no call at all, as everybody sees it, whether anything waits or not."""
        view = self._budget.fleet_view
        until_ms = view.shut_until_ms
        reason = "blocked" if until_ms == view.blocked_until_ms else "breaker"
        return Outlook(until_ms, 0, reason, shut_ms=until_ms) if until_ms > now_ms else None

    def _lane_ready_ms(self, lane: str) -> int:
        refusal = self._refused.get(lane)
        return max(self._tail_ms.get(lane, 0), 0 if refusal is None else refusal.until_ms)

    def _narrow(self, lane: str) -> bool:
        """Whether this lane waits for a limit of some models only, which says nothing about calls of others.

        That of the backend's first model counts for all: nearly all calls are for it.
        """
        refusal = self._refused.get(lane)
        limit = None if refusal is None else self._limits.get(refusal.wait.limit)
        return limit is not None and bool(limit.models) and lane != self._models[0]

    def _sure(self, reason: str) -> bool:
        """Whether nothing at all starts before that: a small call may still fit into what is left of the tokens."""
        limit = self._limits.get(reason)
        return reason not in UNSURE if limit is None else limit.dimension == "requests"

    def _per_call_ms(self, reason: str) -> int:
        """How long each further call takes here, in whichever worker."""
        limit = self._limits.get(reason)
        supply = Supply(concurrency=self._concurrency, call_ms=self._latency.median_ms)
        if limit is not None:
            supply = replace(supply, count=limit.count, window_ms=round(limit.per_s * 1000))
        cost = self._usual.of(limit.dimension) if limit is not None else 1
        return per_call_ms(cost, supply, 1)
