"""The files for Prometheus and Grafana: metrics, labels, services and sections that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from prometheus_client.metrics import MetricWrapperBase

from schemas.events import MODELS
from serving import metrics as readers
from streams import metrics as workers
from streams import process_metrics
from streams.settings import Settings
from tables.catalogue import STAGES
from tests.monitoring import DEPLOY, PROMETHEUS, dashboard, expressions, panels, read, rules
from tests.pages import anchors

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = DEPLOY.parent
ALERTS: Final = sorted((ROOT / "tests" / "data").glob("alerts*.yml"))
"""Series, and the alerts that they raise."""

OF_PROMETHEUS: Final = {"job", "instance"}
"""Labels that Prometheus adds."""


def _metrics() -> dict[str, set[str]]:
    """The labels of each series that a process of ours, or Prometheus, has, by its name."""
    of_processes = (
        "cpu_seconds_total",
        "max_fds",
        "open_fds",
        "resident_memory_bytes",
        "start_time_seconds",
    )
    found: dict[str, set[str]] = {"up": set()}
    found.update((f"process_{name}", set()) for name in of_processes)
    for module in (workers, readers, process_metrics):
        for metric in vars(module).values():
            if isinstance(metric, MetricWrapperBase):
                (family,) = metric.describe()
                labels = set(metric._labelnames)
                if family.type == "histogram":
                    _add(found, f"{family.name}_bucket", labels | {"le"})
                    _add(found, f"{family.name}_sum", labels)
                else:
                    suffix = "_total" if family.type == "counter" else ""
                    _add(found, family.name + suffix, labels)
    return found


def _add(found: dict[str, set[str]], name: str, labels: set[str]) -> None:
    """A series may be a worker's and a reader's, each with its labels."""
    found[name] = found.get(name, set()) | labels


def _recorded() -> dict[str, set[str]]:
    """The labels of each recorded series: those that its expression groups by."""
    return {
        rule["record"]: set(_grouped(rule["expr"])) - {"le"} for rule in rules() if "record" in rule
    }


def _grouped(expression: str) -> Iterator[str]:
    for labels in re.findall(r"\bby \(([^)]*)\)", expression):
        yield from labels.split(", ")


def _selected(expression: str) -> list[tuple[str, str]]:
    """(series, its selector without braces) of an expression."""
    plain = re.sub(r"\bby \([^)]*\)", "", expression)
    return re.findall(r"\b((?:netsold|process)[_:][\w:]+|up\b)(?:\{([^}]*)\})?", plain)


SERIES: Final = _metrics() | _recorded()


@pytest.mark.parametrize(("where", "expression"), expressions().items())
def test_expressions_name_series_and_labels_that_exist(where: str, expression: str) -> None:
    """Each series is one of the code's lists or a recorded one, and has the labels used of it."""
    selected = _selected(expression)
    assert selected, where
    labels = set(OF_PROMETHEUS)
    for name, selector in selected:
        assert name in SERIES, (where, name)
        labels |= SERIES[name]
        used = set(re.findall(r"(\w+)(?:=|!)", re.sub(r'"[^"]*"', "", selector)))
        assert used <= SERIES[name] | OF_PROMETHEUS, (where, name)
    assert set(_grouped(expression)) <= labels, where


@pytest.mark.parametrize(("where", "expression"), expressions().items())
def test_selected_values_exist(where: str, expression: str) -> None:
    """Stages are those of the catalogue, outcomes those that the metric's meaning lists."""
    known = {
        "stage": {stage.name for stage in STAGES},
        "outcome": {"applied", "added", "refused"},
        "step": {"fold", "transaction"},
        "type": {*MODELS, workers.UNNAMED_TYPE},
        "state": {"open", "requeued", "discarded"},
        "job": {job["job_name"] for job in read(PROMETHEUS / "prometheus.yml")["scrape_configs"]},
    }
    for _, selector in _selected(expression):
        for label, how, values in re.findall(r'(\w+)(=~?|!=|!~)"([^"]*)"', selector):
            if label in known and not values.endswith(".*"):
                assert set(values.split("|")) <= known[label], (where, label, how)


def test_a_renamed_metric_is_found() -> None:
    """A metric that the code doesn't have is no series."""
    assert _selected("sum by (code) (rate(netsold_fault_total[1m])) and up == 1") == [
        ("netsold_fault_total", ""),
        ("up", ""),
    ]
    assert "netsold_fault_total" not in SERIES


def test_each_alert_has_a_summary_and_a_section_of_a_page() -> None:
    """Who is woken reads what is wrong and finds what to do."""
    alerts = [rule for rule in rules() if "alert" in rule]
    assert alerts
    for alert in alerts:
        page, _, section = alert["annotations"]["runbook"].partition("#")
        assert alert["annotations"]["summary"]
        assert section in anchors(ROOT / page), alert["alert"]
        assert alert["labels"]["severity"] in {"page", "ticket"}
        used = set(re.findall(r"\$labels\.(\w+)", alert["annotations"]["summary"]))
        grouped = set(_grouped(alert["expr"]))
        named = {name for name, _ in _selected(alert["expr"])}
        kept = grouped or set().union(OF_PROMETHEUS, *(SERIES[name] for name in named))
        assert used <= kept, alert["alert"]


def test_each_alert_is_seen_to_fire_and_not_to_fire() -> None:
    """By `promtool test rules`: the file of series has both for each."""
    fires: set[str] = set()
    rests: set[str] = set()
    for test in [test for file in ALERTS for test in read(file)["tests"]]:
        for case in test["alert_rule_test"]:
            (fires if case.get("exp_alerts") else rests).add(case["alertname"])
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    assert fires == alerts
    assert rests == alerts


def test_each_panel_shows_what_the_data_source_has() -> None:
    """Panels have ids and titles of their own, a unit, and the provisioned source of data."""
    (source,) = read(DEPLOY / "grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])
    assert len({panel["title"] for panel in panels()}) == len(panels())
    for panel in panels():
        assert panel["datasource"] == {"type": source["type"], "uid": source["uid"]}
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]
    assert source["url"] == "http://prometheus:9090"


def test_each_panel_explains_itself() -> None:
    """Its description is a sentence, and names sections of the runbook and alerts that exist."""
    headings = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8").splitlines()
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    for panel in panels():
        text = panel["description"]
        assert text.endswith("."), panel["title"]
        for section in re.findall(r"Runbook: ([^.]+)\.", text):
            assert f"## {section}" in headings, panel["title"]
        assert set(re.findall(r"Netsold\w+", text)) <= alerts, panel["title"]


def test_legends_name_labels_that_the_series_have() -> None:
    """`{{label}}` of a legend is one that its expression keeps."""
    for panel in panels():
        for target in panel["targets"]:
            used = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            named = {name for name, _ in _selected(target["expr"])}
            grouped = set(_grouped(target["expr"]))
            kept = grouped or set().union(OF_PROMETHEUS, *(SERIES[name] for name in named))
            assert used <= kept, (panel["title"], target["refId"])


def test_panels_have_room() -> None:
    """No panel covers another, or goes beyond the 24 columns."""
    covered: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        columns = range(at["x"], at["x"] + at["w"])
        cells = set(product(columns, range(at["y"], at["y"] + at["h"])))
        assert not covered & cells, panel["title"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        covered |= cells


def test_workers_and_readers_can_be_chosen() -> None:
    """The board has a variable of each job's instances, and its expressions use no other."""
    chosen = {one["name"]: one["definition"] for one in dashboard()["templating"]["list"]}
    assert chosen == {
        name: f'label_values(up{{job="netsold-{name}"}}, instance)' for name in ("worker", "reader")
    }
    for panel in panels():
        for target in panel["targets"]:
            used = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval"}
            assert used <= chosen.keys(), panel["title"]


def test_services_of_the_compose_file_are_scraped_where_they_listen() -> None:
    """Workers at their port of metrics, readers at the reader's, with the token that is made."""
    services = _services()
    jobs = {job["job_name"]: job for job in read(PROMETHEUS / "prometheus.yml")["scrape_configs"]}
    (worker,) = jobs["netsold-worker"]["dns_sd_configs"]
    (reader,) = jobs["netsold-reader"]["dns_sd_configs"]
    environment = services["worker"]["environment"]
    assert worker["names"] == ["worker"]
    assert worker["port"] == environment["NETSOLD_METRICS_PORT"]
    assert environment["NETSOLD_METRICS_HOST"] == "0.0.0.0"  # noqa: S104 - within the container
    assert reader["names"] == ["reader"]
    assert reader["port"] == Settings.model_fields["reader_port"].default
    token = Path(services["reader"]["environment"]["NETSOLD_READER_TOKEN_FILE"])
    credentials = Path(jobs["netsold-reader"]["authorization"]["credentials_file"])
    mounted = dict(one.split(":")[:2] for one in services["prometheus"]["volumes"])
    assert Path(mounted["reader"]) / token.relative_to("/data") == credentials


def test_monitoring_is_optional_and_its_files_are_mounted() -> None:
    """Both services start with their profile alone, on loopback, from files that exist."""
    for name in ("prometheus", "grafana"):
        service = _services()[name]
        assert service["profiles"] == ["monitoring"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
        sources = [volume.split(":")[0] for volume in service["volumes"]]
        assert all((ROOT / one).is_dir() for one in sources if one.startswith("./"))
    (provider,) = read(DEPLOY / "grafana/provisioning/dashboards/netsold.yml")["providers"]
    mounts = [volume.split(":")[1] for volume in _services()["grafana"]["volumes"]]
    assert provider["options"]["path"] in mounts


def _services() -> dict[str, Any]:
    services: dict[str, Any] = read(ROOT / "docker-compose.yml")["services"]
    return services


needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool isn't installed: apt-get install prometheus"
)


@needs_promtool
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "--syntax-only", PROMETHEUS / "prometheus.yml"),
        ("check", "rules", PROMETHEUS / "rules.yml"),
        ("test", "rules", *ALERTS),
    ],
    ids=["config", "rules", "alerts"],
)
def test_prometheus_accepts_the_files(arguments: tuple[str | Path, ...]) -> None:
    """Prometheus's own tool reads configuration and rules, and alerts fire as expected."""
    done = subprocess.run(
        ("promtool", *arguments), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
