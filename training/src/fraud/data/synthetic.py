"""Generate a data set with the schema, size and share of frauds of the full Kaggle file.

Means and standard deviations are those of the public sample (356 frauds, 11,712 others). In the
real data, 65 % of the frauds' variance lies on one axis, because some frauds are shifted far along
this axis and others only a little. This module therefore multiplies the shift of each fraud by a
random *strength*, from 0 (like an ordinary row) to about 3. With random strengths, models rank in
the same order as on real rows.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from fraud.data.schema import COLUMNS, FEATURES, LABEL, TIME

#: Numbers of rows and frauds in the full file, and its last value of `Time` in seconds.
ROWS, FRAUDS, SECONDS = 284_807, 492, 172_792.0

#: Standard deviations of V1 … V28 among ordinary rows.
SPREAD = np.array(
    [1.73, 1.47, 1.30, 1.38, 1.30, 1.30, 1.14, 1.11, 1.07, 1.04, 1.04, 0.98, 1.00, 0.89]
    + [0.92, 0.84, 0.78, 0.81, 0.80, 0.72, 0.71, 0.68, 0.56, 0.62, 0.50, 0.52, 0.44, 0.39]
)
#: Means of V1 … V28 among frauds minus the means among ordinary rows.
SHIFT = np.array(
    [-4.35, 3.30, -7.07, 4.27, -2.73, -1.38, -4.98, 0.79, -2.41, -5.25, 3.40, -5.86, -0.10]
    + [-6.63, -0.16, -3.79, -5.96, -1.93, 0.63, 0.38, 0.36, 0.17, -0.02, -0.15, -0.02, 0.04]
    + [0.18, 0.05]
)


def _times(rng: np.random.Generator, size: int) -> np.ndarray:
    """(size,) seconds within two days, most of them between 9:00 and 22:00."""
    hours = np.arange(48)
    weight = 1.0 + 0.85 * np.tanh(4 * np.sin((hours % 24 - 8) / 24 * 2 * np.pi) + 2)
    hour = rng.choice(hours, size=size, p=weight / weight.sum())
    seconds: np.ndarray = np.minimum(np.floor((hour + rng.random(size)) * 3600), SECONDS)
    return seconds


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    """(size, 28) values with heavy tails. The columns of a row share one random scale."""
    tail = np.sqrt(3.0 / rng.chisquare(5.0, size=(size, 1)))
    rows: np.ndarray = rng.standard_normal((size, 28)) * tail * SPREAD
    return rows


def _ordinary(rng: np.random.Generator, size: int) -> np.ndarray:
    """(size, 28) ordinary rows: background, with one row in 400 shifted in some columns.

    These outliers imitate real rows that a linear model takes for frauds and tree models do not.
    """
    rows = _background(rng, size)
    outliers = rng.choice(size, size // 400, replace=False)
    shifted = rng.random((len(outliers), 28)) < 0.3
    rows[outliers] += SHIFT * shifted * rng.gamma(3.0, 0.6, (len(outliers), 1))
    return rows


def _frauds(rng: np.random.Generator, size: int) -> np.ndarray:
    """(size, 28) frauds: background + strength × SHIFT + noise in proportion to that product."""
    hidden = rng.random(size) < 0.15
    strength = np.where(hidden, 0.12 * rng.random(size), rng.gamma(2.6, 0.42, size))[:, None]
    noise = rng.standard_normal((size, 28)) * 0.35 * np.abs(SHIFT) * strength
    rows: np.ndarray = _background(rng, size) + SHIFT * strength + noise
    return rows


def generate(rows: int = ROWS, frauds: int = FRAUDS, seed: int = 0) -> pd.DataFrame:
    """Generate the data set.

    Args:
        rows: number of rows, frauds included.
        frauds: number of frauds.
        seed: random seed; the same seed gives the same rows.

    Returns:
        (rows, 31) with the columns `COLUMNS`, ordered by `Time`.

    """
    rng = np.random.default_rng(seed)
    label = np.repeat(np.array([0, 1], dtype=np.int8), [rows - frauds, frauds])
    values = np.vstack([_ordinary(rng, rows - frauds), _frauds(rng, frauds)])
    amount = np.round(np.exp(rng.normal(3.1, 1.6, rows)), 2)
    amount[label == 1] = np.round(np.exp(rng.normal(2.6, 2.3, frauds)), 2)
    frame = pd.DataFrame(values.round(9), columns=FEATURES[:28])
    frame["Amount"] = np.minimum(amount, 25_000.0)
    frame[TIME], frame[LABEL] = _times(rng, rows), label
    frame = frame.sort_values([TIME, "V1"], kind="stable", ignore_index=True)
    return frame[COLUMNS].astype({LABEL: np.int8})
