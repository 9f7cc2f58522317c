"""`ops/METRICS.md`, made from the code: `python -m optimizer_ops.metrics.docs > ops/METRICS.md`."""

from itertools import groupby

from optimizer_ops.metrics.catalogue import Metric, metrics

_HEAD = """\
# Metrics

<!-- Made from the code by `python -m optimizer_ops.metrics.docs > ops/METRICS.md`; a test keeps the two equal. -->

Each process shows its own on the admin port, under `/metrics`, in the format of Prometheus; those of the Python process
(`process_*`, `python_*`) besides. Clients have none.

The values of every label come from the configuration or from a closed set in the code. No label holds the name of an
agent or a tenant, a fingerprint, or a model that is not configured (`other`): what agents send makes no new series. For
one agent's numbers look into the history (`optimizer agents`, `optimizer costs`).

What a coordinator says of backends, budgets and queues it says of the whole fleet, and every coordinator says the same:
take the `max` of them. Everything else is of its process alone: take the `sum`.
"""


def markdown() -> str:
    """The whole file."""
    parts = [_HEAD]
    for process, group in groupby(metrics(), lambda metric: metric.process):
        parts += [
            f"## {process[0].upper()}{process[1:]}\n",
            "| metric | type | labels | meaning |",
            "|---|---|---|---|",
        ]
        parts += [_row(metric) for metric in group]
        parts.append("")
    return "\n".join(parts)


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
    return f"| `{metric.name}` | {metric.type} | {labels} | {metric.meaning} |"


if __name__ == "__main__":
    print(markdown(), end="")
