"""What the history says of a run, to be held against the request logs of the backends."""

import asyncio
import time
from contextlib import suppress

import msgspec

from optimizer_ops.history.reader import History, HistoryUnavailable

SETTLED_S = 15.0
# The recorder writes four times a second: what is the same twice is all.
_LOOK_S = 0.6


class Books(msgspec.Struct, frozen=True):
    """Calls and tokens by the history; `unknown` calls died with their worker, `lost` events never arrived."""

    calls: int
    unknown: int
    input_tokens: int
    output_tokens: int
    lost: int

    @property
    def tokens(self) -> int:
        """All tokens."""
        return self.input_tokens + self.output_tokens

    def agree(self, calls: int, tokens: int) -> bool:
        """Whether they say what the logs say. Of a call that died nobody knows whether it arrived, and its use."""
        if abs(self.calls - calls) > self.unknown:
            return False
        return self.tokens == tokens or (self.unknown > 0 and self.tokens < tokens)


async def read_books(url: str, calls: int) -> Books | None:
    """The books, as soon as the recorder has written so many calls and nothing more comes; None if there are none.

    After 15 s they are taken as they are.
    """
    end, books = time.monotonic() + SETTLED_S, None
    while time.monotonic() < end:
        before = books
        with suppress(HistoryUnavailable):
            books = await asyncio.to_thread(_look, url)
        if books is not None and books == before and books.calls >= calls:
            break
        await asyncio.sleep(_LOOK_S)
    return books


def _look(url: str) -> Books | None:
    history = History.open(url)
    try:
        totals, recording = history.totals(0.0), history.recording()
    finally:
        history.close()
    if recording is None:
        return None
    return Books(totals.calls, totals.calls_unknown, totals.input_tokens, totals.output_tokens, recording.lost)
