"""The values of the charts, written from Prometheus' responses to a JSON file for each range of time."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from trackbox_host.status import replace

from trackbox_monitoring.alerts import ask
from trackbox_monitoring.charts import CHARTS, MARKS, Chart, Line, Mark

ERRORS = (OSError, HTTPException, ValueError, KeyError, TypeError)
# The timeout of a query in seconds. Prometheus itself aborts a query after 10 s.
PATIENCE = 12.0
# Seconds until the first retry after an error. The wait doubles with each further retry.
RETRY = 10.0
# The time limit in seconds for all charts of a range together.
MOST_SECONDS = 60.0
# Seconds after which the file of a range is written again if Prometheus could not compute one of its charts.
AGAIN = 600
# The maximum number of series in a chart, and of marks of one kind: more of them would cover each other.
SERIES = 8
MOST_MARKS = 40
# In seconds: the shortest history for a forecast, and the longest time that a forecast names.
LEAST = 6 * 3600
YEAR = 365 * 86400.0
# The percentage from which a disk counts as full.
FULL = 99.5


@dataclass(frozen=True)
class Range:
    """A range of time on the page: its length, the time between two values and between two writes, in seconds."""

    name: str
    seconds: int
    step: int
    refresh: int

    @property
    def file(self) -> str:
        """Return the name of the range's file."""
        return f"charts-{self.name}.json"


# Each range has at most 300 values per series.
RANGES = (
    Range("1h", 3600, 15, 60),
    Range("24h", 86400, 300, 300),
    Range("7d", 7 * 86400, 2400, 1800),
    Range("90d", 90 * 86400, 8 * 3600, 6 * 3600),
)


@dataclass(frozen=True)
class Series:
    """A time series of Prometheus: its labels, and its values by the index of their time."""

    labels: Mapping[str, str]
    values: Mapping[int, float]


@dataclass(frozen=True)
class Event:
    """An event: its time in seconds, and what happened."""

    time: float
    text: str


def short(value: float) -> float:
    """Return a value rounded to four digits, because a chart cannot show more."""
    rounded = float(f"{value:.4g}")
    return int(rounded) if rounded.is_integer() else rounded


def duration(seconds: float) -> str:
    """Return a duration as text, in hours or days."""
    number, unit = (seconds / 3600, "hours") if seconds < 2 * 86400 else (seconds / 86400, "days")
    return f"{number:.0f} {unit}"


def forecast(name: str, values: Mapping[int, float], step: int) -> str:
    """Return when the values will reach 100, as a sentence, by linear regression. Empty if the history is too short."""
    if len(values) < 3 or (span := (max(values) - min(values)) * step) < LEAST:
        return ""
    at, level = sum(values) / len(values), sum(values.values()) / len(values)
    slope = sum((i - at) * (v - level) for i, v in values.items()) / sum((i - at) ** 2 for i in values) / step
    if values[max(values)] > FULL:
        return f"{name} is full."
    left = (100 - values[max(values)]) / slope if slope > 0 else math.inf
    past = f"At the pace of the last {duration(span)}"
    if left > YEAR:
        return f"{past}, {name} does not become full within a year."
    return f"{past}, {name} is full in {duration(left)}."


def changes(found: Iterable[Series], mark: Mark) -> Iterable[Event]:
    """Yield an event for each change of the label `mark.change`, with the index of a value as its time.

    Series that differ only in this label describe the same thing.
    """
    known: dict[tuple[tuple[str, str], ...], dict[int, set[str]]] = {}
    for series in found:
        thing = tuple(sorted((key, value) for key, value in series.labels.items() if key != mark.change))
        for index in series.values:
            known.setdefault(thing, {}).setdefault(index, set()).add(series.labels[mark.change])
    for thing, present in known.items():
        last = ""
        for index in sorted(present):
            # The old and the new value can be present together for a moment. The change counts when the old value is
            # gone.
            if last in present[index]:
                continue
            new = min(present[index])
            if last:
                yield Event(index, mark.text.format(**dict(thing), **{mark.change: new}))
            last = new


def merged(events: Iterable[Event], near: float) -> list[Event]:
    """Return events sorted by time. Events within `near` seconds of the first one of a group become one event."""
    groups: list[tuple[float, list[str]]] = []
    for event in sorted(events, key=lambda each: (each.time, each.text)):
        if groups and event.time - groups[-1][0] <= near:
            groups[-1][1].append(event.text)
        else:
            groups.append((event.time, [event.text]))
    return [Event(moment, "; ".join(dict.fromkeys(texts))) for moment, texts in groups]


class Prometheus:
    """Queries to Prometheus over a range of time.

    end: the end of the range, in seconds since 1970. interval: the scrape interval in seconds.
    """

    def __init__(self, address: str, over: Range, end: float, interval: float) -> None:
        self.address, self.over, self.end = address, over, end
        self.begin = end - over.seconds
        # A rate needs two samples. A window of four scrapes has them even if one scrape fails.
        self.window = f"{max(over.step, 4 * interval):.0f}s"

    def ask(self, query: str) -> list[Series]:
        """Return the series of a query. Raises one of ERRORS."""
        asked = {"query": query.replace("$window", self.window), "step": self.over.step}
        given = urlencode(asked | {"start": f"{self.begin:.3f}", "end": f"{self.end:.3f}"})
        answer = json.loads(ask(self.address, f"/api/v1/query_range?{given}", seconds=PATIENCE))
        return [
            Series(
                series["metric"],
                {
                    round((float(moment) - self.begin) / self.over.step): float(value)
                    for moment, value in series["values"]
                    if math.isfinite(float(value))
                },
            )
            for series in answer["data"]["result"]
        ]

    def line(self, line: Line) -> dict[str, dict[int, float]]:
        """Return the values of each series of a line, by the series' name. Series with the same name are merged."""
        named: dict[str, dict[int, float]] = {}
        for series in self.ask(line.query):
            values = dict(series.values)
            if line.number:
                number = float(series.labels[line.number])
                values = dict.fromkeys(values, number)
            if values:
                named.setdefault(line.name.format(**series.labels), {}).update(values)
        return named

    def chart(self, chart: Chart) -> dict[str, Any] | None:
        """Return a chart for the page, or None without values. A chart with a refused query has an error message."""
        told = {
            "key": chart.key,
            "title": chart.title,
            "unit": chart.unit,
            "most": chart.most,
            "text": "",
            "series": [],
        }
        try:
            named = {name: values for line in chart.lines for name, values in self.line(line).items()}
        except (ValueError, TimeoutError) as error:
            return told | {"text": f"Prometheus cannot compute this chart: {error}."}
        if not named:
            return None
        # Show the series with the largest last values, in the order of the chart's lines.
        largest = sorted(named, key=lambda name: named[name][max(named[name])], reverse=True)[:SERIES]
        texts = [forecast(name, values, self.over.step) for name, values in named.items() if chart.fills]
        if len(named) > SERIES:
            texts.append(f"{len(named) - SERIES} smaller ones are not shown.")
        count = self.over.seconds // self.over.step + 1
        series = [
            {"name": name, "values": [None if i not in values else short(values[i]) for i in range(count)]}
            for name, values in named.items()
            if name in largest
        ]
        return told | {"text": " ".join(filter(None, texts)), "series": series}

    def events(self, mark: Mark) -> list[Event]:
        """Return the events of a mark within the range."""
        found = self.ask(mark.query)
        if mark.change:
            return [Event(self.begin + event.time * self.over.step, event.text) for event in changes(found, mark)]
        times = {(value, mark.text.format(**series.labels)) for series in found for value in series.values.values()}
        return [Event(*each) for each in times if self.begin <= each[0] <= self.end]


def installed(what: Sequence[Any], services: Collection[str]) -> list[Any]:
    """Return the charts or marks whose service is installed on this machine, and those without a service."""
    return [each for each in what if not each.service or each.service in services]


def document(prometheus: Prometheus, services: Collection[str]) -> dict[str, Any]:
    """Return the content of the JSON file for one time range. Raises one of ERRORS if a query fails."""
    over, began, charts = prometheus.over, time.monotonic(), []
    for each in installed(CHARTS, services):
        if time.monotonic() - began > MOST_SECONDS:
            raise TimeoutError("Prometheus is too slow")
        if chart := prometheus.chart(each):
            charts.append(chart)
    events: dict[str, list[Event]] = {}
    for mark in installed(MARKS, services):
        events.setdefault(mark.kind, []).extend(prometheus.events(mark))
    marks = {kind: merged(each, over.seconds / 150) for kind, each in events.items()}
    first = [
        next(i for i, value in enumerate(series["values"]) if value is not None)
        for chart in charts
        for series in chart["series"]
    ]
    # While the history is short, write the file more often, because each new value changes the chart visibly.
    age = over.seconds - min(first) * over.step if first else 0
    refresh = min(over.refresh, max(60, age / 10)) if first else RETRY
    if any(chart["text"] and not chart["series"] for chart in charts):
        refresh = min(refresh, AGAIN)
    return {
        "range": over.name,
        "begin": round(prometheus.begin),
        "end": round(prometheus.end),
        "step": over.step,
        "refresh": round(refresh),
        "charts": charts,
        "marks": [
            {"time": round(event.time), "kind": kind, "text": event.text}
            for kind, each in marks.items()
            if len(each) <= MOST_MARKS
            for event in each
        ],
        "unmarked": [kind for kind, each in marks.items() if len(each) > MOST_MARKS],
    }


class Charts:
    """Writes the chart files of all ranges to the page's folder."""

    def __init__(self, address: str, folder: Path, services: Collection[str], interval: float) -> None:
        self.address, self.folder, self.services, self.interval = address, folder, services, interval
        self.due = dict.fromkeys(RANGES, 0.0)
        self.problems: dict[Range, str] = {}
        self.waits: dict[Range, float] = {}

    def write_due(self) -> str:
        """Write the files that are due. Return an error message if a file's last write failed, or an empty string."""
        for over, due in self.due.items():
            if time.monotonic() < due:
                continue
            try:
                found = document(Prometheus(self.address, over, time.time(), self.interval), self.services)
                self.folder.mkdir(exist_ok=True)
                replace(self.folder / over.file, json.dumps(found, separators=(",", ":")) + "\n")
                wait = float(found["refresh"])
                self.problems.pop(over, None)
                self.waits.pop(over, None)
            except ERRORS as error:
                self.problems[over] = f"{over.file} cannot be written: {str(error) or type(error).__name__}"
                wait = self.waits[over] = min(2 * self.waits.get(over, RETRY / 2), over.refresh)
            self.due[over] = time.monotonic() + wait
        return next(iter(self.problems.values()), "")
