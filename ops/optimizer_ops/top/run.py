"""Looks and listens, and draws every second until q or Ctrl-C."""

import asyncio
import sys
import time

from rich.console import Console
from rich.live import Live as Screen

from optimizer_config.model import Config
from optimizer_ops.live.live import Live
from optimizer_ops.live.status import LiveStatus
from optimizer_ops.terminal.output import print_json
from optimizer_ops.top.keyboard import keys
from optimizer_ops.top.listener import Listener
from optimizer_ops.top.screen import View, screen
from optimizer_ops.top.tally import Tally
from optimizer_service.exit_codes import EXIT_NOT_PERMITTED
from optimizer_service.lifetime import first_of, stop_on_signals
from optimizer_wire.broker_errors import NotPermitted
from optimizer_wire.cancellation import set_within

INTERVAL_S = 1.0


async def top(config: Config, *, as_json: bool) -> int:
    """Show the fleet at work until somebody has seen enough; returns the exit code."""
    stop, console = stop_on_signals(), Console(highlight=False)
    tally = Tally(time.monotonic)
    listener = Listener(config.amqp_url, config.prefix, tally.add)
    async with Live(config) as live:
        watch = _Watch(live)
        tasks = [asyncio.ensure_future(listener.listen()), asyncio.ensure_future(watch.look())]
        for task in tasks:
            task.add_done_callback(lambda _: stop.set())
        try:
            if as_json or not console.is_terminal:
                await _print(tally, listener, watch, stop)
            else:
                await _draw(console, tally, listener, watch, stop)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
    refused = next((end for end in ends if isinstance(end, NotPermitted)), None)
    if refused is not None:
        print(f"optimizer: {refused}", file=sys.stderr)
        return EXIT_NOT_PERMITTED
    fault = next((end for end in ends if isinstance(end, Exception)), None)
    if fault is not None:
        raise fault
    return 0


class _Watch:
    """The last look at the fleet; one look may take longer than a picture."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self.status: LiveStatus | None = None
        self.looked = asyncio.Event()

    async def look(self) -> None:
        """Look again and again."""
        while True:
            self.status = await self._live.look()
            self.looked.set()
            await asyncio.sleep(INTERVAL_S)


def _view(tally: Tally, listener: Listener, watch: _Watch) -> View:
    return View(
        now=time.time(),
        live=watch.status,
        fleet=tally.all(),
        agents=tally.by_agent(),
        backends=tally.by_backend(),
        latest=tally.latest,
        silence=listener.silence,
    )


async def _draw(console: Console, tally: Tally, listener: Listener, watch: _Watch, stop: asyncio.Event) -> None:
    def pressed(key: str) -> None:
        if key in "qQ":
            stop.set()

    with keys(pressed), Screen(console=console, auto_refresh=False, screen=True) as drawn:
        while not stop.is_set():
            view = _view(tally, listener, watch)
            drawn.update(screen(view, console.width, console.height), refresh=True)
            await set_within(stop, INTERVAL_S)


async def _print(tally: Tally, listener: Listener, watch: _Watch, stop: asyncio.Event) -> None:
    """A JSON object a second, from the first look on."""
    await first_of(stop, watch.looked)
    while not stop.is_set():
        view = _view(tally, listener, watch)
        shown = {
            "at": view.now,
            "fleet": view.fleet,
            "agents": view.agents,
            "rates": view.backends,
            "backends": view.live.backends if view.live else [],
            "problems": view.live.problems if view.live else [],
            "silence": view.silence,
        }
        print_json(shown)
        await set_within(stop, INTERVAL_S)
