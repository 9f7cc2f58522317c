"""Every query of the rules and the dashboards, and what it asks for."""

import json
import re
from pathlib import Path
from typing import Any

import promql_parser
import yaml

OPS = Path(__file__).parents[3] / "ops"
RULES = sorted((OPS / "prometheus").glob("*.rules.yml"))
DASHBOARDS = sorted((OPS / "grafana/dashboards").glob("*.json"))


def rules() -> list[dict[str, Any]]:
    """All rules, recording ones and alerts."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    """The alerts."""
    return [rule for rule in rules() if "alert" in rule]


def panels() -> list[tuple[str, dict[str, Any]]]:
    """The panels of all dashboards, each with the name of its file."""
    return [(path.stem, panel) for path in DASHBOARDS for panel in json.loads(path.read_text())["panels"]]


def queries() -> list[tuple[str, str]]:
    """(where, query), with Grafana's own variables filled in."""
    of_rules = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()]
    of_panels = [
        (f"{name}: {panel['title']}", target["expr"]) for name, panel in panels() for target in panel["targets"]
    ]
    return [(where, re.sub(r"\$__\w+", "5m", query)) for where, query in of_rules + of_panels]


def selected(query: str) -> list[Any]:
    """The vector selectors of a query."""
    found = []

    def note(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(promql_parser.parse(query), note)
    return found
