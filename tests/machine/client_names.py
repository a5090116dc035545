"""Write values under similar names, delete the first name, and print the values before and after, as JSON.

The JSON contains for each kind of name: the accepted names, the errors of the refused names, the values read, and the
values read after the first name was deleted (null if this kind cannot be deleted).
"""

from __future__ import annotations

import json
import sys
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, ViewType
from mlflow.exceptions import MlflowException

NAMES = [
    "café",
    unicodedata.normalize("NFD", "café"),
    "cafe",
    "Café",
    "CAFÉ",
    "café ",
    "café  ",
    " café",
    "café\t",
    "café\n",
    "café\u00a0",
    "café\u2003",
    "café\u200b",
    "cafe\u0301 ",
    "ｃａｆé",
    "straße",
    "strasse",
    "straſſe",
    "Ω",
    "\u2126",
    "ﬁ",
    "fi",
    "i",
    "ı",
    "İ",
]
client = MlflowClient()
now = time.time_ns()
experiment = client.create_experiment(f"names-{now}")
run = client.create_run(experiment).info.run_id
traced = mlflow.start_span_no_context("names", experiment_id=experiment)
traced.end()
mlflow.flush_trace_async_logging()
logged = client.create_logged_model(experiment, name="names").model_id
model = f"names-{now}"
client.create_registered_model(model)
source = f"runs:/{run}/model"
versions = [client.create_model_version(model, source, run, await_creation_for=0).version for _ in NAMES]
version = versions[0]
dataset = client.create_dataset(f"names-{now}", [experiment])

Read = Callable[[], dict[str, str]]


@dataclass
class Kind:
    """Functions for one kind of name: they write a value under a name, read all values, and delete a name's value."""

    write: Callable[[str, str], object]
    read: Read
    delete: Callable[[str], object] | None = None


def experiments() -> dict[str, str]:
    """Return the tag `value` of each experiment, by the experiment's name."""
    found = client.search_experiments(
        view_type=ViewType.ACTIVE_ONLY, filter_string=f"tags.group = '{now}'", max_results=1000
    )
    return {one.name.removeprefix(str(now)): one.tags["value"] for one in found}


def models() -> dict[str, str]:
    """Return the registered models' descriptions by name."""
    found = client.search_registered_models(f"name LIKE '{now}%'", max_results=1000)
    return {one.name.removeprefix(str(now)): str(one.description) for one in found}


def inputs() -> dict[str, str]:
    """Return the sources of the run's datasets by name. All datasets have the same digest."""
    return {one.dataset.name: one.dataset.source for one in client.get_run(run).inputs.dataset_inputs}


def metrics() -> dict[str, str]:
    """Return the history of each metric of the run by name, which shows if names share a history."""
    found = client.get_run(run).data.metrics
    return {name: " ".join(f"v{int(one.value)}" for one in client.get_metric_history(run, name)) for name in found}


def aliases() -> dict[str, str]:
    """Return the registered model's aliases, each with the position of its version."""
    found = client.get_registered_model(model).aliases
    return {name: f"v{versions.index(number)}" for name, number in found.items()}


def read_tags(tags: Callable[[], dict[str, str]]) -> Read:
    """Return the tags that are not MLflow's own."""
    return lambda: {name: value for name, value in tags().items() if not name.startswith("mlflow.")}


KINDS = {
    "tag of a run": Kind(
        lambda name, value: client.set_tag(run, name, value),
        read_tags(lambda: client.get_run(run).data.tags),
        lambda name: client.delete_tag(run, name),
    ),
    "parameter": Kind(lambda name, value: client.log_param(run, name, value), lambda: client.get_run(run).data.params),
    "metric": Kind(lambda name, value: client.log_metric(run, name, float(value[1:])), metrics),
    "experiment": Kind(
        lambda name, value: client.create_experiment(f"{now}{name}", tags={"group": str(now), "value": value}),
        experiments,
        lambda name: client.delete_experiment(client.get_experiment_by_name(f"{now}{name}").experiment_id),
    ),
    "tag of an experiment": Kind(
        lambda name, value: client.set_experiment_tag(experiment, name, value),
        read_tags(lambda: client.get_experiment(experiment).tags),
        lambda name: client.delete_experiment_tag(experiment, name),
    ),
    "registered model": Kind(
        lambda name, value: client.create_registered_model(f"{now}{name}", description=value),
        models,
        lambda name: client.delete_registered_model(f"{now}{name}"),
    ),
    "tag of a registered model": Kind(
        lambda name, value: client.set_registered_model_tag(model, name, value),
        read_tags(lambda: client.get_registered_model(model).tags),
        lambda name: client.delete_registered_model_tag(model, name),
    ),
    "tag of a model's version": Kind(
        lambda name, value: client.set_model_version_tag(model, version, name, value),
        read_tags(lambda: client.get_model_version(model, version).tags),
        lambda name: client.delete_model_version_tag(model, version, name),
    ),
    "alias": Kind(
        lambda name, value: client.set_registered_model_alias(model, name, versions[int(value[1:])]),
        aliases,
        lambda name: client.delete_registered_model_alias(model, name),
    ),
    "tag of a trace": Kind(
        lambda name, value: client.set_trace_tag(traced.trace_id, name, value),
        read_tags(lambda: client.get_trace(traced.trace_id).info.tags),
        lambda name: client.delete_trace_tag(traced.trace_id, name),
    ),
    "tag of a logged model": Kind(
        lambda name, value: client.set_logged_model_tags(logged, {name: value}),
        read_tags(lambda: client.get_logged_model(logged).tags),
        lambda name: client.delete_logged_model_tag(logged, name),
    ),
    "input dataset": Kind(
        lambda name, value: client.log_inputs(run, [DatasetInput(Dataset(name, "digest", "local", value))]), inputs
    ),
    "tag of an evaluation dataset": Kind(
        lambda name, value: client.set_dataset_tags(dataset.dataset_id, {name: value}),
        read_tags(lambda: client.get_dataset(dataset.dataset_id).tags),
        lambda name: client.delete_dataset_tag(dataset.dataset_id, name),
    ),
}


def ask(kind: Kind) -> dict[str, object]:
    """Write every name, read all, delete the first name, and read again."""
    accepted, refused = {}, {}
    for number, name in enumerate(NAMES):
        try:
            kind.write(name, f"v{number}")
            accepted[name] = f"v{number}"
        except MlflowException as error:
            refused[name] = [error.get_http_status_code(), error.message]
    read = kind.read()
    after = None
    if kind.delete:
        kind.delete(next(iter(accepted)))
        after = kind.read()
    return {"accepted": accepted, "refused": refused, "read": read, "after": after}


print(json.dumps({name: ask(kind) for name, kind in KINDS.items() if name in sys.argv[1:] or len(sys.argv) == 1}))
