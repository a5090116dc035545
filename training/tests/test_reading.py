"""Reading CSV, gzipped CSV and Parquet, and the error message for each faulty file."""

import gzip
from pathlib import Path

import pandas as pd
import pytest

from fraud.data import openml
from fraud.data.chunks import chunks, columns
from fraud.data.dataset import from_file
from fraud.data.reading import read
from fraud.data.schema import COLUMNS, FEATURES
from fraud.errors import DataError


def test_csv_gzip_and_parquet_give_the_same_rows(small: pd.DataFrame, tmp_path: Path) -> None:
    small.to_csv(tmp_path / "a.csv", index=False)
    small.to_csv(tmp_path / "b.csv.gz", index=False)
    small.to_csv(tmp_path / "gzipped-without-the-name", index=False, compression="gzip")
    small.to_parquet(tmp_path / "c.parquet")
    for path in tmp_path.iterdir():
        pd.testing.assert_frame_equal(read(path).astype(small.dtypes), small, check_exact=True)


def test_the_quotes_of_kaggle_s_file_are_understood(small_csv: Path, small: pd.DataFrame) -> None:
    lines = small_csv.read_text().splitlines()
    lines[0] = ",".join(f'"{name}"' for name in lines[0].split(","))
    lines[1:] = [f'{line[:-1]}"{line[-1]}"' for line in lines[1:]]
    small_csv.write_text("\n".join(lines))
    assert read(small_csv)["Class"].sum() == small["Class"].sum()


def test_the_content_hash_does_not_depend_on_the_format(
    small: pd.DataFrame, small_csv: Path, tmp_path: Path
) -> None:
    small.to_parquet(tmp_path / "small.parquet")
    first, second = from_file(small_csv), from_file(tmp_path / "small.parquet")
    assert first.manifest.hash == second.manifest.hash
    assert first.manifest.source_sha256 != second.manifest.source_sha256
    assert (first.manifest.rows, first.manifest.frauds) == (5000, 300)


def fails(path: Path, said: str) -> None:
    with pytest.raises(DataError, match=said) as error:
        from_file(path)
    assert "\n" not in str(error.value)
    assert error.value.remedy


def test_no_file_a_directory_and_an_empty_file(tmp_path: Path) -> None:
    fails(tmp_path / "missing.csv", "does not exist")
    fails(tmp_path, "is a directory")
    (tmp_path / "empty.csv").touch()
    fails(tmp_path / "empty.csv", "is empty")


def test_no_permission(small_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read files of any mode
    fails(small_csv, "is not readable")


def test_a_header_only(small_csv: Path) -> None:
    small_csv.write_text(",".join(COLUMNS) + "\n")
    fails(small_csv, "a header and no rows")


def test_columns_that_are_missing_or_doubled_in_a_csv(small_csv: Path) -> None:
    whole = small_csv.read_text()
    small_csv.write_text(whole.replace("V1,V2,", "V1,V1,", 1))
    fails(small_csv, "the column V1 twice")
    small_csv.write_text(whole.replace("Amount", "Betrag", 1))
    fails(small_csv, "lacks 1 of 31 columns: Amount")
    small_csv.write_text(whole.replace(",", ";"))
    fails(small_csv, "separated by commas")


def test_text_where_a_number_belongs(small_csv: Path) -> None:
    lines = small_csv.read_text().splitlines()
    cells = lines[3].split(",")
    lines[3] = ",".join([*cells[:2], "n/k", *cells[3:]])
    small_csv.write_text("\n".join(lines))
    fails(small_csv, "row 3, column V2 holds 'n/k', which is no number")


def test_text_in_a_parquet_column(small: pd.DataFrame, tmp_path: Path) -> None:
    small.assign(V5="x").to_parquet(tmp_path / "text.parquet")
    fails(tmp_path / "text.parquet", "column V5 holds .*string, not numbers")


def test_files_that_are_cut_short(small: pd.DataFrame, tmp_path: Path) -> None:
    for name in ("cut.csv.gz", "cut.parquet"):
        path = tmp_path / name
        small.to_csv(path, index=False) if name.endswith("gz") else small.to_parquet(path)
        path.write_bytes(path.read_bytes()[:50_000])
    fails(tmp_path / "cut.csv.gz", "cut short")
    fails(tmp_path / "cut.parquet", "cut short")


def test_a_row_with_too_few_cells(small_csv: Path) -> None:
    with small_csv.open("a") as file:
        file.write("1,2,3\n")
    fails(small_csv, "cannot be read .*Expected 31 columns, got 3")


def test_chunks_hold_all_rows_in_order(small: pd.DataFrame, tmp_path: Path) -> None:
    many = pd.concat([small] * 30, ignore_index=True)
    many.to_parquet(tmp_path / "many.parquet")
    with gzip.open(tmp_path / "many.csv.gz", "wt", compresslevel=1) as file:
        many.head(40_000).to_csv(file, index=False)
    for path, rows in ((tmp_path / "many.parquet", 150_000), (tmp_path / "many.csv.gz", 40_000)):
        parts = list(chunks(path, FEATURES))
        assert len(parts) > 1
        assert columns(path) == COLUMNS
        together = pd.concat(parts, ignore_index=True)
        pd.testing.assert_frame_equal(together, many[FEATURES].head(rows), check_exact=True)


def test_text_in_a_chunk_is_named(small_csv: Path) -> None:
    small_csv.write_text(small_csv.read_text().replace("\n", "\nx", 1))
    with pytest.raises(DataError, match=r"column Time holds 'x.*', which is no number"):
        list(chunks(small_csv, ["Time", "V1"]))


def test_openml_out_of_reach_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise OSError("Temporary failure in name resolution")

    monkeypatch.setattr(openml, "fetch_openml", no_network)
    with pytest.raises(
        DataError, match=r"OpenML's data set 42175 could not be downloaded.*push the file"
    ):
        openml.fetch("openml:42175")
    with pytest.raises(DataError, match="names no data set"):
        openml.fetch("openml:credit")
