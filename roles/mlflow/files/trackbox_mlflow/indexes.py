"""The indexes that MLflow's schema lacks, and that search.py and MLflow's own statements use.

maintenance/indexes.py makes them beside MLflow's own and takes them away again; without them MLflow works as it is.
None begins with a column of a foreign key: InnoDB drops the key's own index then, and the other one cannot be dropped
any more (error 1553). The primary key's columns follow in each index by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

# Characters of a value that are in an index. MySQL's limit of 3,072 bytes is below the 8,000 characters of a value.
PREFIX = 64


@dataclass(frozen=True)
class Index:
    """An index on MLflow's table. columns: in order; the column `value` of text goes in by its first characters.

    gain: which searches use it.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    gain: str
    prefix: bool = False

    def parts(self, prefixes: bool) -> str:
        """Return the columns as SQL has them. prefixes: whether the server indexes the beginning of a text."""
        return ", ".join(
            f"`{column}`({PREFIX})" if prefixes and self.prefix and column == "value" else f"`{column}`"
            for column in self.columns
        )


METRICS = Index(
    "trackbox_metrics_in_order", "latest_metrics", ("key", "is_nan", "value"), "runs ordered or filtered by a metric"
)
RUNS = Index(
    "trackbox_runs_by_start", "runs", ("lifecycle_stage", "experiment_id", "start_time"), "runs, newest or oldest first"
)
PARAMS = Index(
    "trackbox_params_by_value", "params", ("key", "value"), "runs ordered or filtered by a parameter", prefix=True
)
TAGS = Index(
    "trackbox_tags_by_value", "tags", ("key", "value"), "runs ordered or filtered by a tag or their name", prefix=True
)
TRACE_TAGS = Index(
    "trackbox_trace_tags_by_value", "trace_tags", ("key", "value"), "traces filtered by a tag", prefix=True
)
TRACE_METADATA = Index(
    "trackbox_trace_metadata_by_value",
    "trace_request_metadata",
    ("key", "value"),
    "traces filtered by metadata",
    prefix=True,
)
VERSIONS_OF_RUN = Index("trackbox_versions_of_run", "model_versions", ("run_id",), "the model versions of a run")
VERSIONS = Index(
    "trackbox_versions_by_change", "model_versions", ("last_updated_time",), "model versions, last changed first"
)
MODELS = Index(
    "trackbox_models_by_change", "registered_models", ("last_updated_time",), "registered models, last changed first"
)
EXPERIMENTS_BY_CHANGE = Index(
    "trackbox_experiments_by_change",
    "experiments",
    ("lifecycle_stage", "last_update_time"),
    "experiments, last changed first",
)
EXPERIMENTS_BY_CREATION = Index(
    "trackbox_experiments_by_creation", "experiments", ("lifecycle_stage", "creation_time"), "experiments, newest first"
)
LOGGED_MODELS = Index(
    "trackbox_logged_models_by_creation",
    "logged_models",
    ("lifecycle_stage", "experiment_id", "creation_timestamp_ms"),
    "logged models, newest first",
)

INDEXES = tuple(value for value in list(globals().values()) if isinstance(value, Index))
