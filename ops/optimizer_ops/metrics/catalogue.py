"""Every metric that a process of the optimizer shows: found in the code, not written down a second time."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

from prometheus_client.metrics import MetricWrapperBase

# Where the metrics of a process are defined; "every process" comes first.
MODULES = (
    ("every process", "optimizer_service.metrics"),
    ("coordinator", "optimizer_coordinator.metrics"),
    ("worker", "optimizer_workers.metrics"),
    ("recorder", "optimizer_ops.recorder.metrics"),
    ("recorder", "optimizer_ops.alerts.metrics"),
)
_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its name as Prometheus stores it (of a histogram, without the suffix), and who shows it."""

    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str
    process: str

    @property
    def series(self) -> tuple[str, ...]:
        """The names that a query may use."""
        if self.type == "counter":
            return (self.name,)
        return tuple(f"{self.name}{suffix}" for suffix in _SUFFIXES[self.type])


def metrics() -> list[Metric]:
    """All metrics, in the order in which they are defined."""
    return [metric for process, name in MODULES for metric in _in(name, process)]


def _in(name: str, process: str) -> Iterator[Metric]:
    seen: set[int] = set()
    for each in _defined(importlib.import_module(name)):
        if id(each) in seen:
            continue
        seen.add(id(each))
        told = next(iter(each.describe()))
        suffix = "_total" if told.type == "counter" else ""
        labels = tuple(each._labelnames)  # noqa: SLF001
        yield Metric(f"{told.name}{suffix}", told.type, labels, told.documentation.rstrip("."), process)


def _defined(module: ModuleType) -> Iterator[MetricWrapperBase]:
    """The metrics of a module itself; those with labels that were filled in are series of one of them."""
    for value in vars(module).values():
        if isinstance(value, MetricWrapperBase) and not value._labelvalues:  # noqa: SLF001
            yield value
