"""What the mates of a worker say about Redis while this worker cannot reach it. No I/O.

A round is one question to all of them. Until the first round of an outage has ended nobody knows whether Redis is away
for all or for this worker alone; later rounds change what is known as soon as they have an answer.
"""

from collections.abc import Collection


class Opinions:
    """The rounds of questions of one outage after another."""

    def __init__(self) -> None:
        self._round = 0
        self._open: set[str] = set()
        # Whether a mate has Redis; None while nobody knows.
        self._others_have_it: bool | None = None

    @property
    def others_have_it(self) -> bool | None:
        """Whether Redis is there for a mate; None while that is not known."""
        return self._others_have_it

    def ask(self, mates: Collection[str]) -> int:
        """Begin a round; returns its number. With nobody to ask it has ended."""
        self._round += 1
        self._open = set(mates)
        if not self._open:
            self._others_have_it = False
        return self._round

    def hear(self, number: int, mate: str, *, has_redis: bool) -> None:
        """An answer; one to an earlier round says nothing any more."""
        if number != self._round or mate not in self._open:
            return
        if has_redis:
            self._open.clear()
            self._others_have_it = True
            return
        self._open.discard(mate)
        if not self._open:
            self._others_have_it = False

    def told(self) -> None:
        """Somebody who was not asked says that Redis is there."""
        self._open.clear()
        self._others_have_it = True

    def close(self, number: int) -> None:
        """The time of a round is over: who has not answered is taken for dead."""
        if number == self._round and self._open:
            self._open.clear()
            self._others_have_it = False

    def forget(self) -> None:
        """Redis is there again."""
        self._round += 1
        self._open.clear()
        self._others_have_it = None
