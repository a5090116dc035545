"""The charts of /status/: promtool checks their queries, and a fake Prometheus supplies values for their files."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart_server import prometheus
from trackbox_monitoring import alerts, history
from trackbox_monitoring.charts import CHARTS, MARKS, Chart, Line, Mark
from trackbox_monitoring.history import RANGES, Charts, Event, Prometheus, Range, Series

CASES: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "charts.yml").read_text())
HOUR, DAY = RANGES[0], RANGES[1]
END = 1_780_000_000.0
Found = list[tuple[Mapping[str, str], Mapping[float, float]]]


def checked(series: Mapping[str, str], expected: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Return a test for promtool, which expects these samples of each query after 10 minutes."""
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f"round({query.replace('$window', '5m')}, 0.0001)",
                "eval_time": "10m",
                "exp_samples": [{"labels": labels, "value": value} for labels, value in samples.items()],
            }
            for query, samples in expected.items()
        ],
    }


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed: make tools")
def test_each_query_computes_what_its_chart_shows(tmp_path: Path) -> None:
    cases = CASES["charts"]
    assert list(cases) == [chart.key for chart in CHARTS]
    tests = [
        checked(
            cases[chart.key]["series"],
            dict(zip([line.query for line in chart.lines], cases[chart.key]["gives"], strict=True)),
        )
        for chart in CHARTS
    ]
    tests += [
        checked(case["series"], {mark.query: case["gives"]}) for mark, case in zip(MARKS, CASES["marks"], strict=True)
    ]
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump({"tests": tests}))
    command = ["promtool", "test", "rules", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr


def test_names_use_labels_that_the_query_keeps() -> None:
    for chart in CHARTS:
        for line, samples in zip(chart.lines, CASES["charts"][chart.key]["gives"], strict=True):
            for labels in samples:
                known = dict(part.replace('"', "").split("=") for part in labels.strip("{}").split(", ") if part)
                assert line.name.format(**known)
                assert not line.number or known[line.number].isdigit()


def test_a_range_has_at_most_300_values_and_is_written_before_one_is_missed() -> None:
    assert [each.name for each in RANGES] == ["1h", "24h", "7d", "90d"]
    for each in RANGES:
        assert each.seconds % each.step == 0
        assert each.seconds // each.step <= 300
        assert each.refresh <= max(each.step, 60)


def ask(found: Found, over: Range = HOUR, interval: float = 15) -> tuple[Prometheus, list[Series]]:
    """Query a fake Prometheus that responds with `found`; return the client, and the series that it has read."""
    asked: list[dict[str, str]] = []
    with prometheus(lambda _query, _times: found, asked) as address:
        known = Prometheus(address, over, END, interval)
        series = known.ask("rate(a[$window])")
    assert asked == [
        {
            "query": f"rate(a[{known.window}])",
            "step": str(over.step),
            "start": f"{END - over.seconds:.3f}",
            "end": f"{END:.3f}",
        }
    ]
    return known, series


def test_values_have_the_index_of_their_time_and_nan_is_none() -> None:
    known, [series] = ask([({"a": "b"}, {END - 3600: 1.5, END - 3585: math.nan, END - 3570: math.inf, END: 2})])
    assert (series.labels, series.values) == ({"a": "b"}, {0: 1.5, 240: 2})
    assert known.window == "60s"
    assert ask([], interval=60)[0].window == "240s"
    assert ask([], RANGES[3])[0].window == "28800s"


def test_a_chart_has_its_largest_series_and_says_how_many_are_missing() -> None:
    found: Found = [({"x": f"s{i:02}"}, {END - 15: 100.0 - i, END: float(i)}) for i in range(10)]
    chart = Chart("k", "t", "%", (Line("a", "{x}"),))
    with prometheus(lambda _query, _times: found) as address:
        told = Prometheus(address, HOUR, END, 15).chart(chart)
    assert told is not None
    assert [series["name"] for series in told["series"]] == [f"s{i:02}" for i in range(2, 10)]
    assert [len(series["values"]) for series in told["series"]] == [241] * 8
    assert told["series"][0]["values"][-3:] == [None, 98, 2]
    assert told["text"] == "2 smaller ones are not shown."


def test_a_chart_without_values_is_left_out_and_one_that_is_refused_says_so() -> None:
    def refuse(_query: str, _times: list[float]) -> Found:
        raise ValueError

    chart = Chart("k", "t", "%", (Line("a", "b"),))
    with prometheus(lambda _query, times: [({}, {times[0]: math.nan})]) as address:
        assert Prometheus(address, HOUR, END, 15).chart(chart) is None
    with prometheus(refuse) as address:
        told = Prometheus(address, HOUR, END, 15).chart(chart)
    assert told is not None
    assert (told["text"], told["series"]) == ("Prometheus cannot compute this chart: it answers 422.", [])


def test_a_version_is_its_number() -> None:
    chart = Chart("k", "t", "version", (Line("a", "{model}", number="version"),))
    found: Found = [
        ({"model": "fraud", "version": "3"}, {END - 30: 1.0, END - 15: 1.0}),
        ({"model": "fraud", "version": "12"}, {END: 1.0}),
    ]
    with prometheus(lambda _query, _times: found) as address:
        told = Prometheus(address, HOUR, END, 15).chart(chart)
    assert told is not None
    [series] = told["series"]
    assert (series["name"], series["values"][-4:]) == ("fraud", [None, 3, 3, 12])


@pytest.mark.parametrize(
    ("last", "hours", "said"),
    [
        (5, 5, ""),
        (70.0, 20, "At the pace of the last 20 hours, / is full in 30 hours."),
        (60.0, 96, "At the pace of the last 4 days, / is full in 16 days."),
        (50.0, 24, "At the pace of the last 24 hours, / does not become full within a year."),
        (40.0, 24, "At the pace of the last 24 hours, / does not become full within a year."),
        (99.8, 24, "/ is full."),
    ],
)
def test_a_disk_that_fills_says_when(last: float, hours: int, said: str) -> None:
    values = {i: 50 + (last - 50) * i / hours for i in range(hours + 1)}
    assert history.forecast("/", values, 3600) == said


def test_a_served_version_that_changes_is_an_event() -> None:
    def series(version: str, *values: int) -> Series:
        return Series({"model": "fraud", "version": version}, dict.fromkeys(values, 1.0))

    mark = Mark("promotion", "", "version {version} of {model}", change="version")
    # Version 3 is served first. Version 4 starts while version 3 is still served. After a gap, version 3 is served
    # again.
    found = [series("3", 0, 1, 2, 3, 8, 9), series("4", 3, 4, 5), Series({"model": "b", "version": "1"}, {5: 1.0})]
    assert list(history.changes(found, mark)) == [Event(4, "version 4 of fraud"), Event(8, "version 3 of fraud")]
    assert list(history.changes([series("3", 4, 5)], mark)) == []


def test_the_value_of_a_metric_is_the_time_of_an_event() -> None:
    starts = {END - 900: END - 5000, END - 800: END - 850, END - 700: END - 850, END: END - 100}
    with prometheus(lambda _query, _times: [({"unit": "mlflow"}, starts)]) as address:
        found = Prometheus(address, HOUR, END, 15).events(Mark("restart", "a", "{unit} started"))
    assert sorted(each.time for each in found) == [END - 850, END - 100]
    assert {each.text for each in found} == {"mlflow started"}


def test_events_near_each_other_are_one() -> None:
    events = [Event(20, "b"), Event(10, "a"), Event(21, "a"), Event(40, "c")]
    assert history.merged(events, 15) == [Event(10, "a; b"), Event(40, "c")]


def rising(query: str, times: list[float]) -> Found:
    """Return a rising series over the whole range; for the query of backups, a success in each step."""
    if "last_success" in query and "time()" not in query:
        return [({}, {moment: moment - 1 for moment in times})]
    labels = {"service": "a", "name": "a", "model": "a", "mountpoint": "/", "bucket": "a", "reason": "a", "unit": "a"}
    return [(labels | {"version": "7"}, {moment: 10 + (moment - times[0]) / 1e6 for moment in times})]


def test_a_file_is_written_for_each_range_when_it_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with prometheus(rising) as address:
        charts = Charts(address, tmp_path / "page", ["nginx", "backup"], 15)
        assert charts.write_due() == ""
        files = {path.name: json.loads(path.read_text()) for path in (tmp_path / "page").iterdir()}
        assert sorted(files) == ["charts-1h.json", "charts-24h.json", "charts-7d.json", "charts-90d.json"]
        day = files["charts-24h.json"]
        # The charts of MySQL, MinIO and serving are missing, because these services are not installed.
        expected = [each.key for each in CHARTS if each.service in ("", "nginx", "backup")]
        assert [chart["key"] for chart in day["charts"]] == expected
        assert day["end"] - day["begin"] == 86400
        assert abs(day["end"] - time.time()) < 10
        assert [files[each.file]["refresh"] for each in RANGES] == [each.refresh for each in RANGES]
        # The charts show no marks of backups, because 288 marks would hide the lines.
        assert day["unmarked"] == ["backup"]
        assert {mark["kind"] for mark in day["marks"]} == set()
        before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "page").iterdir()}
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 61)
        assert charts.write_due() == ""
        changed = [path.name for path in (tmp_path / "page").iterdir() if path.stat().st_mtime_ns != before[path.name]]
        assert changed == ["charts-1h.json"]


def test_a_young_history_is_read_again_soon(tmp_path: Path) -> None:
    with prometheus(
        lambda query, times: [(labels, dict(list(values.items())[-4:])) for labels, values in rising(query, times)]
    ) as address:
        Charts(address, tmp_path, ["nginx"], 15).write_due()
    written = {each.name: json.loads((tmp_path / each.file).read_text())["refresh"] for each in RANGES}
    # The history is three steps long. A file is written again after a tenth of this time, but not within 60 s.
    assert written == {"1h": 60, "24h": 90, "7d": 720, "90d": 8640}


def test_a_machine_without_any_value_is_asked_again_at_once(tmp_path: Path) -> None:
    with prometheus(lambda _query, _times: []) as address:
        Charts(address, tmp_path, ["nginx"], 15).write_due()
    found = json.loads((tmp_path / "charts-90d.json").read_text())
    assert (found["charts"], found["refresh"]) == ([], 10)


def test_without_prometheus_the_old_files_stay_and_the_reason_is_said(tmp_path: Path) -> None:
    (tmp_path / "charts-1h.json").write_text("old")
    with prometheus(rising) as address:
        pass
    charts = Charts(address, tmp_path, [], 15)
    problem = "charts-1h.json cannot be written: [Errno 111] Connection refused"
    assert charts.write_due() == problem
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("charts-1h.json", "old")]
    # The next attempt follows some seconds later. Until then, write_due returns the same problem.
    assert charts.write_due() == problem


def test_a_problem_is_tried_again_ever_later_and_ends_with_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with prometheus(rising) as address:
        pass
    charts = Charts(address, tmp_path, [], 15)
    for wait in (10, 20, 40):
        assert charts.write_due()
        assert [due - now[0] for due in charts.due.values()] == [wait] * len(RANGES)
        now[0] += wait
    with prometheus(rising) as charts.address:
        assert charts.write_due() == ""


def test_a_range_with_a_chart_that_failed_is_written_again_soon(tmp_path: Path) -> None:
    def refuse(query: str, times: list[float]) -> Found:
        if "MemTotal" in query:
            raise ValueError
        return rising(query, times)

    with prometheus(refuse) as address:
        assert Charts(address, tmp_path, [], 15).write_due() == ""
    refresh = {each.name: json.loads((tmp_path / each.file).read_text())["refresh"] for each in RANGES}
    assert refresh == {"1h": 60, "24h": 300, "7d": 600, "90d": 600}


def test_a_slow_prometheus_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    seconds = iter(range(0, 10**6, 40))
    monkeypatch.setattr(time, "monotonic", lambda: now + next(seconds))
    with prometheus(rising) as address:
        assert (
            Charts(address, tmp_path, [], 15).write_due() == "charts-1h.json cannot be written: Prometheus is too slow"
        )


def test_an_answer_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "MOST_BYTES", 1 << 10)
    chart = Chart("k", "t", "%", (Line("a", "b"),))
    with prometheus(rising) as address:
        told = Prometheus(address, HOUR, END, 15).chart(chart)
    assert told is not None
    assert told["text"].startswith("Prometheus cannot compute this chart: its answer has more than")
