"""Use MLflow's own functions to read and score bodies that the fast path does not support.

`mlflow.pyfunc.scoring_server.invocations` reads the body, calls the model and writes the response. It gets a recorder
instead of the model. The recorder keeps the rows for the log, checks the limit of rows, and then calls the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trackbox_serving.bodies.arrow_rows import TooManyRowsError
from trackbox_serving.models.scorer import Scorer


@dataclass
class Recorder:
    """Replaces MLflow's model. `data` and `output` are the input and output of `predict`, and None before the call."""

    scorer: Scorer
    max_rows: int
    data: Any = None
    output: Any = None
    too_many: bool = False

    @property
    def metadata(self) -> Any:
        """MLflow's description of the model."""
        return self.scorer.pyfunc.metadata

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        """Score the rows. Raise TooManyRowsError if there are more than a request may have."""
        self.data = data
        if count(data) > self.max_rows:
            # MLflow turns every exception of `predict` into the same error, so this flag tells `answer` the cause.
            self.too_many = True
            raise TooManyRowsError
        self.output = self.scorer.pyfunc.predict(data, params=params)
        return self.output


def count(data: Any) -> int:
    """Return the number of rows in a body that MLflow has parsed. A column with a single value applies to all rows."""
    columns = data.values() if isinstance(data, dict) else [data]
    return max((np.shape(one)[0] for one in columns if np.ndim(one)), default=1)


def answer(body: bytes, content_type: str, recorder: Recorder) -> tuple[int, bytes]:
    """Return the status and the body of MLflow's response.

    Raises:
        MlflowException: the body is malformed, or the model does not accept the rows.
        TooManyRowsError: there are more rows than a request may have.

    """
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc import scoring_server

    try:
        found = scoring_server.invocations(body, content_type, recorder, recorder.metadata.get_input_schema())
    except MlflowException:
        if recorder.too_many:
            raise TooManyRowsError from None
        raise
    return found.status, found.response.encode()


def predictions_json(output: Any, further: dict[str, Any] | None = None) -> bytes:
    """Return the response body for a model's output, with further fields beside `predictions`."""
    from io import StringIO

    from mlflow.pyfunc.scoring_server import predictions_to_json

    text = StringIO()
    predictions_to_json(output, text, further)
    return text.getvalue().encode()
