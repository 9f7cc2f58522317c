"""The history, opened for one command."""

import sys
import time
from collections.abc import Callable

from optimizer_config.model import Config
from optimizer_ops.formatting.units import duration
from optimizer_ops.history.reader import History, HistoryUnavailable
from optimizer_service.exit_codes import EXIT_UNAVAILABLE

# A recorder writes at least once a second, if only that it is there.
LATE_S = 60.0


def ask_history(config: Config, ask: Callable[[History], int]) -> int:
    """Ask the history; returns the exit code, with one sentence if there is no history that can be read."""
    try:
        history = History.open(config.history_url)
        try:
            code = ask(history)
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
