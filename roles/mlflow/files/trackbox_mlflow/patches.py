"""The registry of the parts of libraries that this package replaces, or uses although they are private.

Each entry describes a change, its gain, and what happens without it. `get` returns the library's objects that the
change needs. If the installed library lacks one, `get` returns None, the library runs unchanged, and a line is logged.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

logger = logging.getLogger("trackbox")


def resolve(name: str) -> Any:
    """Return the object that is called `package.module:attribute.attribute`."""
    module, _, attributes = name.partition(":")
    return reduce(getattr, attributes.split("."), importlib.import_module(module))


def code_names(*functions: Any) -> set[str]:
    """Return the attributes and global names that these functions use."""
    return {name for function in functions for name in function.__code__.co_names}


def drain_fits(protocol: Any, *_: Any) -> bool:
    """Whether uvicorn's connections keep their state in the attributes that draining.py reads."""
    cycle = resolve("uvicorn.protocols.http.httptools_impl:RequestResponseCycle")
    kept = code_names(protocol.__init__, protocol.on_headers_complete, cycle.__init__)
    return {"cycle", "loop", "scope", "keep_alive", "response_started", "response_complete"} <= kept


def select_fits(select: Any, *_: Any) -> bool:
    """Whether a SELECT of SQLAlchemy has the private attributes that search.py reads."""
    return all(hasattr(select, name) for name in ("_limit", "_offset", "_order_by_clauses", "_setup_joins"))


def store_fits(registered: Any, store: Any, *_: Any) -> bool:
    """Whether signing.py can replace MLflow's artifact store for s3://.

    `registered` must return MLflow's own dictionary of artifact stores, since a change to a copy would be lost, and the
    store must have the methods that signing.py overrides or calls.
    """
    methods = ("download_artifacts", "parse_s3_compliant_uri")
    return registered() is registered() and all(hasattr(store, name) for name in methods)


@dataclass
class Patch:
    """A registry entry. needs: names of a library's objects, for `resolve`. fits: a further check of these objects."""

    what: str
    gain: str
    tested: str
    without: str
    needs: tuple[str, ...]
    upstream: str = "no thread known"
    fits: Callable[..., bool] = lambda *_: True
    logged: bool = field(default=False, compare=False)

    def find(self) -> list[Any]:
        """Return the objects that the entry needs. Raises ImportError or AttributeError if the library lacks one."""
        found = [resolve(name) for name in self.needs]
        if not self.fits(*found):
            raise AttributeError(f"{self.needs[0]} works in another way")
        return found

    def available(self) -> bool:
        """Whether the installed library has all that the entry needs."""
        try:
            return bool(self.find())
        except (ImportError, AttributeError):
            return False

    def get(self) -> Any:
        """Return the object that the entry needs, or a tuple of several. If one is missing, log it and return None."""
        try:
            found = self.find()
        except (ImportError, AttributeError) as error:
            if not self.logged:
                self.logged = True
                logger.warning("%s: %s (tested with %s), so %s.", self.needs[0], error, self.tested, self.without)
            return None
        return found[0] if len(found) == 1 else tuple(found)


PREFORK = Patch(
    what="mlflow.server._exec_cmd is replaced: `mlflow server` runs our prefork server instead of uvicorn as a child",
    gain="workers are forks that share memory: 310 MB for two instead of 450, and one that dies is replaced at once",
    tested="MLflow 3.6.0 and 3.17.2",
    without="MLflow's application is started by its environment variables, without the checks of its command",
    needs=("mlflow.server:_exec_cmd",),
)
DRAIN = Patch(
    what="uvicorn's HttpToolsProtocol gets another shutdown and on_headers_complete, which drain connections",
    gain="a restart under load fails no request; uvicorn closes idle connections, on which a request may be on its way",
    tested="uvicorn 0.38.0 and 0.54.0",
    without="a restart may fail requests that arrive while it closes idle connections",
    needs=(
        "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol",
        "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol.shutdown",
        "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol.on_headers_complete",
    ),
    fits=drain_fits,
)
UNUSED_MIDDLEWARE = Patch(
    what="Starlette's user_middleware loses MLflow's layers for workspaces and the AI gateway where both are off",
    gain="0.5 ms a request",
    tested="MLflow 3.17.2; 3.6.0 has neither layer",
    without="these layers stay",
    needs=(
        "mlflow.environment_variables:MLFLOW_ENABLE_AI_GATEWAY",
        "mlflow.environment_variables:MLFLOW_ENABLE_WORKSPACES",
        "starlette.middleware.base:BaseHTTPMiddleware",
    ),
)
BULK_METRICS = Patch(
    what="sqlalchemy.orm.Session.add_all is replaced: MLflow's metrics are inserted by the row, not as objects",
    gain="28 % of the CPU time of a batch of 500 metrics; their objects are never asked for again",
    tested="MLflow 3.6.0 and 3.17.2 with SQLAlchemy 2.0 and 2.1",
    without="SQLAlchemy keeps account of each metric as an object",
    needs=(
        "sqlalchemy.orm:Session.add_all",
        "mlflow.store.tracking.dbmodels.models:SqlMetric.__table__",
        "mlflow.store.tracking.dbmodels.models:SqlLatestMetric.__table__",
    ),
)
PAGES = Patch(
    what="a SELECT's _limit, _offset, _order_by_clauses and _setup_joins are read, to take a page from an index",
    gain="the first pages of 100,000 runs, traces or model versions take as long as those of 1,000",
    tested="MLflow 3.6.0 and 3.17.2 with SQLAlchemy 2.0 and 2.1",
    without="each such page joins and sorts all rows of the list",
    upstream="docs/upstream/pages.md",
    needs=("sqlalchemy.sql.expression:Select",),
    fits=select_fits,
)
LISTED_VALUES = Patch(
    what="mlflow.utils.search_utils.SearchUtils.get_sql_comparison_func is replaced: IN has a condition more",
    gain="MLflow compares `BINARY column`, which no index has: versions of a page of runs took all 100,000 versions",
    tested="MLflow 3.6.0 and 3.17.2",
    without="a search by several runs reads all model versions",
    upstream="docs/upstream/listed-values.md",
    needs=("mlflow.utils.search_utils:SearchUtils.get_sql_comparison_func",),
)
CHART = Patch(
    what="SqlAlchemyStore._sample_rows_with_window_functions is replaced: a chart takes its values from an index",
    gain="a chart of 200,000 values took 2.2 times as long as one of 1,000, and 17 times by MLflow's own statement",
    tested="MLflow 3.17.2; 3.6.0 has no such method",
    without="a chart numbers and sorts all values of its metric",
    upstream="docs/upstream/chart.md",
    needs=(
        "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore",
        "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._sample_rows_with_window_functions",
        "mlflow.store.tracking.dbmodels.models:SqlMetric",
    ),
)
SIGNED_STORE = Patch(
    what="MLflow's artifact store for s3:// is a subclass that answers with a signed address instead of downloading",
    gain="downloads take neither memory nor disk of MLflow: 1 GB spooled 0.9 GB before",
    tested="MLflow 3.6.0 and 3.17.2",
    without="MLflow downloads each artifact to its disk before it sends it",
    needs=(
        "mlflow.store.artifact.artifact_repository_registry:get_registered_artifact_repositories",
        "mlflow.store.artifact.s3_artifact_repo:S3ArtifactRepository",
        "mlflow.tracing.utils.artifact_utils:TRACE_DATA_FILE_NAME",
    ),
    fits=store_fits,
)
MIME_TYPE = Patch(
    what="mlflow.utils.mime_type_utils._guess_mime_type names the type of a signed download",
    gain="an artifact has the type that MLflow itself would give it",
    tested="MLflow 3.6.0 and 3.17.2",
    without="Python's own table of types is used",
    needs=("mlflow.utils.mime_type_utils:_guess_mime_type",),
)
REQUEST_CHECKS = Patch(
    what="MLflow's checks of the host and of the path are applied to requests for a signed address",
    gain="uploads and downloads that bypass MLflow obey its rules",
    tested="MLflow 3.6.0 and 3.17.2",
    without="MLflow answers each request for an artifact itself",
    needs=(
        "mlflow.server.security_utils:get_allowed_hosts_from_env",
        "mlflow.server.security_utils:get_default_allowed_hosts",
        "mlflow.server.security_utils:is_allowed_host_header",
        "mlflow.utils.uri:validate_path_is_safe",
    ),
)
CREATE_TABLES = Patch(
    what="mlflow.store.db.utils._initialize_tables creates the schema in an empty database",
    gain="the schema without a default experiment, by the user who may change it",
    tested="MLflow 3.6.0 and 3.17.2",
    without="MLflow's store creates it when it is opened, and the default experiment with it",
    needs=("mlflow.store.db.utils:_initialize_tables",),
)
HARD_DELETE = Patch(
    what="MLflow's store deletes single rows by its methods _hard_delete_*",
    gain="files of registered models stay, and a row that cannot be deleted stops nothing, other than by `mlflow gc`",
    tested="MLflow 3.17.2",
    without="deleted runs, models and experiments stay in the database with their files",
    needs=(
        "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._hard_delete_run",
        "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._hard_delete_logged_model",
        "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._hard_delete_experiment",
    ),
)


def entries() -> Iterable[tuple[str, Patch]]:
    """Yield the name and the entry of every patch."""
    return ((name, value) for name, value in globals().items() if isinstance(value, Patch))
