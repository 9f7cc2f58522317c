"""The processes, and what stops the fleet now: coordinators, workers of each backend, the recorder and the history."""

import time

from optimizer_config.model import Config
from optimizer_ops.doctor.finding import Area, Finding
from optimizer_ops.formatting.units import count_of, duration
from optimizer_ops.history.reader import History, HistoryUnavailable
from optimizer_ops.history.views import Recording
from optimizer_ops.live.problems import SILENT_RECORDER_S
from optimizer_ops.live.status import LiveStatus, Problem

# Told by those who look at the services themselves.
_ELSEWHERE = frozenset({"rabbitmq", "redis", "recorder"})


def examine(live: LiveStatus) -> list[Finding]:
    """What is found of the processes and the backends."""
    area = Area("fleet")
    if live.coordinators:
        area.ok(f"{count_of(live.coordinators, 'coordinator')} at work.")
    for backend in live.backends:
        if backend.workers:
            area.ok(f"{backend.name} has {count_of(backend.workers, 'worker')}.")
    if not live.backends and live.redis.there:
        area.warning("No backend is configured, and no worker runs.", "[backends] and [routes] in optimizer.toml.")
    for problem in live.problems:
        if problem.subject not in _ELSEWHERE:
            _problem(area, problem)
    return area.findings


def _problem(area: Area, problem: Problem) -> None:
    if problem.severity == "critical":
        area.failed(problem.message, problem.what_to_do)
    elif problem.severity == "warning":
        area.warning(problem.message, problem.what_to_do)
    else:
        area.ok(problem.message)


def history(config: Config, live: LiveStatus) -> list[Finding]:
    """What is found of the recorder and what it writes. Blocking."""
    area = Area("history")
    if live.recorders:
        area.ok(f"{count_of(live.recorders, 'recorder')} at work.")
    elif live.recorders == 0:
        area.warning("No recorder runs: nothing new gets into the history.", "optimizer recorder")
    try:
        opened = History.open(config.history_url)
    except HistoryUnavailable as error:
        area.warning(str(error), "optimizer recorder makes it; check [history] url if it should be there.")
        return area.findings
    try:
        _recording(area, opened.recording())
    except HistoryUnavailable as error:
        area.failed(str(error), "The recorder's log says more.")
    finally:
        opened.close()
    return area.findings


def _recording(area: Area, recording: Recording | None) -> None:
    if recording is None:
        area.warning("Nothing was ever recorded.", "optimizer recorder")
        return
    ago_s = time.time() - recording.beat
    if ago_s > SILENT_RECORDER_S:
        area.warning(f"The recorder last wrote {duration(ago_s)} ago.", "Look at its log, and start it again.")
    else:
        area.ok(f"It was written {duration(max(0.0, ago_s))} ago; {recording.waiting:,} events wait.")
    if recording.lost:
        area.warning(
            f"{count_of(recording.lost, 'event')} of {recording.recorded + recording.lost:,} never arrived.",
            "Sums are too low by them. If it goes on: RabbitMQ or the recorder is too slow for the load.",
        )
