"""The processes that stay. Their plain command lines are read here, by the standard library.

What reads all the others (typer, pydantic and our commands) takes 12 MiB and some 0.1 s to start, and would
stay for the life of the process. Whatever is not plain (`--help`, an unknown option) is left to it.
"""

import argparse
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn

from optimizer_config.errors import ConfigError
from optimizer_config.model import Config
from optimizer_ops.configuration import configuration, refuse, token

HOST = "127.0.0.1"
DASHBOARD_PORT = 8502


def coordinator(config: str | None, host: str, port: int) -> int:
    """Run a coordinator to its end; returns its exit code."""
    settings = configuration(config)
    from optimizer_coordinator.process import serve

    return _run(settings, serve(settings, admin_host=host, admin_port=port, admin_token=token()))


def worker(config: str | None, host: str, port: int, backend: str) -> int:
    """Run a worker to its end; returns its exit code."""
    settings = configuration(config)
    try:
        # The instances of a unit of systemd have different names: optimizer-worker@groq:2.
        chosen = settings.backend(backend.partition(":")[0])
    except ConfigError as error:
        refuse(error)
    from optimizer_workers.process import serve

    return _run(settings, serve(settings, chosen, admin_host=host, admin_port=port, admin_token=token()))


def recorder(config: str | None, host: str, port: int) -> int:
    """Run a recorder to its end; returns its exit code."""
    settings = configuration(config)
    from optimizer_ops.recorder.process import serve

    return _run(settings, serve(settings, admin_host=host, admin_port=port, admin_token=token()))


def dashboard(config: str | None, host: str, port: int) -> int:
    """Run a dashboard to its end; returns its exit code."""
    settings = configuration(config)
    from optimizer_ops.dashboard.process import serve

    return _run(settings, serve(settings, host=host, port=port, token=token()))


def _run(settings: Config, main: Coroutine[Any, Any, int]) -> int:
    from optimizer_service.lifetime import run
    from optimizer_service.logs import configure_logs

    configure_logs(settings.log_level)
    return run(main)


class _NotPlain(Exception):
    """Not a command line for here."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _NotPlain(message)


def _port(text: str) -> int:
    if not 0 <= (port := int(text)) <= 65535:
        raise ValueError(text)
    return port


def _parser(prefix: str = "--admin-", port: int = 0) -> _Parser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", "-c")
    parser.add_argument(f"{prefix}host", dest="host", default=HOST)
    parser.add_argument(f"{prefix}port", dest="port", type=_port, default=port)
    return parser


def _worker_parser() -> _Parser:
    parser = _parser()
    parser.add_argument("backend")
    return parser


_PROCESSES: dict[str, tuple[Callable[..., int], Callable[[], _Parser]]] = {
    "coordinator": (coordinator, _parser),
    "worker": (worker, _worker_parser),
    "recorder": (recorder, _parser),
    "dashboard": (dashboard, lambda: _parser("--", DASHBOARD_PORT)),
}


def plain(arguments: Sequence[str]) -> Callable[[], int] | None:
    """What runs the process that a plain command line asks for; None for any other command line."""
    if not arguments or arguments[0] not in _PROCESSES:
        return None
    process, parser = _PROCESSES[arguments[0]]
    try:
        given = vars(parser().parse_args(arguments[1:]))
    except _NotPlain:
        return None
    return lambda: process(**given)
