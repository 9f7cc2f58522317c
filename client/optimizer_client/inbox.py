"""Work that any thread hands to the one that does it."""

import threading
from collections import deque
from collections.abc import Callable


class Inbox:
    """Work in the order in which it came. The thread is woken once for all that came since it looked."""

    def __init__(self) -> None:
        self._work: deque[Callable[[], None]] = deque()
        # Re-entrant: a garbage collection while it is held may end another client, which posts here.
        self._lock = threading.RLock()
        self._wake: Callable[[], None] | None = None
        self._woken = self._closed = False

    def wake_with(self, wake: Callable[[], None]) -> None:
        """How to wake the thread from now on; it must not wait."""
        with self._lock:
            self._wake, self._woken = wake, False

    def post(self, work: Callable[[], None]) -> bool:
        """Hand work over; False if the inbox is closed, and the work will not be done."""
        with self._lock:
            if self._closed:
                return False
            self._work.append(work)
            if not self._woken and self._wake is not None:
                # In this order: an interrupt (Ctrl-C) in between costs one wake too many, and not all that follow.
                self._wake()
                self._woken = True
        return True

    def run(self) -> None:
        """Do all that is there, in the thread that calls. What comes after a failing one stays for the next time."""
        with self._lock:
            self._woken = False
        while self._work:
            self._work.popleft()()

    def close(self) -> None:
        """Take nothing more; what is there can still be run."""
        with self._lock:
            self._closed = True
