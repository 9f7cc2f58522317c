"""One run, from the start of its processes to its result."""

import asyncio
import secrets
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from optimizer_ops.demo.backends import BACKENDS
from optimizer_ops.demo.bookkeeping import Books, read_books
from optimizer_ops.demo.deployment import COORDINATORS, Deployment
from optimizer_ops.demo.fleet import Fleet
from optimizer_ops.demo.listener import RunClock, listen
from optimizer_ops.demo.load import Ask, agent_names, make_load
from optimizer_ops.demo.picture import Picture
from optimizer_ops.demo.progress import Progress
from optimizer_ops.demo.request_log import BackendRecord, LogTail
from optimizer_ops.demo.result import Result, judge
from optimizer_ops.demo.score import Score
from optimizer_ops.demo.screen import View
from optimizer_ops.demo.staying import STRAY_AGENT, THROTTLED, stay
from optimizer_ops.demo.trouble import Trouble
from optimizer_ops.services import ServiceUrls
from optimizer_wire.cancellation import end

EXIT_INTERRUPTED = 130
T = TypeVar("T")


class Stopped(Exception):
    """Somebody wants the demo to stop."""


class Run:
    """A deployment of its own, a fleet, and what came of it.

    With `stays` it gets the result when there is one, and the fleet goes on asking until somebody stops it.
    """

    def __init__(
        self,
        urls: ServiceUrls,
        folder: Path,
        console: Console,
        picture: Picture,
        *,
        seconds: float,
        agents: int,
        stays: Callable[[Result], None] | None = None,
    ) -> None:
        self.prefix = f"demo-{secrets.token_hex(4)}"
        self.score = Score()
        self.result: Result | None = None
        self._urls = urls
        self._console = console
        self._picture = picture
        self._seconds = seconds
        self._agents = agents
        self._clock = RunClock()
        self._phase = "starting"
        self._deployment = Deployment(folder, urls, self.prefix, self._say)
        self._fleet = Fleet(agent_names(agents), urls.amqp_url, self.prefix, self.score)
        self._records = [BackendRecord(backend) for backend in BACKENDS]
        self._tails = [LogTail(self._deployment.log_of(record.backend), record) for record in self._records]
        self._troubles: list[str] = []
        self._interrupted = False
        self._stays = stays
        self._books: Books | None = None

    @property
    def reply_queues(self) -> list[str]:
        """The queues that the agents had declared."""
        return self._fleet.reply_queues

    async def go(self) -> int:
        """Run to the end, or until asked to stop, and set `result`; returns the exit code.

        In every case what was started has ended afterwards.

        :raises StartFailed, NotConnected, BrokerUnavailable: if it could not begin.
        """
        stop = _stop_on_signals()
        try:
            await self._work(stop)
        except Stopped:
            self._interrupted = self.result is None
        finally:
            self._say_plainly("Stopping the processes ...")
            await self._fleet.close()
            await self._deployment.stop()
        self.result = self.result or self._judged()
        return EXIT_INTERRUPTED if self._interrupted else 0 if self.result.ok else 1

    def _judged(self) -> Result:
        self._read_logs()
        return judge(
            self.score,
            self._records,
            prefix=self.prefix,
            seconds=self._seconds,
            agents=self._agents,
            books=self._books,
            troubles=self._troubles,
            interrupted=self._interrupted,
        )

    def view(self) -> View:
        """What is to be seen now."""
        self._read_logs()
        return View(
            phase=self._phase,
            elapsed_s=self._clock.now_s(),
            seconds=self._seconds,
            agents=self._agents,
            score=self.score,
            records=self._records,
            running_workers={b.name: self._deployment.running_workers(b.name) for b in BACKENDS},
            now=time.monotonic(),
        )

    async def _work(self, stop: asyncio.Event) -> None:
        workers = sum(backend.workers for backend in BACKENDS)
        self._say_plainly(
            f"Starting {len(BACKENDS)} simulated backends, {COORDINATORS} coordinators and {workers} workers ..."
        )
        urls = await _unless(stop, self._deployment.start())
        listening = asyncio.Event()
        hearing = asyncio.create_task(listen(self._urls.amqp_url, self.prefix, self.score, self._clock, listening))
        try:
            await _unless(stop, self._first_of(listening, hearing))
            await _unless(stop, self._fleet.connect())
            self._console.print(where_to_look(self._deployment), markup=False, soft_wrap=True)
            await self._show(stop, urls)
            self._read_logs()
            calls = sum(record.calls for record in self._records)
            self._books = await _unless(stop, read_books(self._deployment.history_url, calls))
            self.result = self._judged()
            if self._stays:
                self._stays(self.result)
                await _unless(stop, self._stay(urls))
        finally:
            await end((hearing,))

    async def _show(self, stop: asyncio.Event, urls: dict[str, str]) -> None:
        """The load, its troubles, and the picture of it."""
        load = make_load(self._seconds, self._agents)
        trouble = Trouble(self._deployment, urls, self.score, self._seconds, self._trouble)
        with Progress(self._console, self.view) as progress:
            beside = [asyncio.create_task(plan) for plan in (*trouble.plans(), progress.keep_showing())]
            try:
                await _unless(stop, self._play(load))
                self._phase = "done"
            except Stopped:
                self._phase = "stopped"
                raise
            finally:
                self._troubles = trouble.told
                await end(beside)

    async def _play(self, load: list[Ask]) -> None:
        began = self._clock.start()
        self._phase = "working"
        await self._fleet.play(load, began)
        await asyncio.sleep(max(0.0, began + self._seconds - time.monotonic()))
        self._picture.draw_screen(self.view())
        self._phase = "waiting for the last answers"
        await self._fleet.wait_for_answers()

    async def _stay(self, urls: dict[str, str]) -> None:
        self._say_plainly("The fleet goes on asking until Ctrl-C.")
        async with self._fleet.stranger(STRAY_AGENT) as stray:
            await stay(self._fleet, stray, urls[THROTTLED], self._agents, self._say_plainly)

    @staticmethod
    async def _first_of(listening: asyncio.Event, hearing: "asyncio.Task[None]") -> None:
        """Wait until the listener listens, or has failed."""
        ready = asyncio.create_task(listening.wait())
        await asyncio.wait((ready, hearing), return_when=asyncio.FIRST_COMPLETED)
        if hearing.done():
            await end((ready,))
            hearing.result()

    def _read_logs(self) -> None:
        for tail in self._tails:
            tail.read()

    def _say(self, what: str) -> None:
        self.score.feed.add(self._clock.now_s(), what)

    def _trouble(self, what: str) -> None:
        self.score.feed.add(self._clock.now_s(), what, "bold yellow")

    def _say_plainly(self, what: str) -> None:
        self._console.print(what, style="bright_black", markup=False)


def where_to_look(deployment: Deployment) -> str:
    """How to look at the run from elsewhere."""
    command = Path(sys.executable).with_name("optimizer")
    shown = command.relative_to(Path.cwd()) if command.is_relative_to(Path.cwd()) else command
    return (
        f"Look around meanwhile: {deployment.dashboard_url}, or in another terminal\n"
        f"  export OPTIMIZER_CONFIG={deployment.config}\n"
        f"  {shown} status    # or top, backends, agents, costs, calls, trace, alerts, dead list, doctor"
    )


def _stop_on_signals() -> asyncio.Event:
    """Set when the demo is asked to stop, or when its terminal is closed."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T:
    """Do the work to its end.

    :raises Stopped: if it is to stop before.
    """
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Stopped
        return working.result()
    finally:
        await end((working, stopping))
