"""Promtool applies the rules to the time series in alerts.yml, and checks which alerts they raise, with which texts."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "roles/monitoring/files/rules.yml"
CASES: dict[str, dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "alerts.yml").read_text())
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
}
needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed: make tools")


def wanted(alert: str) -> list[dict[str, Any]]:
    """Return, in promtool's format, the alerts that a case's series must raise: those in `raised`, or a single one."""
    rule = ALERTS[alert]

    def one(case: dict[str, Any]) -> dict[str, Any]:
        labels = case.get("labels", {})
        action = re.sub(r"{{ \$labels\.(\w+) }}", lambda found: str(labels[found[1]]), rule["annotations"]["action"])
        annotations = {"summary": case["says"], "action": action}
        return {"exp_labels": {**labels, **rule["labels"]}, "exp_annotations": annotations}

    return [one(case) for case in CASES[alert].get("raised", [CASES[alert]])]


def promtool(folder: Path, series: str, expected: Callable[[str], list[dict[str, Any]]]) -> str:
    """Return the errors of `promtool test rules` for all alerts, or "" if each alert is as expected.

    series: the key of the series in a case, `series` or `quiet`. expected: returns the alerts that must be raised.
    """
    said = ""
    for every in sorted({case.get("every", "1m") for case in CASES.values()}):
        tests = [
            {
                "interval": every,
                "input_series": [{"series": name, "values": values} for name, values in case[series].items()],
                "alert_rule_test": [{"eval_time": case["at"], "alertname": alert, "exp_alerts": expected(alert)}],
            }
            for alert, case in CASES.items()
            if case.get("every", "1m") == every
        ]
        path = folder / "test.yml"
        path.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": every, "tests": tests}))
        command = ["promtool", "test", "rules", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)
        said += done.stdout + done.stderr if done.returncode else ""
    return said


def test_there_are_at_most_25_alerts_and_each_has_a_case() -> None:
    assert len(ALERTS) <= 25
    assert list(CASES) == list(ALERTS)


def test_yaml_has_read_the_values_as_text() -> None:
    values = [value for case in CASES.values() for series in ("series", "quiet") for value in case[series].values()]
    assert [value for value in values if not isinstance(value, str)] == []


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_is_so_and_what_to_do(alert: str) -> None:
    assert list(ALERTS[alert]["annotations"]) == ["summary", "action"]
    assert ALERTS[alert]["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    # Commands are enclosed in backquotes, so the number of backquotes must be even.
    assert ALERTS[alert]["annotations"]["action"].count("`") % 2 == 0


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_a_section_with_its_remedy(alert: str) -> None:
    page = (ROOT / "docs/alerts.md").read_text()
    [section] = re.findall(rf"(?ms)^## {alert}\n(.*?)(?=^## |\Z)", page)
    assert [word for word in ("**Means**", "**Look at**", "**Mend**") if word not in section] == []


@needs_promtool
def test_each_alert_is_raised_and_says_so(tmp_path: Path) -> None:
    assert promtool(tmp_path, "series", wanted) == ""


@needs_promtool
def test_each_alert_is_quiet_otherwise(tmp_path: Path) -> None:
    assert promtool(tmp_path, "quiet", lambda _: []) == ""
