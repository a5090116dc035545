"""The indexes that MLflow's schema lacks. search.py and MLflow's own statements use them.

maintenance/indexes.py adds and drops them. Without them, MLflow works as it does by default. No index may begin with a
column of a foreign key, because InnoDB would then drop the foreign key's own index, and the new index could not be
dropped any more (error 1553). InnoDB appends the primary key's columns to each index.
"""

from __future__ import annotations

from dataclasses import dataclass

# The number of a value's first characters that an index contains. A value may have 8,000 characters, but MySQL indexes
# at most 3,072 bytes.
PREFIX = 64


@dataclass(frozen=True)
class Index:
    """An index on a table of MLflow. columns: in the order of the index. gain: the searches that use it.

    prefix: whether the column `value` contains text, so that only its first characters are in the index.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    gain: str
    prefix: bool = False

    def parts(self, prefixes: bool) -> str:
        """Return the columns in SQL. prefixes: whether the server supports indexes on a text's first characters."""
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
