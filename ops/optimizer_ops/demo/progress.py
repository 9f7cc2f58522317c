"""Showing how the run goes: a live table in a terminal, a plain line now and then elsewhere."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live

from optimizer_ops.demo.screen import View, plain_line, screen

REFRESH_S = 0.25
LINE_EVERY_S = 5.0


class Progress:
    """Use it as a context manager around the run; `look` reads the logs and returns what is to be seen."""

    def __init__(self, console: Console, look: Callable[[], View]) -> None:
        self._console = console
        self._look = look
        moving = console.is_terminal and not console.is_dumb_terminal
        self._live = Live(console=console, auto_refresh=False) if moving else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.show()
        if self._live is not None:
            self._live.stop()

    def show(self) -> View:
        """Show the present state."""
        view = self._look()
        if self._live is not None:
            size = self._console.size
            self._live.update(screen(view, size.width, size.height), refresh=True)
        return view

    async def keep_showing(self) -> None:
        """Show the state again and again, until cancelled."""
        next_line_s = LINE_EVERY_S
        while True:
            view = self.show()
            if self._live is None and view.elapsed_s >= next_line_s:
                self._console.print(plain_line(view), soft_wrap=True, highlight=False)
                next_line_s += LINE_EVERY_S
            await asyncio.sleep(REFRESH_S)
