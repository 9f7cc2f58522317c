"""`optimizer` with a wall clock that is wrong: `python -m tests.support.skewed 3600 worker alpha`, an hour ahead.

`0,4:3600,8:-3600` is right at first, jumps an hour ahead after four seconds, and two hours back after eight. Only
`time.time` and its kin of this one process lie; monotonic clocks, and the clocks of servers, do not.
"""

import sys
import time


def steps_of(written: str) -> list[tuple[float, float]]:
    """How far the clock is ahead, from when on: (after so many seconds, seconds ahead), in order."""
    steps = [word.rpartition(":") for word in written.split(",")]
    return sorted((float(after or 0), float(ahead)) for after, _, ahead in steps)


def main() -> None:
    """Bend the clock before anything else is imported, then be `optimizer`."""
    steps = steps_of(sys.argv.pop(1))
    true_s, true_ns, begun = time.time, time.time_ns, time.monotonic()

    def ahead_s() -> float:
        passed = time.monotonic() - begun
        return next(ahead for after, ahead in reversed(steps) if after <= passed)

    time.time = lambda: true_s() + ahead_s()
    time.time_ns = lambda: true_ns() + int(ahead_s() * 1e9)

    from optimizer_ops.entry import main as optimizer

    optimizer()


if __name__ == "__main__":
    main()
