"""What was published on one connection and not confirmed yet: when the broker's silence means that it is gone. Pure.

A confirm takes milliseconds. How long to wait for one is a question of what may still be saved: a quarter of the time
that the request has left, at least 2 s and at most 10 s, and longer for what is large. Every confirm begins the time
anew, so that a broker that is only slow keeps its connection; heartbeats would take longer, and they say nothing of a
network that loses one direction. Times are seconds of the client's own monotonic clock.
"""

SHORTEST_S = 2.0
LONGEST_S = 10.0
SLOWEST_BYTES_PER_S = 16 * 1024


class Confirms:
    """The unconfirmed messages of one connection by their delivery tags, in ascending order."""

    def __init__(self) -> None:
        self._unconfirmed: dict[int, tuple[str, int]] = {}
        self._bytes = 0
        self._patience_s = LONGEST_S
        self._stalls_at = 0.0

    def published(self, tag: int, request_id: str, size: int, left_s: float, now: float) -> None:
        """Wait for the confirm of a message of `size` bytes, whose request has `left_s` seconds left."""
        patience_s = min(max(left_s / 4, SHORTEST_S), LONGEST_S)
        self._bytes += size
        stalls_at = now + patience_s + self._bytes / SLOWEST_BYTES_PER_S
        if self._unconfirmed:
            self._patience_s = min(self._patience_s, patience_s)
            self._stalls_at = min(self._stalls_at, stalls_at)
        else:
            self._patience_s, self._stalls_at = patience_s, stalls_at
        self._unconfirmed[tag] = (request_id, size)

    def told(self, tag: int, now: float, *, multiple: bool = False) -> list[str]:
        """Take the requests that the broker has spoken of: the one with this tag, or all up to it."""
        tags = [each for each in self._unconfirmed if each <= tag] if multiple else [tag]
        taken = [self._unconfirmed.pop(each) for each in tags if each in self._unconfirmed]
        self._bytes -= sum(size for _, size in taken)
        self.begin_anew(now)
        return [request_id for request_id, _ in taken]

    def take_all(self) -> list[str]:
        """Take all requests; nothing is waited for any more."""
        taken = [request_id for request_id, _ in self._unconfirmed.values()]
        self._unconfirmed.clear()
        self._bytes = 0
        return taken

    def begin_anew(self, now: float) -> None:
        """Count the broker's silence from now on: it has just spoken."""
        self._stalls_at = now + self._patience_s + self._bytes / SLOWEST_BYTES_PER_S

    def stalls_at(self) -> float | None:
        """When the broker will have kept silent for too long; None if nothing is unconfirmed."""
        return self._stalls_at if self._unconfirmed else None
