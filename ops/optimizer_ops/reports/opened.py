"""The history, opened for one command, and what is printed of it."""

import sys
import time
from collections.abc import Callable, Iterable

from rich.console import Console
from rich.text import Text

from optimizer_config.model import Config
from optimizer_ops.history.reader import History, HistoryUnavailable
from optimizer_ops.words import duration
from optimizer_service.lifetime import EXIT_UNAVAILABLE

# A recorder writes at least once a second, if only that it is there.
LATE_S = 60.0


def answer(config: Config, work: Callable[[History], int]) -> int:
    """Ask the history; returns the exit code, with one sentence if there is no history that can be read."""
    try:
        history = History.open(config.history_url)
        try:
            code = work(history)
            warn(history, time.time())
        finally:
            history.close()
    except HistoryUnavailable as error:
        print(f"optimizer: {error}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    return code


def warn(history: History, now: float) -> None:
    """Say what may be missing from the answer."""
    recording = history.recording()
    if recording is None:
        _warn("no recorder has written to this history yet: start optimizer recorder.")
    elif now - recording.beat > LATE_S:
        ago = duration(now - recording.beat)
        _warn(f"the recorder last wrote {ago} ago; what came since waits in its queue: start optimizer recorder.")
    elif recording.lost:
        _warn(f"{recording.lost:,} events never came to the recorder; what they told is missing here.")


def _warn(sentence: str) -> None:
    print(f"optimizer: warning: {sentence}", file=sys.stderr)


def screen() -> tuple[Console, int | None]:
    """Where to print, and how wide that is; None: not a terminal, as wide as needed."""
    console = Console(highlight=False)
    return console, console.width if console.is_terminal else None


def show(console: Console, lines: Iterable[Text | str]) -> None:
    """Print lines; only sentences are wrapped."""
    for line in lines:
        if isinstance(line, str) and console.is_terminal:
            console.print(Text(line))
        elif isinstance(line, Text) and console.is_terminal:
            console.print(line, no_wrap=True, overflow="ignore", crop=False)
        else:
            print((line.plain if isinstance(line, Text) else line).rstrip())
    sys.stdout.flush()
