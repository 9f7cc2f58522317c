"""`optimizer up`: the processes of a deployment on one machine, in the foreground."""

import os
import sys
from collections.abc import Iterator

from optimizer_config.credentials import api_key
from optimizer_config.errors import ConfigError
from optimizer_config.model import Backend, Config
from optimizer_ops.processes import ProcessSet
from optimizer_service.exit_codes import EXIT_CONFIG
from optimizer_service.lifetime import run, stop_on_signals


def up(config: Config, path: str | None, *, coordinators: int, workers: int, dashboard: int | None) -> int:
    """Run until Ctrl-C; returns the exit code. With the port of a dashboard also that, and the recorder."""
    backends = list(_servable(config))
    if not backends:
        print(
            "optimizer: no backend can be served: set the key of one (for example GROQ_API_KEY), "
            "or name a local one in [backends] of optimizer.toml.",
            file=sys.stderr,
        )
        return EXIT_CONFIG
    return run(
        _up(path, coordinators, [backend.name for backend in backends for _ in range(workers)], dashboard=dashboard)
    )


def _servable(config: Config) -> Iterator[Backend]:
    """What the configuration names; with nothing configured, every free backend whose key is there."""
    for backend in config.backends.values():
        named = backend.name in config.configured
        if not named and (config.configured or backend.kind != "free"):
            continue
        try:
            has_key = backend.kind == "local" or not backend.api_key_env or api_key(backend, os.environ) is not None
        except ConfigError as error:
            print(f"optimizer: {backend.name} is left out: {error}", file=sys.stderr)
            continue
        if has_key:
            yield backend
        elif named:
            print(f"optimizer: {backend.name} is left out: {backend.api_key_env} is not set", file=sys.stderr)


async def _up(path: str | None, coordinators: int, workers: list[str], *, dashboard: int | None) -> int:
    stop = stop_on_signals()
    text = {"OPTIMIZER_LOG_FORMAT": "text"} if sys.stdout.isatty() else {}
    processes = ProcessSet(text | ({"OPTIMIZER_CONFIG": path} if path else {}))
    for number in range(1, coordinators + 1):
        processes.start(f"coordinator/{number}", "optimizer_ops", "coordinator")
    for number, backend in enumerate(workers, 1):
        processes.start(f"worker/{backend}/{number}", "optimizer_ops", "worker", backend)
    if dashboard is not None:
        processes.start("recorder", "optimizer_ops", "recorder")
        processes.start("dashboard", "optimizer_ops", "dashboard", "--port", str(dashboard))
    served = ", ".join(dict.fromkeys(workers))
    beside = "" if dashboard is None else ", recorder, dashboard"
    print(f"Starting {coordinators} × coordinator, {len(workers)} × worker ({served}){beside}; Ctrl-C stops them.")
    await stop.wait()
    await processes.stop()
    return EXIT_CONFIG if all(process.gave_up for process in processes.processes) else 0
