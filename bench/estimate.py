"""Measure how far the precision and recall that `fraud monitor` estimates without labels are from the labels.

Usage, with the packages of training/ and a file of real rows:

    training/.venv/bin/python bench/estimate.py creditcard.csv

A model is fitted, calibrated, and used on the last fifth of the rows, which it never saw: at random, or by time in six
windows of three quarters of the rows. The rest is split 60/20/20 as `fraud train` does. The output is a Markdown table.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from fraud.data.reading import read
from fraud.data.schema import LABEL, clean
from fraud.data.split import at_random, by_time
from fraud.evaluation.calibration import calibrate, estimate
from fraud.evaluation.metrics import best_threshold
from fraud.models.fitting import fit_estimator
from fraud.models.flavours import predict_scores
from fraud.models.recipes import PROFILES
from fraud.types import Cost, Split
from threadpoolctl import threadpool_limits

MODELS = ("logistic", "extra-trees", "xgboost", "histogram-boosting")
WINDOWS = 6
# The cases of the rows whose labels are held back.
SAME, LATER, LARGE, FEWER = "same hours", "later hours", "mostly amounts above 100", "a fifth of the frauds"


class Error(NamedTuple):
    """Errors of the estimate and of the test part's value, and whether the estimate's interval has the truth."""

    estimate: float
    tested: float
    covered: bool


def parts_of(frame: pd.DataFrame, part: Callable[[pd.DataFrame], pd.Series]) -> tuple[Split, pd.DataFrame]:
    """Return the parts that are known when the model is made, and the rows whose labels are held back."""
    held_back = part(frame) == 2
    known = frame[~held_back].reset_index(drop=True)
    number = part(known)
    return Split(*(known[number == n].reset_index(drop=True) for n in range(3))), frame[held_back]


def splits(frame: pd.DataFrame, count: int) -> Iterator[tuple[Split, dict[str, pd.DataFrame]]]:
    """Yield the known parts of each split, and the held-back rows by case."""
    for seed in range(count):
        parts, rows = parts_of(frame, partial(at_random, seed=seed))
        drawn = np.random.default_rng(seed).random(len(rows))
        large, fewer = (rows["Amount"] > 100) | (drawn < 0.1), (rows[LABEL] == 0) | (drawn < 0.2)
        yield parts, {SAME: rows, LARGE: rows[large], FEWER: rows[fewer]}
    size = len(frame) * 3 // 4
    for first in np.linspace(0, len(frame) - size, WINDOWS).astype(int):
        parts, rows = parts_of(frame[first : first + size].reset_index(drop=True), by_time)
        yield parts, {LATER: rows}


def errors(name: str, parts: Split, cases: dict[str, pd.DataFrame]) -> Iterator[tuple[tuple[str, str], Error]]:
    """Yield for each case, and for precision and recall: how far the estimate is from the labels."""
    recipe = next(one for one in PROFILES["default"] if one.name == name)
    estimator = fit_estimator(recipe, parts, 0, 1)
    known = pd.concat([parts.valid, parts.test])
    labels, scores = known[LABEL].to_numpy(), predict_scores(estimator, known)
    half = len(parts.valid)
    threshold = best_threshold(labels[:half], scores[:half], Cost())
    calibration = calibrate(labels, scores, threshold)
    tested = truth(labels[half:], scores[half:] >= threshold)
    for case, rows in cases.items():
        found = predict_scores(estimator, rows)
        real = truth(rows[LABEL].to_numpy(), found >= threshold)
        estimates = estimate(calibration, calibration.count(found))
        for what, one, share, before in zip(("precision", "recall"), estimates, real, tested, strict=True):
            if one and not np.isnan(share):
                yield (case, what), Error(one.value - share, before - share, one.low <= share <= one.high)


def truth(labels: np.ndarray, flagged: np.ndarray) -> tuple[float, float]:
    """Return precision and recall; NaN without a flagged row or a fraud."""
    caught = labels[flagged].sum()
    return tuple(float(caught / n) if n else float("nan") for n in (flagged.sum(), labels.sum()))


def table(found: dict[tuple[str, str], list[Error]]) -> str:
    """Return a Markdown table of all errors."""
    lines = [
        "| held-back rows | | mean error [95 % of the errors] | mean absolute error | interval covers | test part's |",
        "| --- | --- | --- | ---: | ---: | ---: |",
    ]
    for (case, what), each in found.items():
        ours, tested, covered = map(np.array, zip(*each, strict=True))
        low, high = np.quantile(ours, [0.025, 0.975])
        lines.append(
            f"| {case} | {what} | {ours.mean():+.3f} [{low:+.3f}, {high:+.3f}] | {np.abs(ours).mean():.3f} "
            f"| {covered.mean():.0%} of {len(ours)} | {np.abs(tested).mean():.3f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure all splits and models, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", help="a file of real rows, as for `fraud data push`")
    parser.add_argument("--splits", type=int, default=20, help="at random")
    options = parser.parse_args()
    frame = clean(read(Path(options.file)), options.file).frame
    found: dict[tuple[str, str], list[Error]] = defaultdict(list)
    with threadpool_limits(limits=1):
        for parts, cases in splits(frame, options.splits):
            for name in MODELS:
                for what, error in errors(name, parts, cases):
                    found[what].append(error)
    print(table(found))


if __name__ == "__main__":
    main()
