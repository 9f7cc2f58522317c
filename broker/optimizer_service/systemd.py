"""Tells systemd how a process does: ready, what it waits for, stopping, and that it still works (the watchdog).

The protocol is sd_notify(3): one datagram to the socket that `NOTIFY_SOCKET` names. Without that variable nothing is
told, and nothing costs.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from optimizer_service.health import Readiness
from optimizer_wire.cancellation import set_within

LOOK_S = 1.0
# How many times within the time of the watchdog it is fed; systemd advises twice.
FEEDINGS = 3


@dataclass(slots=True)
class Notices:
    """What systemd is to be told, and when. No I/O.

    `watchdog_s` is the time after which systemd ends a process that did not feed the watchdog; None if there is none.
    """

    watchdog_s: float | None = None
    _ready: bool = False
    _stopping: bool = False
    _status: str = ""
    _fed_s: float | None = None

    def due(self, now: Readiness, *, flowing: bool, stopping: bool, at_s: float) -> list[str]:
        """The assignments to send now, for what is known at this second of a monotonic clock.

        `flowing`: messages come through, or it is known and told why they do not. Only then is the watchdog fed.
        """
        lines = []
        if not now.missing and not self._ready:
            self._ready = True
            lines.append("READY=1")
        if stopping and not self._stopping:
            self._stopping = True
            lines.append("STOPPING=1")
        if (status := _in_words(now, stopping=stopping)) != self._status:
            self._status = status
            lines.append(f"STATUS={status}")
        if self._hungry(at_s) and (flowing or stopping):
            self._fed_s = at_s
            lines.append("WATCHDOG=1")
        return lines

    def _hungry(self, at_s: float) -> bool:
        if self.watchdog_s is None:
            return False
        return self._fed_s is None or at_s - self._fed_s >= self.watchdog_s / FEEDINGS


def _in_words(now: Readiness, *, stopping: bool) -> str:
    if stopping:
        return "stopping: what has begun is finished"
    if now.missing:
        return "; ".join(f"{what}: {why}" for what, why in now.missing.items())
    return "; ".join(("working", *(f"{what} {why}" for what, why in now.degraded.items())))


def watchdog_s(environ: Mapping[str, str]) -> float | None:
    """The time of the watchdog in seconds, or None if systemd set none for this process."""
    if environ.get("WATCHDOG_PID") not in {None, str(os.getpid())}:
        return None
    with suppress(ValueError):
        return int(environ.get("WATCHDOG_USEC", "")) / 1_000_000 or None
    return None


async def keep_informed(
    readiness: Callable[[], Readiness],
    stop: asyncio.Event,
    *,
    flowing: Callable[[], bool] = lambda: True,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Keep systemd informed until cancelled; returns at once where no systemd listens."""
    environ = os.environ if environ is None else environ
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    notices = Notices(watchdog_s(environ))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as notify:
        while True:
            lines = notices.due(readiness(), flowing=flowing(), stopping=stop.is_set(), at_s=time.monotonic())
            if lines:
                # Whether systemd is there to hear it is its own affair.
                with suppress(OSError):
                    notify.sendto("\n".join(lines).encode(), address.replace("@", "\0", 1))
            # A stop is told at once; after that only the watchdog is fed.
            await set_within(asyncio.Event() if stop.is_set() else stop, LOOK_S)
