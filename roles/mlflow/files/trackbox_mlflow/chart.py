"""Reads the values of a metric's chart through an index, if the metric has many values.

MLflow numbers all values of the metric in the order of their steps, divides them into buckets, and takes the first
value of each bucket. Steps mostly form a few sequences of equal distances: one for a whole training, one more after a
pause, or after the distance was changed. The index finds the ends of these sequences in a few queries. Then the first
step of each bucket can be computed, and the index finds its value. If a computed step has no value, or if there are
many sequences, MLflow's own statement runs instead. Steps that are missing or repeated between the computed ones are
not noticed. Then the chart's values have equal distances in steps, instead of equal numbers of values between them.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import Any

from trackbox_mlflow import patches

# The index is used if a metric has at least this many values for each point of the chart. With fewer values, MLflow's
# own statement is as fast.
MANY = 2
# MLflow's own statement runs if the steps form more sequences than this.
SEQUENCES = 20
# How many steps one query looks for, to find the end of a sequence.
PROBES = 64


def bucket_starts(count: int, buckets: int) -> list[int]:
    """Return the number of each bucket's first row. As with SQL's NTILE, the first buckets may be one row larger."""
    size, larger = divmod(count, buckets)
    return [number * size + min(number, larger) for number in range(buckets)]


def regular(values: Any, step: Any, first: int, second: int, end: int) -> range:
    """Return the longest sequence of steps with equal distances that begins with two steps, up to the step `end`.

    values: a query for the metric's values. step: the column of the steps.
    """
    distance = second - first
    present, absent = 1, (end - first) // distance + 1
    while absent - present > 1:
        width = absent - 1 - present
        places = sorted({present + -(-width * probe // PROBES) for probe in range(1, PROBES + 1)})
        steps = [first + distance * place for place in places]
        found = {row.step for row in values.with_entities(step).filter(step.in_(steps)).distinct()}
        for place, wanted in zip(places, steps, strict=True):
            if wanted not in found:
                absent = place
                break
            present = place
    return range(first, first + distance * present + 1, distance)


def sequences(values: Any, step: Any, end: int) -> list[range]:
    """Return the steps as sequences of equal distances; an empty list if there are too many, or repeated steps.

    end: the last step; values, step: as in `regular`.
    """
    found: list[range] = []
    rest = values
    while len(found) < SEQUENCES:
        # Order by the step alone, because the index has this order. For further columns MySQL would sort all values.
        first, second = ([row.step for row in rest.order_by(step).limit(2)] + [end])[:2]
        if first == end:
            return [*found, range(end, end + 1)]
        if first == second:
            return []
        found.append(regular(values, step, first, second, end))
        if found[-1][-1] == end:
            return found
        rest = values.filter(step > found[-1][-1])
    return []


def sample(session: Any, metric: Any, filters: list[Any], order_by: list[Any], points: int) -> list[Any] | None:
    """Return the rows of a chart with this number of points; None if the steps are irregular or too few.

    metric: MLflow's SqlMetric. filters: the conditions that select the metric's values. order_by: their order, by the
    step first.
    """
    values = session.query(metric.value, metric.timestamp, metric.step, metric.is_nan).filter(*filters)
    if not (ending := values.order_by(metric.step.desc()).limit(1).all()):
        return None
    end = ending[0].step
    found = sequences(values, metric.step, end)
    before = list(accumulate(map(len, found), initial=0))
    if before[-1] < MANY * points:
        return None
    places = [(bisect_right(before, row) - 1, row) for row in bucket_starts(before[-1], points)]
    steps = [found[number][row - before[number]] for number, row in places]
    # A resumed run can have logged a step twice. The chart has the first value of each step.
    rows: dict[int, Any] = {}
    for row in values.filter(metric.step.in_(steps)).order_by(*order_by).limit(2 * points):
        rows.setdefault(row.step, row)
    if list(rows) != steps:
        return None
    # Replace the chart's last value by the metric's last value, as MLflow does.
    last = values.filter(metric.step == end).order_by(*(column.desc() for column in order_by)).limit(1).all()
    return [*list(rows.values())[:-1], *last]


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
