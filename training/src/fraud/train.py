"""`fraud train`: the models of a profile, in parallel, each a run below one comparison."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timezone

from fraud.data.dataset import Dataset, resolve
from fraud.data.schema import LABEL
from fraud.data.split import Split, split
from fraud.data.store import Store
from fraud.evaluation import comparison_pictures as draw
from fraud.evaluation.pictures import png
from fraud.evaluation.report import report
from fraud.models.fitting import Fitted, fit
from fraud.models.recipes import Recipe, choose
from fraud.screen import Screen
from fraud.settings import Settings
from fraud.signals import raise_lost
from fraud.tracking.probe import probe
from fraud.tracking.runs import Options, Outcome, log_dataset, pictures_of, tags_of, track
from fraud.tracking.tracker import Tracker, closing

#: A model as it is tracked, as it was fitted, and its pictures.
Result = tuple[Outcome, Fitted, dict[str, bytes]]


@dataclass(frozen=True)
class Comparison:
    """A finished comparison; `outcomes` has the best model of the validation part first."""

    experiment: str
    run: str
    data: str
    kind: str
    link: str
    outcomes: tuple[Outcome, ...]


def train(options: Options, settings: Settings, screen: Screen) -> Comparison:
    """Run a comparison from data to tracked models.

    Raises:
        FraudError: bad data or a server that does not answer; no run is left open.
    """
    recipes = choose(options.profile, options.models)
    probe(settings)
    dataset = resolve(options.data, Store(settings))
    screen.dataset(dataset)
    parts = split(dataset.frame, options.split, options.seed)
    tracker = Tracker(settings)
    experiment = tracker.experiment(options.experiment or settings.experiment)
    tags = tags_of(dataset, options)
    name = f"{options.profile} {datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S}"
    parent = tracker.start(experiment, name, {**tags, "role": "comparison"})
    with closing(tracker, parent, parent=True):
        log_dataset(tracker, parent, dataset)
        jobs = min(options.jobs or os.cpu_count() or 1, len(recipes))
        threads = max(1, (os.cpu_count() or 1) // jobs)

        def one(recipe: Recipe) -> Result:
            run = tracker.start(experiment, recipe.name, {**tags, "role": "model"}, parent)
            with closing(tracker, run):
                screen.doing(recipe.name, "fitting")
                fitted = fit(recipe, parts, options.seed, threads, options.cost)
                screen.doing(recipe.name, "storing")
                images = pictures_of(fitted, parts)
                outcome = track(tracker, experiment, run, fitted, images, parts, dataset, options)
            screen.done(recipe.name, fitted)
            return outcome, fitted, images

        with screen.models([recipe.name for recipe in recipes]):
            done = in_parallel(one, recipes, jobs)
        done.sort(key=lambda result: -result[0].metrics["valid_average_precision"])
        link = tracker.link(experiment, parent)
        compare(tracker, parent, done, parts, dataset, options, link)
    outcomes = tuple(outcome for outcome, _, _ in done)
    return Comparison(
        experiment, parent, dataset.manifest.hash, dataset.manifest.kind, link, outcomes
    )


def compare(
    tracker: Tracker, parent: str, done: list[Result], parts: Split, dataset: Dataset,
    options: Options, link: str,
) -> None:  # fmt: skip
    """Fill the comparison's own run: the best model, the pictures of all, the report."""
    best, _, images = done[0]
    models, truth = [one for _, one, _ in done], parts.test[LABEL].to_numpy()
    figures = {
        "precision_recall": draw.precision_recall(truth, models, options.seed),
        "calibration": draw.calibration(truth, models),
        "cost": draw.costs(truth, models, options.cost),
    }
    pictures = {f"{name}.png": png(figure) for name, figure in figures.items()}
    for name, content in pictures.items():
        tracker.file(parent, name, content)
    page = report(models, parts, dataset, options, pictures | images, link)
    tracker.file(parent, "report.html", page)
    tracker.log(
        parent,
        {"models": ",".join(model.recipe.name for model in models), "seed": options.seed},
        {f"best_{key}": best.metrics[key] for key in ("average_precision", "expected_cost")},
    )
    tracker.tag(parent, {"best": best.name, "best.run": best.run, "best.model": best.model})


def settled(futures: list[Future[Result]]) -> bool:
    """Wait a second, or until all is done or something failed; return whether it is."""
    done, pending = wait(futures, timeout=1, return_when=FIRST_EXCEPTION)
    return not pending or any(future.exception() for future in done)


def in_parallel(work: Callable[[Recipe], Result], recipes: list[Recipe], jobs: int) -> list[Result]:
    """Do `work` for every recipe, the longest first; the first error ends the rest."""
    pool = ThreadPoolExecutor(jobs)
    ordered = sorted(recipes, key=lambda recipe: -recipe.cost)
    futures: list[Future[Result]] = [pool.submit(work, recipe) for recipe in ordered]
    try:
        while not settled(futures):
            raise_lost()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    failed = [future.exception() for future in futures if future.done() and not future.cancelled()]
    for error in failed:
        if error:
            raise error
    return [future.result() for future in futures]
