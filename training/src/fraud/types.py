"""The types that more than one sub-package uses. This module imports nothing from `fraud`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Cost:
    """The cost of a missed fraud (`fn`) and of a false alarm (`fp`), in the same currency.

    The default of `fn` is near 122, the mean amount of a fraud in the full file. The default of
    `fp` is the cost of a few minutes of an employee's time.
    """

    fn: float = 120.0
    fp: float = 5.0


@dataclass(frozen=True)
class Options:
    """The options of `fraud train`; None means the default.

    Attributes:
        profile: a key of `fraud.models.recipes.PROFILES`.
        models: names of recipes, separated by commas; None trains all of the profile.
        data: see `name` of `fraud.data.dataset.resolve`.
        split: `time` or `random`.
        jobs: number of models that are fitted at the same time; None means one per core.
        seed: random seed of the split, the models and the bootstrap.
        experiment: name of the experiment in MLflow; None means that of the settings.
        cost: each model's threshold minimises this cost.

    """

    profile: str = "default"
    models: str | None = None
    data: str | None = None
    split: str = "time"
    jobs: int | None = None
    seed: int = 0
    experiment: str | None = None
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True)
class Manifest:
    """The description of a data set. It is stored with the rows.

    Attributes:
        hash: SHA-256 of the values. This hash is the data set's name.
        kind: `real` or `synthetic`.
        source: file name, `openml:ID`, or the origin of synthetic data.
        source_sha256: SHA-256 of the source file; empty if the source is not a file.
        time_range: first and last value of `Time`, in seconds.
        notes: what cleaning changed, one sentence for each change.
        pushed: time of the push in UTC, in the format of ISO 8601.

    """

    hash: str
    kind: str
    source: str
    source_sha256: str
    rows: int
    frauds: int
    columns: list[str]
    time_range: list[float]
    notes: list[str]
    pushed: str


@dataclass(frozen=True)
class Dataset:
    """Clean rows, their manifest, and notes for the user (one sentence each)."""

    frame: pd.DataFrame
    manifest: Manifest
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Split:
    """Three disjoint parts of a data set: to fit models, to choose among them, to test them."""

    train: pd.DataFrame
    valid: pd.DataFrame
    test: pd.DataFrame


@dataclass(frozen=True)
class Context:
    """The input that all steps of a comparison share.

    Attributes:
        columns: distribution of each feature in the training and validation parts, for the
            reference profiles of the models.

    """

    options: Options
    dataset: Dataset
    parts: Split
    columns: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Recipe:
    """How to build and fit one model of a profile.

    Attributes:
        name: name of the model and of its run.
        build: function of seed and number of threads that returns an unfitted estimator.
        undersample: share of frauds among the rows for fitting; None uses all training rows.
        probability: whether the scores are P(fraud); otherwise they only rank rows.
        duration: estimated fitting time relative to other recipes; the slowest is started first.

    """

    name: str
    build: Callable[[int, int], Any]
    undersample: float | None = None
    probability: bool = True
    duration: float = 1.0


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % interval by Wilson's method or bootstrap (2.5 % to 97.5 % quantile)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Fitted:
    """A fitted model with its evaluation.

    Attributes:
        estimator: fitted estimator with scikit-learn's interface.
        scores: (n_test,) scores of the test part, which is scored once.
        valid_scores: (n_valid,) scores of the validation part.
        threshold: the threshold with the least cost on the validation part.
        metrics: metrics on the test part, except `valid_average_precision`, which is measured on
            the validation part and ranks the models.
        interval: average precision on the test part, with its interval.
        importance: (n_features,) permutation importance on the validation part, largest first.

    """

    recipe: Recipe
    estimator: Any
    scores: np.ndarray
    valid_scores: np.ndarray
    threshold: float
    metrics: dict[str, float]
    interval: Interval
    importance: pd.Series


@dataclass(frozen=True)
class Outcome:
    """One tracked model of a comparison: its identifiers in MLflow and its metrics."""

    name: str
    run: str
    model: str
    metrics: dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """A finished comparison.

    Attributes:
        experiment, run: identifiers in MLflow.
        data: the data set's hash.
        kind: kind of the data set, `real` or `synthetic`.
        link: address of the run's page in MLflow's user interface.
        outcomes: outcomes ordered by average precision on the validation part, best first.

    """

    experiment: str
    run: str
    data: str
    kind: str
    link: str
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True)
class Decision:
    """The result of `fraud promote`.

    Attributes:
        model: name of the challenger's recipe.
        version: version of the challenger in the registry; None after a dry run.
        against: version of the champion before the decision; None if there was no champion.
        gain: average precision of the challenger minus that of the champion.
        notes: what limits the comparison, one sentence each.

    """

    model: str
    version: str | None
    promoted: bool
    reason: str
    against: str | None = None
    gain: Interval | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """The result of `fraud predict`: counts of rows, model version, threshold and output file."""

    rows: int
    flagged: int
    version: str
    threshold: float
    output: str


@dataclass(frozen=True)
class Window:
    """Which predictions `fraud evaluate` measures.

    Attributes:
        since, until: first and last day of prediction; None means no limit.
        time_zone: time zone of these days, such as `Europe/Berlin`.
        ordinary_after: days after which a row without a label counts as ordinary; None means never.

    """

    since: date | None = None
    until: date | None = None
    time_zone: str = "UTC"
    ordinary_after: int | None = None


@dataclass(frozen=True)
class Served:
    """A version's counts of rows, and its precision and recall by the labels that clients sent.

    Attributes:
        version: version number in the registry.
        challenger: whether the version only scored logged rows and served no client.
        rows: number of rows that the version scored.
        labelled: number of rows with label and decision; the next three count only such rows.
        flagged: number of rows that the version flagged.
        frauds: number of rows with the label 1.
        caught: number of flagged rows with the label 1.
        precision: `caught / flagged`; None if no row was flagged.
        recall: `caught / frauds`; None if there was no fraud.

    """

    version: str
    challenger: bool
    rows: int
    labelled: int
    flagged: int
    frauds: int
    caught: int
    precision: Interval | None = None
    recall: Interval | None = None

    @property
    def title(self) -> str:
        """The name of the version in tables and pictures."""
        return f"version {self.version}" + (" (challenger)" if self.challenger else "")

    @property
    def shares(self) -> dict[str, Interval]:
        """Precision and recall by name, without those that are None."""
        named = {"precision": self.precision, "recall": self.recall}
        return {name: share for name, share in named.items() if share}


@dataclass(frozen=True)
class Difference:
    """A challenger compared with a live version on the same logged rows.

    Attributes:
        version, against: version numbers of the challenger and of the live version.
        changed: number of rows with different decisions.
        newly_flagged: number of these rows that the challenger flags.
        mean, largest: mean and largest absolute difference of the scores; None without scores.

    """

    version: str
    against: str
    rows: int
    changed: int
    newly_flagged: int
    mean: float | None
    largest: float | None


@dataclass(frozen=True)
class Evaluation:
    """The result of `fraud evaluate`.

    Attributes:
        model: name of the registered model.
        run, link: identifier of the run in MLflow, and the address of its page.
        versions: all versions, challengers included, in the order of their numbers.
        differences: comparisons of challengers with live versions.
        notes: what limits the results, one sentence each.

    """

    model: str
    run: str
    link: str
    versions: tuple[Served, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Change:
    """A feature, or the score, of a period compared with the training.

    Attributes:
        name: column of the log.
        index: population stability index.
        noise: the index that rows like those of the training hardly exceed.
        drifted: whether the index is above the limit and above the noise.
        words: the part of the rows that changed most, such as `are above 93.39`.
        before, now: share of this part in training and in the period.
        missing, missing_before: share of missing values in the period and in training.
        outside, outside_before: share of values out of the range of the training.

    """

    name: str
    index: float
    noise: float
    drifted: bool
    words: str
    before: float
    now: float
    missing: float
    missing_before: float
    outside: float
    outside_before: float

    @property
    def title(self) -> str:
        """The name in sentences."""
        return "The score" if self.name == "score" else self.name

    @property
    def text(self) -> str:
        """A sentence that says what changed, and by how much."""
        before, now = (f"{share * 100:.3g}%" for share in (self.before, self.now))
        return f"{now} {self.words} now, {before} were in training (index {self.index:.2g})."


@dataclass(frozen=True)
class Monitored:
    """A version in a period, compared with its training.

    Attributes:
        version: version number in the registry.
        rows, requests: numbers of rows and of requests.
        first, last: first and last day with rows, in UTC, YYYY-MM-DD.
        flagged, flagged_before: share of flagged rows in the period, None without a threshold, and
            when the model was made, None without a reference profile.
        featured: number of rows that were logged with features.
        changes: features and score, the largest index first; empty without a reference profile.
        precision, recall: estimates without labels; None without a calibration.
        precision_before, recall_before: the same when the model was made.
        real: what the labels say.

    """

    version: str
    rows: int
    requests: int
    first: str
    last: str
    flagged: float | None
    flagged_before: float | None
    featured: int
    changes: tuple[Change, ...]
    precision: Interval | None
    recall: Interval | None
    precision_before: float | None
    recall_before: float | None
    real: Served


@dataclass(frozen=True)
class Monitoring:
    """The result of `fraud monitor`.

    Attributes:
        model: name of the registered model.
        run, link: identifier of the run in MLflow, and the address of its page.
        since, until: first and last day of the period in UTC, YYYY-MM-DD.
        versions: all versions that scored rows, in the order of their numbers.
        sentences: what to know, by version, in the same order.
        notes: what limits the results, one sentence each.

    """

    model: str
    run: str
    link: str
    since: str
    until: str
    versions: tuple[Monitored, ...]
    sentences: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
