"""Named points at which a process can be made to kill itself, to prove that nothing is lost wherever one dies.

`OPTIMIZER_CRASH_AT=worker.after_store` ends the process by kill -9 (nothing is closed, flushed or handed back) when it
comes to that point, `worker.after_store:3` when it comes there for the third time. Without the variable a point is one
comparison.
"""

import os
import signal
from collections.abc import Mapping
from typing import Literal, get_args

from optimizer_config.errors import ConfigError

VARIABLE = "OPTIMIZER_CRASH_AT"

CrashPoint = Literal[
    # One request through a coordinator.
    "coordinator.after_receive",
    "coordinator.after_admit",
    "coordinator.after_publish",
    "coordinator.after_reply",
    "coordinator.after_ack",
    # One call through a worker.
    "worker.after_receive",
    "worker.after_reserve",
    "worker.after_begin",
    "worker.after_tell",
    "worker.after_call",
    "worker.after_store",
    "worker.after_reply",
    "worker.after_event",
    "worker.after_ack",
    # A failed call on its way to another backend.
    "worker.after_release",
    "worker.after_forward",
    # A call that has killed too many workers.
    "poison.after_store",
    # One dead letter through the keeper.
    "keeper.after_receive",
    "keeper.after_keep",
    "keeper.after_end",
    "keeper.after_reply",
    "keeper.after_ack",
]
POINTS: tuple[str, ...] = get_args(CrashPoint)


class _Armed:
    """The point that was asked for, and how often it is still to be passed."""

    def __init__(self, text: str) -> None:
        self.point, _, nth = text.partition(":")
        if self.point not in POINTS:
            raise ConfigError(f"{VARIABLE}: there is no crash point {self.point!r}; there are {', '.join(POINTS)}.")
        if nth and not (nth.isascii() and nth.isdigit() and int(nth)):
            raise ConfigError(f"{VARIABLE}: after the colon stands at which time to crash, as in {self.point}:3.")
        self.left = int(nth or 1)

    def reach(self, point: CrashPoint) -> None:
        if point != self.point:
            return
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)


_armed: _Armed | None = None


def arm(environ: Mapping[str, str]) -> str | None:
    """Arm the point that a process was started with, if any; returns its name. Every process calls it at its start.

    :raises ConfigError: if there is no such point.
    """
    global _armed  # noqa: PLW0603 - one for a process, set once at its start
    text = environ.get(VARIABLE)
    _armed = _Armed(text) if text else None
    return _armed.point if _armed else None


def crash_point(point: CrashPoint) -> None:
    """Die here, if the process was started so."""
    if _armed is not None:
        _armed.reach(point)
