"""Which of a source's numbered events have arrived: tells repeated ones from late ones, and counts the lost. Pure."""

from dataclasses import dataclass, field

# What is missing for longer does not come any more; until then a neighbour may have overtaken it.
LATE_S = 60.0
# A queue that overflows drops every now and then one: what is remembered of it must not grow without end.
MOST_GAPS = 500


@dataclass(slots=True)
class Gap:
    """Numbers from `first` to `last` that are missing since a moment; `counted` if they count as lost by now."""

    first: int
    last: int
    since: float
    counted: bool = False

    def __len__(self) -> int:
        """How many numbers."""
        return self.last - self.first + 1


@dataclass(slots=True)
class Numbers:
    """What has arrived of one source. Its first number is the lowest that was heard: nobody listened before."""

    first: int = 0
    last: int = 0
    received: int = 0
    lost: int = 0
    gaps: list[Gap] = field(default_factory=list)

    def take(self, number: int, at: float) -> bool:
        """Note that a number arrived; False if it had before."""
        if not self.received:
            self.first = self.last = number
        elif number > self.last:
            self._miss(self.last + 1, number - 1, at)
            self.last = number
        elif number < self.first:
            self._miss(number + 1, self.first - 1, at)
            self.first = number
        elif not self._fill(number):
            return False
        self.received += 1
        return True

    def settle(self, at: float) -> int:
        """Count what has been missing for too long; returns how many that are more than before."""
        before = self.lost
        for gap in self.gaps:
            if not gap.counted and at - gap.since >= LATE_S:
                gap.counted = True
                self.lost += len(gap)
        return self.lost - before

    @property
    def unsettled(self) -> bool:
        """Whether something is missing that may still come."""
        return any(not gap.counted for gap in self.gaps)

    def _miss(self, first: int, last: int, at: float) -> None:
        if first > last:
            return
        self.gaps.append(Gap(first, last, at))
        if len(self.gaps) > MOST_GAPS:
            oldest = self.gaps.pop(0)
            self.lost += 0 if oldest.counted else len(oldest)

    def _fill(self, number: int) -> bool:
        for at, gap in enumerate(self.gaps):
            if gap.first <= number <= gap.last:
                self.lost -= int(gap.counted)
                parts = (
                    Gap(gap.first, number - 1, gap.since, gap.counted),
                    Gap(number + 1, gap.last, gap.since, gap.counted),
                )
                self.gaps[at : at + 1] = [part for part in parts if len(part)]
                return True
        return False
