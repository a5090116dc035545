"""MLflow's own functions, for every body that the fast way does not take.

`mlflow.pyfunc.scoring_server.invocations` reads the body, calls the model and writes the answer. It gets a stand-in
for the model, which keeps what it is called with: the log needs the rows, and the limit of rows is checked before
the model computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trackbox_serving.bodies.arrow_rows import TooManyRowsError
from trackbox_serving.models.scorer import Scorer


@dataclass
class Recorder:
    """Stands in for MLflow's model. data, output: of the call of `predict`, None before."""

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
        """Score the rows. TooManyRowsError: there are more than a request may have."""
        self.data = data
        if count(data) > self.max_rows:
            # MLflow makes one error of all that happens here, so the caller of `answer` needs to know.
            self.too_many = True
            raise TooManyRowsError
        self.output = self.scorer.pyfunc.predict(data, params=params)
        return self.output


def count(data: Any) -> int:
    """Return the number of rows of what MLflow has parsed; a column that is one value stands in each row."""
    columns = data.values() if isinstance(data, dict) else [data]
    return max((np.shape(one)[0] for one in columns if np.ndim(one)), default=1)


def answer(body: bytes, content_type: str, recorder: Recorder) -> tuple[int, bytes]:
    """Return MLflow's status and body.

    Raises:
        MlflowException: the body is malformed, or the model does not take the rows.
        TooManyRowsError: there are more than a request may have.

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
    """Return the answer for an output, with further fields beside `predictions`."""
    from io import StringIO

    from mlflow.pyfunc.scoring_server import predictions_to_json

    text = StringIO()
    predictions_to_json(output, text, further)
    return text.getvalue().encode()
