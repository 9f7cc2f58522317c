"""The list of metrics: what the documentation says is what the code has."""

from pathlib import Path

import pytest

from optimizer_ops.metrics.catalogue import MODULES, metrics
from optimizer_ops.metrics.docs import markdown

ROOT = Path(__file__).parents[3]
# Filled from the configuration, or from a closed set in the code.
BOUNDED = {
    "backend",
    "by",
    "code",
    "dimension",
    "direction",
    "kind",
    "limit",
    "model",
    "name",
    "outcome",
    "process",
    "queue",
    "result",
    "severity",
    "sink",
    "source",
    "state",
    "type",
    "version",
    "where",
    "why",
}


def test_documented():
    """`ops/METRICS.md` is what the code has."""
    assert (ROOT / "ops/METRICS.md").read_text() == markdown(), "python -m optimizer_ops.metrics.docs > ops/METRICS.md"


def test_all_are_found():
    """Whatever of ours imports a metric type is in the list of modules."""
    ours = [path for folder in ("broker", "client", "workers", "ops") for path in (ROOT / folder).rglob("*.py")]
    define = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts[1:])
        for path in ours
        if "from prometheus_client import C" in path.read_text() and "Counter" in path.read_text()
    }

    assert define <= {module for _, module in MODULES}


@pytest.mark.parametrize("metric", metrics(), ids=lambda metric: metric.name)
def test_conventions(metric):
    """Names begin with `optimizer_` and end with their unit, counters with `_total`; labels are bounded ones."""
    assert metric.name.startswith("optimizer_")
    assert (metric.type == "counter") is metric.name.endswith("_total")
    assert not metric.name.endswith(("_ms", "_milliseconds", "_minutes", "_count", "_sum"))
    assert set(metric.labels) <= BOUNDED
    assert metric.meaning
    assert not metric.meaning.endswith(".")


def test_names_are_unique():
    """No two processes give one name to different things."""
    names = [metric.name for metric in metrics()]

    assert len(names) == len(set(names))
