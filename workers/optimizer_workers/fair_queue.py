"""The calls of one priority, shared fairly among the agents that they are for. Pure.

Start-time fair queueing: each agent has a tag, the virtual time at which it is served next. The agent with the lowest
tag is served, with its earliest deadline, and its tag grows by the call's tokens divided by the agent's weight. The
virtual time of the queue is the tag that was served last. An agent that comes (back) starts there, or at its own old
tag if that is later: idleness earns nothing, and a debt is not forgotten by leaving. `scheduler.py` says what this
promises.

A lane is a set of calls that may be blocked together. Virtual time does not pass for an agent whose calls are all
blocked: when a lane opens again, its agents go on where they were, relative to the others and to each other.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heapreplace, merge
from itertools import count, islice
from operator import itemgetter

from optimizer_workers.job import Job

Agent = tuple[str, str]
Weight = Callable[[Agent], float]

# Agents without calls whose debt is remembered, at most.
REMEMBERED = 10_000

# Deadline, held since, a number that makes it unique; the job.
_Entry = tuple[int, int, int, Job]


# Who is served next at which virtual time, its turn among equals (unique), its weight, its calls in their order.
Stream = tuple[float, int, float, Iterator[Job]]


class _Flow:
    """An agent: its tag, its turn among equal tags, its calls by lane; `seen`: the virtual time of the last change."""

    __slots__ = ("agent", "lanes", "place", "seen", "tag", "turn")

    def __init__(self, agent: Agent, tag: float, turn: int) -> None:
        self.agent = agent
        self.tag = self.seen = tag
        self.turn = turn
        self.lanes: dict[str, list[_Entry]] = {}
        self.place: _Place = (tag, turn, self)


_Place = tuple[float, int, _Flow]


class FairQueue:
    """Calls of one priority. `weight` tells how much of the service an agent is due, relative to others."""

    def __init__(self, weight: Weight) -> None:
        self._weight = weight
        self._numbers = count(1)
        self._now = 0.0
        self._held: dict[Job, tuple[_Flow, str, _Entry]] = {}
        self._flows: dict[Agent, _Flow] = {}
        # Flows with calls, by lane, and those without whose tag is still to come; lowest tag first.
        self._lanes: dict[str, list[_Place]] = {}
        self._idle: list[_Place] = []
        # Blocked lanes, and the virtual time at which they were blocked.
        self._blocked: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._held)

    @property
    def open(self) -> bool:
        """Whether it holds a call that is not blocked."""
        return any(lane not in self._blocked for lane in self._lanes)

    def push(self, job: Job, lane: str, *, back: bool = False) -> None:
        """Hold a call; `back`: one that was taken and not served, so that its agent stands where it stood."""
        flow = self._flow(job, job.finish if back else self._now)
        self._unplace(flow)
        if back:
            self._charge(flow, job, -job.charged)
        entry = (job.deadline_ms, job.held_since_ms, next(self._numbers), job)
        insort(flow.lanes.setdefault(lane, []), entry)
        self._held[job] = (flow, lane, entry)
        self._place(flow)

    def head(self) -> Job | None:
        """The call to serve next."""
        first = self._first()
        if first is None:
            return None
        lanes = first[2].lanes.items()
        return min(entries[0] for lane, entries in lanes if lane not in self._blocked)[3]

    def take(self, job: Job) -> int:
        """Take a call that is held in order to serve it; returns the tokens that its agent is charged with."""
        first = self._first()
        if first is not None:
            self._now = max(self._now, first[0])
        tokens = max(1, job.cost)
        self._drop(job, tokens)
        return tokens

    def remove(self, job: Job) -> None:
        """Take a call that is held and will not be served here."""
        self._drop(job, 0)

    def correct(self, job: Job, used_tokens: int) -> int:
        """A call that was taken has used so much; returns what its agent is charged more, or (negative) repaid."""
        more = used_tokens - job.charged
        # If virtual time has passed the agent's debt, the call alone knows what it was.
        flow = self._flow(job, job.finish if job.charged else self._now)
        self._unplace(flow)
        self._charge(flow, job, more)
        self._place(flow)
        self._forget()
        return more

    def block(self, lane: str) -> None:
        """Serve no call of this lane."""
        self._blocked.setdefault(lane, self._now)

    def unblock(self, lane: str) -> None:
        """Serve calls of this lane again."""
        if self._blocked.get(lane, self._now) < self._now:
            for _tag, _turn, flow in list(self._lanes.get(lane, ())):
                self._unplace(flow)
                self._place(flow)
        self._blocked.pop(lane, None)

    def in_order(self, *, ready_only: bool) -> Iterator[Job]:
        """The calls as they will be served if none comes; with `ready_only` the blocked ones are left out."""
        streams: list[Stream] = []
        for flow in self._flows.values():
            lanes = [entries for lane, entries in flow.lanes.items() if not (ready_only and lane in self._blocked)]
            calls = (entry[3] for entry in (lanes[0] if len(lanes) == 1 else merge(*lanes)))
            streams.append((self._settled(flow), flow.turn, self._weight(flow.agent), calls))
        return in_virtual_time(streams)

    def _flow(self, job: Job, tag: float) -> _Flow:
        agent = agent_of(job)
        if agent not in self._flows:
            self._flows[agent] = _Flow(agent, tag, next(self._numbers))
        return self._flows[agent]

    def _first(self) -> _Place | None:
        return min((places[0] for lane, places in self._lanes.items() if lane not in self._blocked), default=None)

    def _settled(self, flow: _Flow) -> float:
        """Its tag now: for as long as all its calls were blocked, virtual time did not pass for it."""
        since = flow.seen
        for lane in flow.lanes:
            if lane not in self._blocked:
                return flow.tag
            since = max(since, self._blocked[lane])
        return flow.tag + self._now - since if flow.lanes else flow.tag

    def _unplace(self, flow: _Flow) -> None:
        """Out of the sorted lists, before anything of it changes."""
        flow.tag, flow.seen = self._settled(flow), self._now
        for lane in flow.lanes:
            places = self._lanes[lane]
            del places[bisect_left(places, flow.place)]
            if not places:
                del self._lanes[lane]
        if not flow.lanes:
            at = bisect_left(self._idle, flow.place)
            if at < len(self._idle) and self._idle[at][2] is flow:
                del self._idle[at]

    def _place(self, flow: _Flow) -> None:
        flow.place = (flow.tag, flow.turn, flow)
        for lane in flow.lanes:
            insort(self._lanes.setdefault(lane, []), flow.place)
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
        flow.tag += tokens / self._weight(flow.agent)
        job.charged += tokens
        job.finish = flow.tag

    def _forget(self) -> None:
        """The debts that virtual time has passed; all of them once nothing is held any more."""
        passed = bisect_left(self._idle, self._now, key=itemgetter(0))
        passed = max(passed, len(self._idle) - REMEMBERED)
        if not self._held and self._idle:
            self._now = max(self._now, self._idle[-1][0])
            passed = len(self._idle)
        for place in self._idle[:passed]:
            del self._flows[place[2].agent]
        del self._idle[:passed]


def in_virtual_time(streams: Iterable[Stream]) -> Iterator[Job]:
    """The calls of some streams in the order of start-time fair queueing."""
    heads = [(tag, turn, job, weight, calls) for tag, turn, weight, calls in streams for job in islice(calls, 1)]
    heapify(heads)
    while heads:
        tag, turn, job, weight, calls = heads[0]
        yield job
        following = next(calls, None)
        if following is None:
            heappop(heads)
        else:
            heapreplace(heads, (tag + max(1, job.cost) / weight, turn, following, weight, calls))


def agent_of(job: Job) -> Agent:
    """Whom a call is for: names of agents are unique within a tenant."""
    return job.call.waiter.tenant, job.call.waiter.agent
