"""MLflow's `/invocations`: try the fast path first, and then MLflow's own functions."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa

from trackbox_serving.bodies import arrow_rows, mlflow_rows
from trackbox_serving.bodies.arrow_rows import ARROW_FILE, ARROW_STREAM, PARQUET, TooManyRowsError
from trackbox_serving.models.explaining import strongest
from trackbox_serving.models.scorer import Matrix
from trackbox_serving.web import metrics, reasons
from trackbox_serving.web.answers import Answer, RefusedError
from trackbox_serving.web.envelope import Call
from trackbox_serving.web.service import Scored, Service

JSON = {"application/json", "application/json; charset=utf-8", "application/json;charset=utf-8"}
TABLES = {PARQUET, ARROW_STREAM, ARROW_FILE}
EXPLAINED_ROWS = 1000


class Invocations:
    """The handler of `/invocations`."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def __call__(self, call: Call) -> Answer:
        """Answer a request. Raise RefusedError if it is malformed or over a limit."""
        wanted = parse_qs(call.query.decode("latin-1")) if call.query else {}
        details, explained = read_options(wanted)
        if explained and not self.service.scorer.explain:
            raise RefusedError(400, "Contributions are exact, and available, for XGBoost and logistic regression only.")
        # Contributions take longer than scores, so compute them in the thread, whatever the size of the body.
        run = self.service.in_thread if explained else partial(self.service.run, size=len(call.body))
        found = await run(lambda: self.fast(call, details, explained))
        if found:
            return found
        return await self.service.in_thread(lambda: self.slow(call, details, explained))

    def fast(self, call: Call, details: bool, explained: int) -> Answer | None:
        """Answer on the fast path, or return None if MLflow's functions must answer."""
        try:
            matrix = self.matrix(call)
        except (RefusedError, MemoryError):
            raise
        except Exception:
            # MLflow's functions may still accept the body, for example Parquet with broken metadata.
            return None
        scored = self.service.score(matrix)
        if scored is None:
            return None
        return self.finish(call, scored, details, explained)

    def matrix(self, call: Call) -> Matrix | None:
        """Return the body as a matrix, or None if MLflow must read it. Raise RefusedError if it has too many rows."""
        if call.kind in JSON:
            return self.service.reader.read(call.body) if self.service.reader else None
        if call.kind in TABLES:
            table = self.table(call)
            return arrow_rows.table_rows(table, self.service.scorer.columns) if self.service.scorer.predict else None
        return None

    def table(self, call: Call) -> pa.Table:
        """Read a Parquet or Arrow table. Raise RefusedError for too many rows, or for a broken Arrow table."""
        try:
            return arrow_rows.read_table(call.body, call.kind, self.service.settings.max_rows)
        except TooManyRowsError:
            self.service.check_count(self.service.settings.max_rows + 1)
            raise
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            if call.kind == PARQUET:
                raise
            raise RefusedError(400, f"The body is no {call.kind.rpartition('.')[2].capitalize()} table.") from error

    def slow(self, call: Call, details: bool, explained: int) -> Answer:
        """Answer with MLflow's own functions."""
        from mlflow.exceptions import MlflowException

        recorder = mlflow_rows.Recorder(self.service.scorer, self.service.settings.max_rows)
        body, kind = call.body, call.kind
        try:
            if kind in (ARROW_STREAM, ARROW_FILE):
                recorder.predict(self.table(call).to_pandas())
                status, text = 200, mlflow_rows.predictions_json(recorder.output)
            else:
                status, text = mlflow_rows.answer(body, kind, recorder)
        except TooManyRowsError:
            self.service.check_count(self.service.settings.max_rows + 1)
            raise
        except MlflowException as error:
            raise RefusedError(error.get_http_status_code(), self.reason(call, recorder), error.error_code) from error
        except MemoryError:
            raise
        except Exception as error:
            # On some malformed input MLflow fails with other exceptions. Answer 400 if the prediction was not done yet.
            if recorder.output is not None:
                raise
            raise RefusedError(400, self.reason(call, recorder)) from error
        if status != 200:
            raise RefusedError(status, reasons.UNKNOWN_TYPE)
        rows = mlflow_rows.count(recorder.data)
        metrics.ROWS.labels("mlflow").inc(rows)
        scored = Scored(recorder.output, recorder.data, rows)
        if not details and not explained:
            self.service.log(scored, call.request_id, call.user, call.began)
            return Answer(200, text)
        return self.finish(call, scored, details, explained)

    def reason(self, call: Call, recorder: mlflow_rows.Recorder) -> str:
        """Return why MLflow refused a body."""
        return reasons.sentence(call.body, call.kind, recorder.data is not None, self.service.scorer.columns)

    def finish(self, call: Call, scored: Scored, details: bool, explained: int) -> Answer:
        """Return the response, and log its rows."""
        further: dict[str, Any] = {}
        if details:
            about = self.service.about
            further |= {"decision": self.service.decisions(scored), "threshold": about.threshold}
            further |= {"model": about.name, "version": about.version}
        if explained:
            further |= self.explain(scored, explained)
        answer = Answer(200, write_predictions(scored.output, further))
        self.service.log(scored, call.request_id, call.user, call.began)
        return answer

    def explain(self, scored: Scored, count: int) -> dict[str, Any]:
        """Return the base value and the strongest contributions of each row. Raise RefusedError for too many rows."""
        if scored.count > EXPLAINED_ROWS:
            raise RefusedError(413, f"Contributions are computed for {EXPLAINED_ROWS} rows at most.")
        matrix, names = scored.features, self.service.scorer.names
        if isinstance(matrix, pd.DataFrame):
            matrix = matrix[names].to_numpy(dtype=np.float64)
        if not isinstance(matrix, np.ndarray) or self.service.scorer.explain is None:
            raise RefusedError(400, "Contributions need a body with the columns of the signature.")
        base, contributions = self.service.scorer.explain(matrix)
        return {
            "explanation": {
                "unit": "log odds",
                "base": base.tolist(),
                "contributions": strongest(contributions, matrix, names, count),
            }
        }


def read_options(query: dict[str, list[str]]) -> tuple[bool, int]:
    """Return the options `details` and `explain` of a query. Raise RefusedError if `explain` is not a valid number."""
    details = query.get("details", [""])[-1].lower() in ("true", "1")
    text = query.get("explain", ["0"])[-1]
    if not (text.isascii() and text.isdigit() and len(text) <= 3):
        raise RefusedError(400, "explain must be the number of contributions, from 1 to 999.")
    return details, int(text)


def write_predictions(output: Any, further: dict[str, Any]) -> bytes:
    """Return the same response body as MLflow for an output, with further fields. Like MLflow, it may contain NaN."""
    if isinstance(output, np.ndarray) and output.dtype.kind in "fiub" and np.isfinite(output).all():
        # Convert to Python's numbers first, because orjson would write a float32 with fewer digits than MLflow.
        return orjson.dumps({"predictions": output.tolist(), **further})
    return mlflow_rows.predictions_json(output, further)
