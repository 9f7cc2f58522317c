"""Memory, file descriptors and threads of processes over time, and whether they grow."""

import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import psutil

MIB = 1024 * 1024
# A process warms up in the first third: pools fill, code is loaded, the allocator finds its size.
WARM_UP_SHARE = 1 / 3
# Growth over the judged part that is no leak: noise of the allocator, and a share of the whole for fuller buffers.
FLAT_MIB = 6.0
FLAT_SHARE = 0.08
# Connections to a backend stay open for a while after a burst.
FLAT_DESCRIPTORS = 40


@dataclass(frozen=True)
class Sample:
    """A process at one moment, `at` on CLOCK_MONOTONIC."""

    at: float
    rss_mib: float
    descriptors: int
    threads: int
    cpu_s: float


@dataclass
class Life:
    """The samples of one process. `judged`: it lived from beginning to end and must stay flat."""

    name: str
    judged: bool
    samples: list[Sample] = field(default_factory=list)

    @property
    def settled(self) -> list[Sample]:
        """The samples after the warm-up."""
        return self.samples[int(len(self.samples) * WARM_UP_SHARE) :]

    @property
    def mib_per_hour(self) -> float:
        """The slope of its memory after the warm-up."""
        return slope([(each.at, each.rss_mib) for each in self.settled]) * 3600

    @property
    def grown_mib(self) -> float:
        """What that slope makes of the time that was judged."""
        settled = self.settled
        return self.mib_per_hour / 3600 * (settled[-1].at - settled[0].at) if settled else 0.0

    @property
    def grown_descriptors(self) -> float:
        """How many more descriptors it has at the end than at the beginning of the judged part."""
        fifth = max(1, len(self.settled) // 5)
        ends = self.settled[:fifth], self.settled[-fifth:]
        first, last = (statistics.median(each.descriptors for each in part) for part in ends)
        return last - first

    def problems(self) -> list[str]:
        """What is wrong with it, in sentences; none if it is not judged."""
        if not self.judged:
            return []
        if len(self.settled) < 3:
            return [f"{self.name}: too few samples to judge"]
        found = []
        allowed = max(FLAT_MIB, FLAT_SHARE * statistics.median(each.rss_mib for each in self.settled))
        if self.grown_mib > allowed:
            found.append(
                f"{self.name}: its memory grows by {self.mib_per_hour:.1f} MiB an hour, "
                f"{self.grown_mib:.1f} MiB in the judged part; allowed are {allowed:.1f}"
            )
        if self.grown_descriptors > FLAT_DESCRIPTORS:
            found.append(f"{self.name}: {self.grown_descriptors:.0f} more file descriptors at the end")
        return found


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The Theil–Sen slope, the median of the slopes of all pairs: one outlier does not move it (Sen, JASA 63, 1968)."""
    thinned = points[:: max(1, len(points) // 200)]
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(thinned, 2) if x2 > x1]
    return statistics.median(slopes) if slopes else 0.0


class Vitals:
    """Samples processes by their pids; whoever is gone gets no more samples."""

    def __init__(self) -> None:
        self._lives: dict[int, Life] = {}

    def watch(self, name: str, pid: int, *, judged: bool = False) -> None:
        """Sample this process from now on."""
        self._lives[pid] = Life(f"{name} {pid}", judged)

    def sample(self) -> None:
        """Take one sample of each."""
        for pid, life in self._lives.items():
            try:
                process = psutil.Process(pid)
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                with process.oneshot():
                    times = process.cpu_times()
                    life.samples.append(
                        Sample(
                            time.monotonic(),
                            process.memory_info().rss / MIB,
                            process.num_fds(),
                            process.num_threads(),
                            times.user + times.system,
                        )
                    )
            except psutil.NoSuchProcess:
                continue

    def lives(self) -> list[Life]:
        """All that were seen at least once, the judged ones first."""
        return sorted((life for life in self._lives.values() if life.samples), key=lambda life: not life.judged)


def problems(lives: Iterable[Life]) -> list[str]:
    """What is wrong with any of them."""
    return [problem for life in lives for problem in life.problems()]


def rows(lives: Iterable[Life]) -> list[Mapping[str, object]]:
    """What a report says of each process."""
    return [
        {
            "process": life.name,
            "judged": life.judged,
            "samples": len(life.samples),
            "rss_mib_first": round(life.settled[0].rss_mib, 1),
            "rss_mib_last": round(life.settled[-1].rss_mib, 1),
            "rss_mib_peak": round(max(each.rss_mib for each in life.samples), 1),
            "mib_per_hour": round(life.mib_per_hour, 2),
            "descriptors": [life.settled[0].descriptors, life.settled[-1].descriptors],
            "threads": life.settled[-1].threads,
            "cpu_s": round(life.samples[-1].cpu_s, 1),
        }
        for life in lives
    ]
