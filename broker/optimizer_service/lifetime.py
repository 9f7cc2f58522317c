"""The life of a process: run until SIGTERM or SIGINT, keep a session with RabbitMQ, and leave with a telling code."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from optimizer_service.exit_codes import EXIT_CONFIG, EXIT_NOT_PERMITTED
from optimizer_service.logs import Logger, logger
from optimizer_service.metrics import SESSIONS_LOST
from optimizer_wire.backoff import backoff_s
from optimizer_wire.broker_errors import BrokerUnavailable, NotPermitted, TopologyDiffers
from optimizer_wire.cancellation import set_within
from optimizer_wire.session import Session

# The longest pause between two attempts to connect. Together with the longest attempt it is less than the 15 s within
# which everything is to go on when RabbitMQ is back.
LONGEST_PAUSE_S = 5.0
# A session that lasted for less was none: a broker that accepts and refuses again is not to be asked without a pause.
LASTING_S = 5.0

try:
    import uvloop
except ImportError:  # not built for this platform; the standard loop does the same, slower
    _loop_factory = None
else:
    _loop_factory = uvloop.new_event_loop


# So many more objects than are gone, and the young are looked through for rings; by default 700, which is a few calls.
YOUNG_OBJECTS = 10_000


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run a process to its end; returns its exit code."""
    # What is imported stays: each look through all that is old would take longer than a hundred calls.
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    with asyncio.Runner(loop_factory=_loop_factory) as runner:
        return runner.run(main)


def stop_on_signals() -> asyncio.Event:
    """An event that is set when the process is asked to stop (SIGTERM, SIGINT)."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def keep_session(
    url: str,
    name: str,
    serve: Callable[[Session], Awaitable[None]],
    stop: asyncio.Event,
    log: Logger,
) -> None:
    """Serve on one session after another, with full jitter between attempts, until asked to stop.

    `serve` returns when the session is lost or when it has drained; `BrokerUnavailable` from it means lost.

    :raises TopologyDiffers: if something on the broker must be changed first.
    :raises NotPermitted: if the broker refuses something to this user.
    """
    attempt = 0
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        began = loop.time()
        try:
            async with await Session.open(url, name) as session:
                began = loop.time()
                await _served(serve, session)
                if not stop.is_set():
                    SESSIONS_LOST.inc()
                    log.warning("connection lost", to="rabbitmq")
            lasted = loop.time() - began >= LASTING_S
        except NotPermitted:
            raise
        except BrokerUnavailable as error:
            SESSIONS_LOST.inc()
            log.warning("rabbitmq unavailable", connection=name, reason=str(error), attempt=attempt)
            lasted = False
        if stop.is_set():
            return
        attempt = 0 if lasted else attempt
        await set_within(stop, backoff_s(attempt, cap_s=LONGEST_PAUSE_S))
        attempt += 1


async def _served(serve: Callable[[Session], Awaitable[None]], session: Session) -> None:
    """Serve on a session; that the broker refused something is told before what came of it."""
    try:
        await serve(session)
    finally:
        if session.refused is not None:
            raise session.refused


def tell_blocked(log: Logger, why: str | None) -> None:
    """Log that RabbitMQ takes no messages, for a reason, or (None) does again."""
    if why:
        log.warning("rabbitmq takes no messages", reason=why)
    else:
        log.warning("rabbitmq takes messages again")


def what_to_do(error: TopologyDiffers | NotPermitted) -> str:
    """Why a process cannot work on this broker, and the ways out."""
    if isinstance(error, NotPermitted):
        return str(error)
    return f"{error} Delete that queue or exchange, or set OPTIMIZER_PREFIX to use other names."


def exit_code_of(error: TopologyDiffers | NotPermitted) -> int:
    """With which code a process leaves that cannot work on this broker."""
    return EXIT_NOT_PERMITTED if isinstance(error, NotPermitted) else EXIT_CONFIG


async def first_of(*events: asyncio.Event) -> None:
    """Wait until any of the events is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def every(interval_s: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do something again and again, until cancelled. A fault in it is logged, once for each kind, and does not end it:
    a worker whose heart stops beating in silence would be taken for dead.
    """
    failed = ""
    while True:
        try:
            await work()
            failed = ""
        except Exception as error:  # noqa: BLE001 - whatever it was, the next time may be better
            if failed != repr(error):
                failed = repr(error)
                logger("background").exception("background work failed", work=getattr(work, "__qualname__", ""))
        await asyncio.sleep(interval_s)
