"""The Grafana dashboards as classic JSON: `python -m optimizer_ops.metrics.grafana ops/grafana/dashboards`."""

import json
import sys
from pathlib import Path
from typing import Any

from optimizer_ops.metrics.dashboards import DASHBOARDS, Dashboard, Panel

_COLUMNS, _HEIGHTS = 24, {"stat": 4, "timeseries": 8}
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Grafana migrates an older schema when it loads a dashboard.
_SCHEMA = 39


def dashboard_json(dashboard: Dashboard) -> str:
    """The file of a dashboard."""
    whole = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["optimizer"],
        "schemaVersion": _SCHEMA,
        "editable": True,
        "refresh": "15s",
        "timezone": "browser",
        "time": {"from": "now-1h", "to": "now"},
        "links": [{"type": "dashboards", "title": "Optimizer", "tags": ["optimizer"], "asDropdown": True}],
        "templating": {"list": _variables(dashboard)},
        "panels": _panels(dashboard.panels),
    }
    return json.dumps(whole, indent=1) + "\n"


def _variables(dashboard: Dashboard) -> list[dict[str, Any]]:
    source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    backend = {
        "name": "backend",
        "label": "Backend",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": "label_values(optimizer_backend_workers, backend)", "refId": "backend"},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "current": {"text": "All", "value": "$__all"},
    }
    return [source, backend] if dashboard.by_backend else [source]


def _panels(panels: tuple[Panel, ...]) -> list[dict[str, Any]]:
    """From left to right, a new row where one is full."""
    placed = []
    x = y = 0
    for number, panel in enumerate(panels, start=1):
        height = _HEIGHTS[panel.kind]
        placed.append(_panel(number, panel) | {"gridPos": {"x": x, "y": y, "w": panel.width, "h": height}})
        x += panel.width
        if x >= _COLUMNS:
            x, y = 0, y + height
    return placed


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.unit in {"percentunit", "bool"}:
        defaults |= {"min": 0, "max": 1} if panel.unit == "bool" else {"min": 0}
    if panel.kind == "timeseries":
        stacking = {"mode": "normal", "group": "A"} if panel.stacked else {"mode": "none", "group": "A"}
        defaults["custom"] = {"fillOpacity": 20 if panel.stacked else 0, "showPoints": "never", "stacking": stacking}
        options: dict[str, Any] = {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    else:
        options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "none"}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": _SOURCE, "expr": expr, "legendFormat": legend or "__auto"}
            for index, (expr, legend) in enumerate(panel.queries)
        ],
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for each in DASHBOARDS:
        (folder / f"{each.uid}.json").write_text(dashboard_json(each), encoding="utf-8")
