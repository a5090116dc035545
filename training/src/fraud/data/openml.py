"""Download data sets from OpenML."""

from __future__ import annotations

import pandas as pd
from sklearn.datasets import fetch_openml

from fraud.errors import DataError

SCHEME = "openml:"


def fetch(name: str) -> pd.DataFrame:
    """Download the data set `openml:ID`; cells that are not numeric become NaN.

    Raises:
        DataError: `name` has no valid identifier, or the download fails.

    """
    identifier = name.removeprefix(SCHEME)
    if not identifier.isdigit():
        raise DataError(f"{name} names no data set of OpenML", "Write openml: and a number.")
    try:
        fetched = fetch_openml(
            data_id=int(identifier), as_frame=True, parser="pandas", n_retries=1, delay=0
        )
    except Exception as error:
        raise DataError(
            f"OpenML's data set {identifier} could not be downloaded ({error})",
            "Download it elsewhere and push the file: `fraud data push FILE`.",
        ) from error
    frame: pd.DataFrame = fetched.frame.apply(pd.to_numeric, errors="coerce")
    return frame
