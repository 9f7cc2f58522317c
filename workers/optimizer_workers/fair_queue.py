"""The calls of one priority, shared fairly among the agents that they are for. Pure.

Eligible by fairness, then by deadline: each agent has a tag, the virtual time up to which it has been served. The
virtual time of the queue is the lowest tag of the agents that have calls to serve. Whose tag is not more than a slack
ahead of it is eligible, and of all calls of the eligible the one with the earliest deadline is served; the tag of its
agent grows by the call's tokens divided by the agent's weight. An agent that comes (back) starts at the virtual time of
the queue, or at its own old tag if that is later: idleness earns nothing, and a debt is not forgotten by leaving.
`scheduler.py` says what this promises.

The slack lets equal agents that ask at random be served by deadline over all. It is counted in usual calls, so that it
means the same whatever calls cost and weights are: what a call of this priority cost of late, in virtual time.

A lane is a set of calls that may be blocked together. Virtual time does not pass for an agent whose calls are all
blocked: when a lane opens again, its agents go on where they were, relative to the others and to each other.

Virtual time is counted in whole numbers, so that what is given back is exactly what was charged.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush, heapreplace, merge
from itertools import count
from operator import itemgetter

from optimizer_workers.job import Job

Agent = tuple[str, str]
Weight = Callable[[Agent], float]

# Equal agents that ask at random are some calls apart: of four calls each, two standard deviations are four calls. Much
# more would let everybody else go ahead of who comes new with a late deadline, so many calls each.
SLACK_CALLS = 4
# The usual cost is the mean of about so many calls: one large call is not usual, a change of work soon is.
USUAL_OF = 32
# Agents without calls that are remembered, at most; the same of calls that were taken.
REMEMBERED = 10_000
# Virtual time of one token at the weight 1.
_TOKEN = 1 << 32

# Deadline, held since, a number that makes it unique; the job.
_Entry = tuple[int, int, int, Job]


class _Flow:
    """An agent: its tag, its turn among equal tags, its calls by lane; `seen`: the virtual time of the last change."""

    __slots__ = ("agent", "lanes", "place", "seen", "tag", "turn")

    def __init__(self, agent: Agent, tag: int, now: int, turn: int) -> None:
        self.agent = agent
        self.tag = tag
        self.seen = now
        self.turn = turn
        self.lanes: dict[str, list[_Entry]] = {}
        self.place: _Place = (tag, turn, self)


_Place = tuple[int, int, _Flow]


class _Lane:
    """The flows that have calls in a lane, lowest tag first; the earliest calls there of those that are eligible."""

    __slots__ = ("due", "places")

    def __init__(self) -> None:
        self.places: list[_Place] = []
        self.due: list[tuple[_Entry, _Flow]] = []


class _Walk:
    """A flow on the way through the calls that it will be served."""

    __slots__ = ("calls", "entry", "flow", "tag")

    def __init__(self, flow: _Flow, tag: int, calls: Iterator[_Entry]) -> None:
        self.flow = flow
        self.tag = tag
        self.calls = calls
        self.entry = next(calls, None)


class VirtualTime:
    """Passes as calls are taken, up to the lowest tag at that moment; goes back when they are put back."""

    def __init__(self) -> None:
        self.now = self.lowest = self._sure = 0
        # For each call that was taken and may be put back: virtual time before it, and what it was raised to by it.
        self._taken: dict[Job, tuple[int, int]] = {}

    def take(self, job: Job, lowest: int) -> None:
        """A call is taken while this is the lowest tag."""
        self._taken[job] = (self.now, lowest)
        self.lowest = lowest
        self.now = max(self.now, lowest)
        if len(self._taken) > REMEMBERED:
            self.keep(next(iter(self._taken)))

    def keep(self, job: Job) -> None:
        """A call that was taken will not be put back."""
        self.reach(self._taken.pop(job, (0, 0))[1])

    def put_back(self, job: Job, tag: int) -> None:
        """A call was not served: whoever has this tag again had it all the time, when others were taken, too."""
        before, _ = self._taken.pop(job, (self.now, 0))
        most = max(before, tag)
        if self.now > most:
            self._taken = {other: (min(was, most), min(raised, most)) for other, (was, raised) in self._taken.items()}
        self.now = max(self._sure, max((raised for _, raised in self._taken.values()), default=0))

    def begin(self, time: int) -> None:
        """Nothing is held any more: all begin together, at this time or later."""
        self.reach(time)
        self.lowest = self.now

    def reach(self, time: int) -> None:
        """It is at least this late."""
        self._sure = max(self._sure, time)
        self.now = max(self.now, time)

    def start(self, lowest: int | None) -> int:
        """Where newcomers start, this being the lowest tag now: a call under way is charged with an estimate, which
        is no reason to be behind its agent; so there is one less when a call is taken than when one comes.
        """
        return self.lowest if lowest is None else min(self.lowest, lowest)


class FairQueue:
    """Calls of one priority. `weight` tells how much of the service an agent is due, relative to others."""

    def __init__(self, weight: Weight) -> None:
        self._weight = weight
        self._numbers = count(1)
        self._time = VirtualTime()
        self._usual = 0.0
        self._learned = 0
        self._held: dict[Job, tuple[_Flow, str, _Entry]] = {}
        # The numbers of calls that were taken and may be put back.
        self._taken: dict[Job, int] = {}
        self._flows: dict[Agent, _Flow] = {}
        # Flows without calls, lowest tag first.
        self._idle: list[_Place] = []
        self._lanes: dict[str, _Lane] = {}
        # Up to which tag flows are eligible, as of the last look.
        self._latest = 0
        # Blocked lanes, and the virtual time at which they were blocked.
        self._blocked: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._held)

    @property
    def open(self) -> bool:
        """Whether it holds a call that is not blocked."""
        return not self._lanes.keys() <= self._blocked.keys()

    @property
    def slack(self) -> float:
        """How many tokens an agent of the weight 1 may be ahead of the one that is furthest behind, and be served."""
        return self._slack / _TOKEN

    def push(self, job: Job, lane: str, *, back: bool = False) -> None:
        """Hold a call; `back`: one that was taken and not served, so that its agent stands where it stood."""
        if not back and not self._held:
            self._forget_all()
        flow = self._flow(job)
        tag = flow.tag
        self._unplace(flow)
        if back:
            # Had it not been taken, its agent would have had a call to serve all the time.
            flow.tag = tag
            self._charge(flow, job, -job.charged)
            self._go_back(flow, job)
        elif not flow.lanes:
            flow.tag = max(flow.tag, self._time.start(self._lowest))
        self._usual = self._usual or self._virtual(flow, max(1, job.cost))
        number = self._taken.pop(job, 0) if back else 0
        entry = (job.deadline_ms, job.held_since_ms, number or next(self._numbers), job)
        insort(flow.lanes.setdefault(lane, []), entry)
        self._held[job] = (flow, lane, entry)
        self._place(flow)

    def head(self) -> Job | None:
        """The call to serve next."""
        lowest = self._lowest
        if lowest is None:
            return None
        self._admit(lowest + self._slack)
        lanes = (held for lane, held in self._lanes.items() if lane not in self._blocked and held.due)
        return min(held.due[0] for held in lanes)[0][3]

    def take(self, job: Job) -> int:
        """Take a call that is held in order to serve it; returns the tokens that its agent is charged with."""
        lowest = self._lowest
        self._time.take(job, self._time.lowest if lowest is None else lowest)
        self._taken[job] = self._held[job][2][2]
        tokens = max(1, job.cost)
        self._drop(job, tokens)
        return tokens

    def remove(self, job: Job) -> None:
        """Take a call that is held and will not be served here."""
        self._drop(job, 0)

    def correct(self, job: Job, used_tokens: int) -> int:
        """A call that was taken has used so much; returns what its agent is charged more, or (negative) repaid."""
        self._time.keep(job)
        self._taken.pop(job, None)
        more = used_tokens - job.charged
        flow = self._flow(job)
        self._unplace(flow)
        self._charge(flow, job, more)
        self._place(flow)
        self._forget()
        if used_tokens > 0:
            self._learned = min(self._learned + 1, USUAL_OF)
            self._usual += (self._virtual(flow, used_tokens) - self._usual) / self._learned
        return more

    def block(self, lane: str) -> None:
        """Serve no call of this lane."""
        self._blocked.setdefault(lane, self._time.now)

    def unblock(self, lane: str) -> None:
        """Serve calls of this lane again."""
        if self._blocked.get(lane, self._time.now) != self._time.now and lane in self._lanes:
            for _tag, _turn, flow in list(self._lanes[lane].places):
                self._unplace(flow)
                self._place(flow)
        self._blocked.pop(lane, None)

    def in_order(self, *, ready_only: bool) -> Iterator[Job]:
        """The calls as they will be served if none comes; with `ready_only` the blocked ones are left out."""
        slack, due = self._slack, list[tuple[_Entry, _Walk]]()
        ahead = [(walk.tag, walk.flow.turn, walk) for walk in self._walks(ready_only=ready_only)]
        heapify(ahead)
        lowest = list(ahead)
        while lowest:
            tag, turn, walk = lowest[0]
            if walk.entry is None:
                heappop(lowest)
            elif walk.tag > tag:
                heapreplace(lowest, (walk.tag, turn, walk))
            else:
                while ahead and ahead[0][0] <= tag + slack:
                    eligible = heappop(ahead)[2]
                    if eligible.entry is not None:
                        heappush(due, (eligible.entry, eligible))
                entry, served = heappop(due)
                yield entry[3]
                served.tag += self._virtual(served.flow, max(1, entry[3].cost))
                served.entry = next(served.calls, None)
                heappush(ahead, (served.tag, served.flow.turn, served))

    def _go_back(self, flow: _Flow, job: Job) -> None:
        """Virtual time has not passed; what was blocked meanwhile was blocked before it did."""
        self._time.put_back(job, flow.tag)
        flow.seen = now = self._time.now
        self._blocked = {lane: min(since, now) for lane, since in self._blocked.items()}

    def _walks(self, *, ready_only: bool) -> Iterator[_Walk]:
        for flow in self._flows.values():
            lanes = [entries for lane, entries in flow.lanes.items() if not (ready_only and lane in self._blocked)]
            if lanes:
                yield _Walk(flow, self._settled(flow), iter(lanes[0]) if len(lanes) == 1 else merge(*lanes))

    @property
    def _slack(self) -> int:
        return int(SLACK_CALLS * self._usual)

    @property
    def _lowest(self) -> int | None:
        """The lowest tag of those that have calls to serve."""
        tags = (held.places[0][0] for lane, held in self._lanes.items() if lane not in self._blocked)
        return min(tags, default=None)

    def _flow(self, job: Job) -> _Flow:
        """Its agent. If that was forgotten, the call alone knows what its debt was."""
        agent = agent_of(job)
        if agent not in self._flows:
            tag = job.finish if job.charged else self._time.start(self._lowest)
            self._flows[agent] = _Flow(agent, int(tag), self._time.now, next(self._numbers))
        return self._flows[agent]

    def _admit(self, latest: int) -> None:
        """Flows are eligible up to this tag."""
        low, high = sorted((self._latest, latest))
        for lane, held in self._lanes.items():
            first, last = (bisect_right(held.places, tag, key=itemgetter(0)) for tag in (low, high))
            for _tag, _turn, flow in held.places[first:last]:
                due = (flow.lanes[lane][0], flow)
                if latest == high:
                    insort(held.due, due)
                else:
                    del held.due[bisect_left(held.due, due)]
        self._latest = latest

    def _settled(self, flow: _Flow) -> int:
        """Its tag now: for as long as all its calls were blocked, virtual time did not pass for it."""
        since = flow.seen
        for lane in flow.lanes:
            if lane not in self._blocked:
                return flow.tag
            since = max(since, self._blocked[lane])
        return flow.tag + max(0, self._time.now - since) if flow.lanes else flow.tag

    def _unplace(self, flow: _Flow) -> None:
        """Out of the sorted lists, before anything of it changes."""
        flow.tag, flow.seen = self._settled(flow), self._time.now
        for lane, entries in flow.lanes.items():
            held = self._lanes[lane]
            del held.places[bisect_left(held.places, flow.place)]
            if flow.place[0] <= self._latest:
                del held.due[bisect_left(held.due, (entries[0], flow))]
            if not held.places:
                del self._lanes[lane]
        if not flow.lanes:
            at = bisect_left(self._idle, flow.place)
            if at < len(self._idle) and self._idle[at][2] is flow:
                del self._idle[at]

    def _place(self, flow: _Flow) -> None:
        flow.place = (flow.tag, flow.turn, flow)
        for lane, entries in flow.lanes.items():
            held = self._lanes.setdefault(lane, _Lane())
            insort(held.places, flow.place)
            if flow.tag <= self._latest:
                insort(held.due, (entries[0], flow))
        if not flow.lanes:
            insort(self._idle, flow.place)

    def _drop(self, job: Job, tokens: int) -> None:
        flow, lane, entry = self._held.pop(job)
        self._unplace(flow)
        entries = flow.lanes[lane]
        del entries[bisect_left(entries, entry)]
        if not entries:
            del flow.lanes[lane]
        if tokens:
            self._charge(flow, job, tokens)
        self._place(flow)
        self._forget()

    def _charge(self, flow: _Flow, job: Job, tokens: int) -> None:
        flow.tag += self._virtual(flow, tokens)
        job.charged += tokens
        job.finish = flow.tag

    def _virtual(self, flow: _Flow, tokens: int) -> int:
        return round(tokens * _TOKEN / self._weight(flow.agent))

    def _forget(self, most: int | None = None) -> None:
        """The smallest debts, if there are too many; those that virtual time has passed are the first of them."""
        passed = max(0, len(self._idle) - (REMEMBERED if most is None else most))
        for place in self._idle[:passed]:
            del self._flows[place[2].agent]
        del self._idle[:passed]
        if len(self._taken) > REMEMBERED:
            del self._taken[next(iter(self._taken))]

    def _forget_all(self) -> None:
        """Debts end when nothing is held any more."""
        if self._idle:
            self._time.begin(self._idle[-1][0])
            self._forget(0)


def agent_of(job: Job) -> Agent:
    """Whom a call is for: names of agents are unique within a tenant."""
    return job.call.waiter.tenant, job.call.waiter.agent
