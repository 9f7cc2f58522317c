"""Structured logs on standard error: JSON lines for machines, aligned text for a terminal."""

import logging
import os
import sys

import structlog

Logger = structlog.stdlib.BoundLogger


def configure_logs(level: str = "info", *, as_json: bool | None = None) -> None:
    """Set up logging once, at the start of a process.

    JSON unless standard error is a terminal, or `OPTIMIZER_LOG_FORMAT` is `text`.
    """
    if as_json is None:
        as_json = not sys.stderr.isatty() and os.environ.get("OPTIMIZER_LOG_FORMAT") != "text"
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_level(level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
    # The AMQP library warns about each lost connection; our own line says it with what we do about it.
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)


def _level(name: str) -> int:
    return logging.getLevelNamesMapping().get(name.upper(), logging.INFO)


def logger(component: str) -> Logger:
    """A logger that names its component in every line."""
    bound: Logger = structlog.get_logger(component=component)
    return bound


def tell_redis(log: Logger, why: str | None) -> None:
    """Log that Redis went away, for a reason, or (None) is back."""
    if why:
        log.warning("redis is away", reason=why)
    else:
        log.warning("redis is back")
