"""Logs: JSON lines for machines, each with its component."""

import json

import pytest

from optimizer_service.logs import configure_logs, logger


@pytest.fixture(autouse=True)
def _restore():
    """Leave logging as it was."""
    import structlog

    yield
    structlog.reset_defaults()


def test_json_lines(capsys):
    """Each line is an object with event, level, time, component and fields; a traceback is text in it."""
    configure_logs(as_json=True)
    log = logger("worker").bind(instance="i")
    log.info("ready", concurrency=8)
    try:
        raise ValueError("odd")
    except ValueError:
        log.exception("job failed")

    ready, failed = map(json.loads, capsys.readouterr().err.splitlines())
    stamp = ready.pop("timestamp")
    assert stamp.endswith("Z")
    assert ready == {"event": "ready", "level": "info", "component": "worker", "instance": "i", "concurrency": 8}
    assert failed["exception"].endswith("ValueError: odd")


@pytest.mark.parametrize(("level", "shown"), [("debug", 3), ("info", 2), ("error", 1), ("nonsense", 2)])
def test_levels(capsys, level, shown):
    """Lines below the level are left out; an unknown level is `info`."""
    configure_logs(level, as_json=True)
    for name in ("debug", "info", "error"):
        getattr(logger("c"), name)("x")

    assert len(capsys.readouterr().err.splitlines()) == shown


def test_text_for_a_terminal(capsys):
    """On a terminal lines are for people."""
    configure_logs(as_json=False)
    logger("c").info("ready", port=5)

    assert "ready" in capsys.readouterr().err
