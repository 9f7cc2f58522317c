"""Which of the calls that a worker holds is next. Pure: the fleet's clock (milliseconds) is passed in.

One order in virtual time does priority, fairness and deadline together: the priorities share the service 6:3:1, within
a priority the agents share it by their weights, and of all calls of those agents that are not more than a slack (some
four usual calls) ahead of the one furthest behind, the earliest deadline is first. Service is counted in tokens: what a
call will probably use when it is taken, corrected to what it did use afterwards.

What it promises, as long as calls are begun in its order:

- Of two agents of one priority that both have calls waiting that are not blocked, neither gets ahead of its share by
  more than the slack and one largest cost of its own. Of two priorities, neither by more than one largest cost of each.
  What estimates missed is made good by later service.
- Agents that got the same so far, but for the slack, are served by deadline, as if they were one.
- So nothing starves: an agent that comes new, its deadline however late, waits for at most the slack and one call of
  each other agent of its priority, but for what is repaid to them.
- Idleness earns nothing, and an agent that leaves and returns finds its debt as long as anybody is still behind it.
- A blocked lane (the calls for a model whose limit is used up) delays no other call. When it opens, its agents share
  what comes as if no time had passed for them.

Where it ends:

- It orders what this worker holds, its prefetch window. The broker's queue before it is first come, first served within
  a priority: calls of an agent that has filled the window and the queue delay others there. The window of each priority
  is filled on its own, so that one priority never keeps another out.
- Each worker orders its own. Several workers of one backend take calls evenly, so that the shares hold on average.
- A call that is taken is not interrupted, and calls under way at the same time are charged with estimates.
- Deadlines move an agent before another within the slack only; a share may be too small for them (`forecast.py` tells).
- The slack that an agent has used stays used for as long as it has calls waiting: a hog is ahead by it once, not always
  anew, except of those that come (back) after it.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heapreplace
from itertools import chain, count, islice
from math import lcm

from optimizer_wire.messages import Priority
from optimizer_workers.fair_queue import FairQueue, VirtualTime, Weight
from optimizer_workers.job import Job

SHARES = {Priority.INTERACTIVE: 6, Priority.STANDARD: 3, Priority.BATCH: 1}
# Virtual time of one token by priority, in whole numbers: what is given back is exactly what was charged.
_PACES = {priority: lcm(*SHARES.values()) // share for priority, share in SHARES.items()}

# Calls that are only looked at need no budget: the lane that is never blocked.
_LOOKS = ""

# Not before; a number that makes it unique; the job.
_Rest = tuple[int, int, Job]
# At which virtual time a priority is served next, its rank among equals, the pace of its time, its calls in order.
_Stream = tuple[int, int, int, Iterator[Job]]


class _Class:
    """A priority. `tag` is the virtual time at which it is served next; `since`: from when on it has no open calls."""

    __slots__ = ("pace", "queue", "rank", "since", "tag")

    def __init__(self, priority: Priority, weight: Weight) -> None:
        self.queue = FairQueue(weight)
        self.rank = priority.rank
        self.pace = _PACES[priority]
        self.tag = 0
        self.since: int | None = None

    def place(self, now: int = 0) -> tuple[int, int]:
        """Its place among the priorities: virtual time does not pass while all its calls are blocked."""
        return (self.tag if self.since is None else self.tag + now - self.since), self.rank


class Scheduler:
    """The calls a worker holds and has not begun.

    `weight` tells how much of the service an agent, named (tenant, agent), is due relative to others; greater than 0.
    """

    def __init__(self, weight: Weight = lambda _agent: 1.0) -> None:
        self._classes = {priority: _Class(priority, weight) for priority in Priority}
        self._time = VirtualTime()
        self._numbers = count()
        # Every call is either awake, in its lane, or rests, the first to wake first.
        self._lanes: dict[Job, str] = {}
        self._rests: dict[Job, _Rest] = {}
        # By dispatch.
        self._works: dict[str, Job] = {}
        self._resting: list[_Rest] = []
        self._awake: Counter[str] = Counter()
        self._blocked_until_ms: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._lanes) + len(self._rests)

    def push(self, job: Job) -> None:
        """Hold a call; it is passed over until its `not_before_ms`."""
        self._works[job.call.work_id] = job
        if job.not_before_ms > 0:
            self._rests[job] = rest = (job.not_before_ms, next(self._numbers), job)
            insort(self._resting, rest)
        else:
            self._wake(job)

    def block_lane(self, model: str, until_ms: int) -> None:
        """Pass over the calls for this model until then, but for those to look at first; a past time unblocks."""
        self._blocked_until_ms[model] = until_ms
        for held in self._classes.values():
            held.queue.block(model)

    def next(self, now_ms: int) -> Job | None:
        """The call to begin now, still held; None if there is none or all rest or are blocked."""
        self._look(now_ms)
        best = min(self._open(), key=_Class.place, default=None)
        return None if best is None else best.queue.head()

    def ready(self, now_ms: int) -> int:
        """How many calls could begin now."""
        self._look(now_ms)
        return sum(calls for lane, calls in self._awake.items() if lane not in self._blocked_until_ms)

    def pop(self, now_ms: int) -> Job | None:
        """Take the call to begin now."""
        job = self.next(now_ms)
        if job is not None:
            self.take(job)
        return job

    def take(self, job: Job) -> bool:
        """Take a certain call to begin it, and charge its agent and priority; False if it is not held any more."""
        if job in self._rests:
            self._wake(self._unrest(job))
        if job not in self._lanes:
            return False
        self._observe()
        lowest = self._lowest
        self._time.take(job, self._time.lowest if lowest is None else lowest)
        served = self._classes[job.call.waiter.priority]
        served.tag += served.queue.take(job) * served.pace
        self._gone(job)
        return True

    def put_back(self, job: Job) -> None:
        """Hold a call again that was taken and not begun: it stands where it stood, and nobody is charged."""
        self._works[job.call.work_id] = job
        served = self._classes[job.call.waiter.priority]
        served.tag -= job.charged * served.pace
        self._time.put_back(job, served.tag)
        served.since = None
        for held in self._classes.values():
            held.since = None if held.since is None else min(held.since, self._time.now)
        self._wake(job, back=True)

    def remove(self, job: Job) -> None:
        """Take a call that is held, and will not be begun here or needs no budget: nobody is charged."""
        if job in self._rests:
            self._unrest(job)
            self._forget_work(job)
        else:
            self._classes[job.call.waiter.priority].queue.remove(job)
            self._gone(job)

    def correct(self, job: Job, used_tokens: int) -> None:
        """A call that was taken has used so much in all: charge or repay the difference to what it was charged with."""
        served = self._classes[job.call.waiter.priority]
        served.tag += served.queue.correct(job, used_tokens) * served.pace
        self._time.keep(job)

    def in_order(self, now_ms: int, limit: int | None = None, *, ready_only: bool = False) -> list[Job]:
        """The calls in the order in which they will be served if none comes or goes; those that rest are left out.

        Blocked calls are in it as if they were not, unless `ready_only`: then it is what `pop` would take.
        """
        self._look(now_ms)
        streams = [
            (tag, rank, held.pace, held.queue.in_order(ready_only=ready_only))
            for held in self._classes.values()
            for tag, rank in (held.place(self._time.now),)
        ]
        return list(islice(_in_virtual_time(streams), limit))

    def wakes_in_ms(self, now_ms: int) -> int | None:
        """How long until a resting or blocked call is worth a look, 0 if one is; None if there is no call at all."""
        if not len(self):
            return None
        if self.ready(now_ms):
            return 0
        ends = [self._blocked_until_ms[lane] for lane in self._awake] + [rest[0] for rest in self._resting[:1]]
        return min(ends) - now_ms

    def twin(self, job: Job) -> Job | None:
        """Another copy of the same dispatch that is held; None for a call without a flight."""
        return self._works.get(job.call.work_id) if job.call.flight else None

    def held(self) -> list[Job]:
        """All held calls, in no order."""
        return list(self._all())

    def take_expired(self, now_ms: int) -> list[Job]:
        """Take the calls whose deadline has passed; nobody is charged."""
        return self._taken([job for job in self._all() if job.deadline_ms <= now_ms])

    def take_all(self) -> list[Job]:
        """Take everything, for a worker that stops or lost its connection."""
        return self._taken(list(self._all()))

    def _all(self) -> Iterator[Job]:
        return chain(self._lanes, self._rests)

    def _taken(self, jobs: list[Job]) -> list[Job]:
        for job in jobs:
            self.remove(job)
        return jobs

    def _open(self) -> Iterator[_Class]:
        return (held for held in self._classes.values() if held.queue.open)

    def _look(self, now_ms: int) -> None:
        """Wake those that have rested, open the lanes that were blocked."""
        while self._resting and self._resting[0][0] <= now_ms:
            self._wake(self._unrest(self._resting[0][2]))
        for model in [model for model, until_ms in self._blocked_until_ms.items() if until_ms <= now_ms]:
            del self._blocked_until_ms[model]
            for held in self._classes.values():
                held.queue.unblock(model)
        self._observe()

    def _observe(self) -> None:
        """See which priorities are blocked, before virtual time passes."""
        for held in self._classes.values():
            if held.queue.open:
                held.tag, held.since = held.place(self._time.now)[0], None
            elif held.since is None:
                held.since = self._time.now

    @property
    def _lowest(self) -> int | None:
        """The lowest tag of the priorities that have calls to serve."""
        return min((held.place(self._time.now)[0] for held in self._open()), default=None)

    def _wake(self, job: Job, *, back: bool = False) -> None:
        held = self._classes[job.call.waiter.priority]
        if not back and not self._lanes:
            # Debts end when nothing waits.
            self._time.begin(max(each.tag for each in self._classes.values()))
        if not len(held.queue):
            held.tag, held.since = held.tag if back else max(held.tag, self._time.start(self._lowest)), None
        self._lanes[job] = lane = _LOOKS if job.look_first else job.hop.model
        self._awake[lane] += 1
        held.queue.push(job, lane, back=back)

    def _unrest(self, job: Job) -> Job:
        del self._resting[bisect_left(self._resting, self._rests.pop(job))]
        return job

    def _forget_work(self, job: Job) -> None:
        if self._works.get(job.call.work_id) is job:
            del self._works[job.call.work_id]

    def _gone(self, job: Job) -> None:
        self._forget_work(job)
        lane = self._lanes.pop(job)
        self._awake[lane] -= 1
        if not self._awake[lane]:
            del self._awake[lane]


def _in_virtual_time(streams: Iterable[_Stream]) -> Iterator[Job]:
    """The calls of some streams, always of the one with the lowest tag; each call moves it on by its cost."""
    heads = [(tag, rank, job, pace, calls) for tag, rank, pace, calls in streams for job in islice(calls, 1)]
    heapify(heads)
    while heads:
        tag, rank, job, pace, calls = heads[0]
        yield job
        following = next(calls, None)
        if following is None:
            heappop(heads)
        else:
            heapreplace(heads, (tag + max(1, job.cost) * pace, rank, following, pace, calls))
