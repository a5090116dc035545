"""`fraud train`: fit the models of a profile in parallel, track each as a run, compare them."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from datetime import datetime, timezone

import pandas as pd

from fraud.data.dataset import resolve
from fraud.data.schema import FEATURES
from fraud.data.split import split
from fraud.data.store import Store
from fraud.evaluation.reference_profile import describe_columns
from fraud.models.fitting import fit
from fraud.models.recipes import choose
from fraud.screen import Screen
from fraud.settings import Settings
from fraud.signals import raise_pending
from fraud.tracking.probe import probe
from fraud.tracking.runs import Result, log_comparison, log_dataset, log_model, run_tags
from fraud.tracking.tracker import Tracker
from fraud.types import Comparison, Context, Options, Recipe


def train(options: Options, settings: Settings, screen: Screen) -> Comparison:
    """Run a comparison from data to tracked models.

    Raises:
        FraudError: the data are invalid, or a server does not respond. All runs are ended.

    """
    recipes = choose(options.profile, options.models)
    probe(settings)
    dataset = resolve(options.data, Store(settings))
    screen.dataset(dataset)
    parts = split(dataset.frame, options.split, options.seed)
    described = describe_columns(
        pd.concat([part[FEATURES] for part in (parts.train, parts.valid)], ignore_index=True)
    )
    context = Context(options, dataset, parts, described)
    experiment = options.experiment or settings.experiment
    tracker = Tracker(settings, experiment, run_tags(dataset, options))
    jobs = min(options.jobs or os.cpu_count() or 1, len(recipes))
    threads = max(1, (os.cpu_count() or 1) // jobs)
    name = f"{options.profile} {datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S}"
    with tracker.run(name, "comparison") as parent:
        log_dataset(tracker, parent, dataset)

        def fit_and_log(recipe: Recipe) -> Result:
            with tracker.run(recipe.name, "model", parent) as run:
                screen.doing(recipe.name, "fitting")
                fitted = fit(recipe, context.parts, options.seed, threads, options.cost)
                screen.doing(recipe.name, "storing")
                result = log_model(tracker, run, fitted, context)
            screen.done(recipe.name, fitted)
            return result

        with screen.models([recipe.name for recipe in recipes]):
            results = in_parallel(fit_and_log, recipes, jobs)
        results.sort(key=lambda result: -result.outcome.metrics["valid_average_precision"])
        log_comparison(tracker, parent, results, context)
    return Comparison(
        tracker.experiment, parent, dataset.manifest.hash, dataset.manifest.kind,
        tracker.link(parent), tuple(result.outcome for result in results),
    )  # fmt: skip


def settled(futures: list[Future[Result]]) -> bool:
    """Wait for at most one second; return whether all futures are done or one has failed."""
    done, pending = wait(futures, timeout=1, return_when=FIRST_EXCEPTION)
    return not pending or any(future.exception() for future in done)


def in_parallel(work: Callable[[Recipe], Result], recipes: list[Recipe], jobs: int) -> list[Result]:
    """Call `work` for every recipe in `jobs` threads, starting with the recipe that takes longest.

    Raises:
        Exception: the first error of `work`. Calls that have not started are cancelled.

    """
    pool = ThreadPoolExecutor(jobs)
    ordered = sorted(recipes, key=lambda recipe: -recipe.duration)
    futures: list[Future[Result]] = [pool.submit(work, recipe) for recipe in ordered]
    try:
        while not settled(futures):
            raise_pending()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    for future in futures:
        if future.done() and not future.cancelled():
            future.result()  # raises the error of a failed call
    return [future.result() for future in futures]
