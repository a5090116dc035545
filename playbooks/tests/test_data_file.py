"""`make up` reports a bad data file before it installs a machine."""

import gzip
from pathlib import Path

import pytest
from controller_checks import COLUMNS, data_file_problem

HEADER = ",".join(f'"{name}"' for name in COLUMNS)
ROW = ",".join(["1"] * len(COLUMNS))


def written(path: Path, text: str) -> str:
    """Write the text, compressed with gzip if the name ends in .gz; return the path."""
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_good_file_passes(tmp_path: Path, name: str) -> None:
    assert data_file_problem(written(tmp_path / name, f"{HEADER}\n{ROW}\n")) == ""


def test_no_file_is_no_problem() -> None:
    assert data_file_problem("") == ""


def test_a_parquet_file_is_not_checked_here(tmp_path: Path) -> None:
    assert data_file_problem(written(tmp_path / "a.parquet", "PAR1")) == ""


@pytest.mark.parametrize("name", ["missing.csv", "missing.csv.gz", "missing.parquet", "."])
def test_a_file_that_is_missing_gets_a_sentence(tmp_path: Path, name: str) -> None:
    problem = data_file_problem(str(tmp_path / name))
    assert problem.startswith(f"FRAUD_DATA is {tmp_path / name}, which cannot be read (")
    assert problem.endswith("): name a CSV, a gzipped CSV or a Parquet file.")


def test_a_file_that_is_no_text_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00\x80")
    assert "cannot be read" in data_file_problem(str(tmp_path / "a.csv"))


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"x" * 9999)[:20]])
def test_a_compressed_file_that_is_broken_gets_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv.gz").write_bytes(content)
    assert "cannot be read" in data_file_problem(str(tmp_path / "a.csv.gz"))


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_an_empty_file_gets_a_sentence(tmp_path: Path, name: str) -> None:
    assert "which is empty: name Kaggle's creditcard.csv" in data_file_problem(written(tmp_path / name, ""))


def test_a_header_alone_gets_a_sentence(tmp_path: Path) -> None:
    assert "has a header and no rows" in data_file_problem(written(tmp_path / "a.csv", HEADER + "\n"))


def test_the_columns_that_are_missing_are_named(tmp_path: Path) -> None:
    header = ",".join(name for name in COLUMNS if name not in ("V7", "Class"))
    problem = data_file_problem(written(tmp_path / "a.csv", f"{header}\n1\n"))
    assert f"{tmp_path / 'a.csv'}, which lacks the columns V7, Class: name a file with Time, V1, V2, " in problem
