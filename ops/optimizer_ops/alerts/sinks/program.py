"""Tells by running a program: one of the operator's own, or the one that shows notifications on a desktop."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from tempfile import TemporaryFile
from typing import IO

from optimizer_config.alert_settings import CommandSink, DesktopSink
from optimizer_ops.alerts.kinds import Severity
from optimizer_ops.alerts.message import Message
from optimizer_ops.alerts.sinks.sink import NotTold

_URGENCY: dict[Severity, str] = {"info": "low", "warning": "normal", "critical": "critical"}


class Command:
    """Runs the program with each message as JSON on its standard input."""

    def __init__(self, sink: CommandSink) -> None:
        self._sink = sink

    async def tell(self, message: Message) -> None:
        """Run it to its end.

        :raises NotTold: if it cannot be started, takes too long (it is killed), or ends with another code than 0.
        """
        await _run(self._sink.argv, message.as_json(), self._sink.timeout_s)


class Desktop:
    """Shows each message with `notify-send`."""

    def __init__(self, sink: DesktopSink) -> None:
        self._sink = sink

    async def tell(self, message: Message) -> None:
        """Show it.

        :raises NotTold: if there is no desktop, or no `notify-send`.
        """
        options = ("--app-name=optimizer", f"--urgency={_URGENCY[message.severity]}")
        words = ("notify-send", *options, "--", message.title, "\n".join(message.lines))
        await _run(words, b"", self._sink.timeout_s)


async def _run(argv: Sequence[str], said: bytes, timeout_s: float) -> None:
    program = argv[0]
    # A file, because a program that ends before it has read a pipe would be an error of ours.
    with TemporaryFile() as file:
        file.write(said)
        file.seek(0)
        process = await _started(argv, file)
    try:
        async with asyncio.timeout(timeout_s):
            await process.wait()
    except TimeoutError:
        raise NotTold(f"The program {program} did not end within {timeout_s:g} s; it was killed.") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode:
        raise NotTold(f"The program {program} ended with {process.returncode}.")


async def _started(argv: Sequence[str], said: IO[bytes]) -> asyncio.subprocess.Process:
    program = argv[0]
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=said,
            # Its words are not for our log, and may hold what is not for everybody.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # A session of its own, so that what it has started can be ended with it.
            start_new_session=True,
        )
    except FileNotFoundError:
        hint = " (Debian: libnotify-bin)" if program == "notify-send" else ""
        raise NotTold(f"The program {program} is not installed{hint}.") from None
    except OSError as error:
        raise NotTold(f"The program {program} cannot be started: {error.strerror}.") from None
