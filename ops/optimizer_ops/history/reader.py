"""Reads the history. Blocking, with one connection a question: call it from a thread in an asyncio process."""

from collections.abc import Sequence
from typing import Self

from optimizer_ops.history.views import (
    AgentProfile,
    AlertRow,
    CallRow,
    Dimension,
    Happening,
    Point,
    Recording,
    RequestRow,
    Share,
    Totals,
    Trace,
)


class HistoryUnavailable(Exception):
    """The history cannot be read; the message says why and what to do."""


class History:
    """The history of one deployment. Every method raises `HistoryUnavailable`."""

    @classmethod
    def open(cls, url: str) -> Self:
        """Open the history for reading.

        :raises HistoryUnavailable: if there is none yet, or its tables are of another version.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the database."""
        raise NotImplementedError

    def totals(self, since: float, until: float | None = None, **where: str) -> Totals:
        """Sums over a span, of some dimension's value (`agent="quality"`, `backend="groq"`, …)."""
        raise NotImplementedError

    def shares(self, by: Dimension, since: float, until: float | None = None, **where: str) -> list[Share]:
        """Sums by a dimension, the most costly first, then the most calls."""
        raise NotImplementedError

    def timeline(self, since: float, until: float | None = None, *, step_s: float, **where: str) -> list[Point]:
        """Sums by step, oldest first, steps without any request too."""
        raise NotImplementedError

    def agents(self, since: float) -> list[AgentProfile]:
        """Every agent ever seen, the one seen last first; sums since then."""
        raise NotImplementedError

    def requests(  # noqa: D102
        self,
        since: float,
        until: float | None = None,
        *,
        limit: int = 50,
        before: str | None = None,
        slowest: bool = False,
        failed: bool = False,
        **where: str,
    ) -> list[RequestRow]:
        raise NotImplementedError

    def calls(self, since: float, until: float | None = None, *, limit: int = 50, **where: str) -> list[CallRow]:
        """Upstream calls, the newest first."""
        raise NotImplementedError

    def trace(self, request_id: str) -> Trace | None:
        """One request's whole way, by its id or the beginning of it; None if it is not known."""
        raise NotImplementedError

    def happenings(self, since: float, *, types: Sequence[str] = (), limit: int = 100, **where: str) -> list[Happening]:
        """Other events, the newest first."""
        raise NotImplementedError

    def recording(self) -> Recording | None:
        """How the recorder does; None if there was never one."""
        raise NotImplementedError

    def alerts(self, since: float, *, open_only: bool = False) -> list[AlertRow]:
        """What is or was wrong: what lasts first, then the latest."""
        raise NotImplementedError
