"""The files in deploy/ for Prometheus and Grafana, read for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parent.parent / "deploy"
PROMETHEUS = DEPLOY / "prometheus"


def read(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    """A YAML or JSON file."""
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)


def rules() -> list[dict[str, Any]]:
    """All rules, of recording and of alerts."""
    return [rule for group in read(PROMETHEUS / "rules.yml")["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    """The dashboard."""
    found: dict[str, Any] = read(DEPLOY / "grafana" / "dashboards" / "netsold.json")
    return found


def panels() -> list[dict[str, Any]]:
    """The panels of the dashboard, without the titles of its rows."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> dict[str, str]:
    """Every expression of rules and panels, by where it is, with Grafana's variables replaced."""
    found = {rule.get("alert") or rule["record"]: rule["expr"] for rule in rules()}
    for panel in panels():
        for target in panel["targets"]:
            found[f"panel {panel['title']}, {target['refId']}"] = replaced(target["expr"])
    return found


def replaced(expression: str) -> str:
    """An expression as Grafana sends it where all workers and readers are chosen."""
    return (
        expression.replace("$worker|$reader", ".*")
        .replace("$worker", ".*")
        .replace("$reader", ".*")
        .replace("$__rate_interval", "1m")
    )
