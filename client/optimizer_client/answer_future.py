"""A future whose waiting may be interrupted."""

import threading
from concurrent.futures import Future
from typing import TypeVar

Answered = TypeVar("Answered")


class AnswerFuture(Future[Answered]):
    """What will be answered; `wait` gets it.

    `result` waits inside a condition, whose lock is taken by Python code: an interrupt (Ctrl-C) just then leaves it
    taken for ever, and the connection's thread stands still when it has the answer. `wait` waits for a plain lock.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pending = pending = threading.Lock()
        pending.acquire()
        self.add_done_callback(lambda _: pending.release())

    def wait(self, timeout_s: float) -> Answered:
        """The answer, or its error raised. For one thread at a time.

        :raises TimeoutError: if there is none within so many seconds.
        """
        if not self._pending.acquire(timeout=timeout_s):
            raise TimeoutError
        self._pending.release()
        return self.result(0)
