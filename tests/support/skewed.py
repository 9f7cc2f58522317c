"""`optimizer` with a wall clock that is wrong: `python -m tests.support.skewed 3600 worker alpha`, an hour ahead.

Only `time.time` and its kin of this one process lie; monotonic clocks, and the clocks of servers, do not.
"""

import sys
import time


def main() -> None:
    """Bend the clock before anything else is imported, then be `optimizer`."""
    ahead_s = float(sys.argv.pop(1))
    true_s, true_ns = time.time, time.time_ns
    time.time = lambda: true_s() + ahead_s
    time.time_ns = lambda: true_ns() + int(ahead_s * 1e9)

    from optimizer_ops.entry import main as optimizer

    optimizer()


if __name__ == "__main__":
    main()
