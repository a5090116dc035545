"""A chart of many values of a metric takes them from an index.

MLflow numbers all values of the metric in order of their steps, and takes the first of each of so many buckets. Where
each step has one value, at equal distances, the buckets' first steps can be computed, and the index has their values.
The first two values and the last one say the distance, and the values found say whether it holds at each of these
steps; otherwise MLflow's own statement runs. Steps that are missing or repeated between the found ones go unnoticed:
then the chart has values at equal distances of steps instead of equal numbers of values.
"""

from __future__ import annotations

from typing import Any

from trackbox_mlflow import patches

# Times the chart's points: below that MLflow's statement is as fast.
MANY = 2


def bucket_starts(count: int, buckets: int) -> list[int]:
    """Return the places of the first row of each bucket, as NTILE divides `count` rows: the first ones are larger."""
    size, larger = divmod(count, buckets)
    return [number * size + min(number, larger) for number in range(buckets)]


def sample(session: Any, metric: Any, filters: list[Any], order_by: list[Any], points: int) -> list[Any] | None:
    """Return the rows of a chart with so many points; None where the steps do not tell which they are.

    metric: MLflow's SqlMetric; filters, order_by: the values of the chart in their order, by the step first.
    """
    values = session.query(metric.value, metric.timestamp, metric.step, metric.is_nan).filter(*filters)
    # By the step alone: MySQL would sort all values for the columns that follow it in the index.
    start = values.order_by(metric.step).limit(2).all()
    if len(start) < 2 or (distance := start[1].step - start[0].step) <= 0:
        return None
    end = values.order_by(metric.step.desc()).limit(1).all()[0].step
    count, rest = divmod(end - start[0].step, distance)
    if rest or count + 1 < MANY * points:
        return None
    steps = [start[0].step + distance * place for place in bucket_starts(count + 1, points)]
    rows: list[Any] = values.filter(metric.step.in_(steps)).order_by(*order_by).limit(points + 1).all()
    if [row.step for row in rows] != steps:
        return None
    # MLflow ends a chart with the last value.
    last = values.filter(metric.step == end).order_by(*(column.desc() for column in order_by)).limit(1).all()
    return rows[:-1] + last


def install() -> None:
    """Let MLflow's store try the index first."""
    if not (found := patches.CHART.get()):
        return
    store, original, metric = found

    def sample_rows(self: Any, session: Any, filters: list[Any], order_by: list[Any], max_results: int) -> list[Any]:
        """Return the rows of a chart."""
        rows = sample(session, metric, filters, order_by, max_results)
        if rows is None:
            rows = original(self, session, filters, order_by, max_results)
        return rows

    store._sample_rows_with_window_functions = sample_rows
