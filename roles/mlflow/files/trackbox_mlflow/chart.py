"""Reads the values of a metric's chart through an index, if the metric has many values.

MLflow numbers all values of the metric in the order of their steps, divides them into buckets, and takes the first
value of each bucket. If each step has one value, and the steps have equal distances, the first step of each bucket can
be computed, and the index finds its value. The first two steps give the distance, and the last step gives the number
of values. If a computed step has no value or several, MLflow's own statement runs instead. Steps that are missing or
repeated between the computed ones are not noticed. Then the chart's values have equal distances in steps, instead of
equal numbers of values between them.
"""

from __future__ import annotations

from typing import Any

from trackbox_mlflow import patches

# The index is used if a metric has at least this many values for each point of the chart. With fewer values, MLflow's
# own statement is as fast.
MANY = 2


def bucket_starts(count: int, buckets: int) -> list[int]:
    """Return the number of each bucket's first row. As with SQL's NTILE, the first buckets may be one row larger."""
    size, larger = divmod(count, buckets)
    return [number * size + min(number, larger) for number in range(buckets)]


def sample(session: Any, metric: Any, filters: list[Any], order_by: list[Any], points: int) -> list[Any] | None:
    """Return the rows of a chart with this number of points; None if the steps are irregular or too few.

    metric: MLflow's SqlMetric. filters: the conditions that select the metric's values. order_by: their order, by the
    step first.
    """
    values = session.query(metric.value, metric.timestamp, metric.step, metric.is_nan).filter(*filters)
    # Order by the step alone, because the index has this order. With the further columns of `order_by`, MySQL would
    # have to sort all values.
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
    # Replace the chart's last value by the metric's last value, as MLflow does.
    last = values.filter(metric.step == end).order_by(*(column.desc() for column in order_by)).limit(1).all()
    return rows[:-1] + last


def install() -> None:
    """Make MLflow's store try the index before its own statement."""
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
