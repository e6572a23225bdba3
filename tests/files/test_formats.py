"""Tables in files: what comes back is what was there, or nothing."""

from __future__ import annotations

import gzip
import importlib.util
import os

import numpy as np
import pandas as pd
import pytest

from sklearn_prune.files import FileError, UsageError
from sklearn_prune.files.formats import TableFile, check_packages, read_table, write_rows
from tests.files.conftest import N

needs_pyarrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None, reason="Parquet needs pyarrow"
)
KEPT = np.arange(N) % 4 == 1
TEXT = ["csv", "tsv", "jsonl", "ndjson", "csv.gz", "tsv.gz", "jsonl.gz"]


def written(table, path):
    """Write a table as pandas does."""
    if ".csv" in path.name or ".tsv" in path.name:
        table.to_csv(path, index=False, sep="\t" if ".tsv" in path.name else ",")
    else:
        table.to_json(path, orient="records", lines=True)
    return TableFile.at(path)


def content(path):
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


@pytest.mark.parametrize("suffix", TEXT)
def test_rows_of_a_text_file_are_copied_byte_for_byte(table, tmp_path, suffix):
    source = written(table, tmp_path / f"all.{suffix}")
    expected = written(table[KEPT], tmp_path / f"expected.{suffix}")
    out = TableFile.at(tmp_path / f"kept.{suffix}")
    write_rows(source, read_table(source), KEPT, out)
    assert content(out.path) == content(expected.path)
    assert not list(tmp_path.glob(".*"))


def test_cells_that_pandas_would_rewrite_stay_as_they_are(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbf"id",x\r\n007,1.50\r\n\r\n"8",NA\r\n  009,"1,e3"\r\n010,-0')
    source, out = TableFile.at(path), TableFile.at(tmp_path / "b.csv")
    frame = read_table(source)
    assert list(frame.columns) == ["id", "x"]
    write_rows(source, frame, np.array([True, False, True, True]), out)
    assert out.path.read_bytes() == (b'\xef\xbb\xbf"id",x\r\n007,1.50\r\n  009,"1,e3"\r\n010,-0')


def test_lines_may_end_as_an_old_macintosh_ends_them(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'x,y\r1,"a\rb"\r2,c\r')
    source, out = TableFile.at(tmp_path / "a.csv"), TableFile.at(tmp_path / "b.csv")
    write_rows(source, read_table(source), np.array([True, False]), out)
    assert out.path.read_bytes() == b'x,y\r1,"a\rb"\r'


def test_a_record_that_the_csv_rules_cannot_read_is_not_copied(tmp_path):
    (tmp_path / "a.csv").write_text(f"x,y\n1,{'long' * 40_000}\n2,short\n")
    source, out = TableFile.at(tmp_path / "a.csv"), TableFile.at(tmp_path / "b.csv")
    with pytest.raises(FileError, match="field larger than field limit.*another format"):
        write_rows(source, read_table(source), np.array([True, False]), out)


@pytest.mark.parametrize("suffix", ["tsv", "jsonl", "csv.gz"])
def test_another_text_format_holds_the_same_values(table, tmp_path, suffix):
    source = written(table, tmp_path / "all.csv")
    out = TableFile.at(tmp_path / f"kept.{suffix}")
    write_rows(source, read_table(source), KEPT, out)
    expected = read_table(source)[KEPT].reset_index(drop=True)
    pd.testing.assert_frame_equal(read_table(out), expected, check_dtype=False)


def test_gzip_files_of_the_same_rows_are_the_same(table, tmp_path):
    source = written(table, tmp_path / "all.csv")
    outs = [TableFile.at(tmp_path / f"{name}.csv.gz") for name in "ab"]
    for out in outs:
        write_rows(source, read_table(source), KEPT, out)
    assert outs[0].path.read_bytes() == outs[1].path.read_bytes()


def test_types_of_json_are_kept_when_read(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "007", "updated_at": 5}\n\n{"id": "008", "updated_at": 6}\n')
    assert read_table(TableFile.at(path)).to_dict("list") == {
        "id": ["007", "008"],
        "updated_at": [5, 6],
    }


@needs_pyarrow
@pytest.mark.parametrize("index", ["range", "named", "dates"])
def test_parquet_keeps_index_types_and_order(table, tmp_path, index):
    table = table.assign(
        size=pd.Categorical(table["sex"]),
        count=pd.array([None if i % 3 else i for i in range(N)], dtype="Int16"),
        when=pd.date_range("2026-01-01", periods=N, tz="Europe/Berlin"),
    )
    if index == "named":
        table = table.set_index(pd.Index([f"row {i}" for i in range(N)], name="row"))
    elif index == "dates":
        table.index = pd.date_range("2026-01-01", periods=N, freq="D")
    source, out = (TableFile.at(tmp_path / f"{name}.parquet") for name in "ab")
    table.to_parquet(source.path)
    write_rows(source, read_table(source), KEPT, out)
    expected = pd.read_parquet(source.path)[KEPT]
    pd.testing.assert_frame_equal(pd.read_parquet(out.path), expected, check_freq=False)


@needs_pyarrow
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_named_index_becomes_a_column_of_text(table, tmp_path, suffix):
    table = table.set_index(pd.Index([f"row {i}" for i in range(N)], name="row"))
    source, out = TableFile.at(tmp_path / "a.parquet"), TableFile.at(tmp_path / f"b.{suffix}")
    table.to_parquet(source.path)
    write_rows(source, read_table(source), KEPT, out)
    assert list(read_table(out)["row"]) == list(table.index[KEPT])


@needs_pyarrow
def test_a_parquet_schema_of_another_tool_is_kept(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [("id", pa.uint8()), ("price", pa.decimal128(6, 2)), ("day", pa.date32())],
        metadata={"made by": "another tool"},
    )
    rows = pa.table([[1, 2, 3], [1, None, 3], [10, 20, 30]], schema=schema)
    source, out = (TableFile.at(tmp_path / f"{name}.parquet") for name in "ab")
    pq.write_table(rows, source.path)
    write_rows(source, read_table(source), np.array([True, False, True]), out)
    kept = pq.read_table(out.path)
    assert kept.schema.equals(schema, check_metadata=True)
    assert kept.equals(rows.take([0, 2]))


@needs_pyarrow
def test_text_becomes_parquet_without_a_made_up_index(table, tmp_path):
    source, out = written(table, tmp_path / "a.csv"), TableFile.at(tmp_path / "b.parquet")
    write_rows(source, read_table(source), KEPT, out)
    expected = read_table(source)[KEPT].reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.read_parquet(out.path), expected)


@pytest.mark.parametrize("name", ["a.xlsx", "a", "a.gz", "a.parquet.gz", "csv"])
def test_other_formats_are_a_usage_error(name):
    with pytest.raises(UsageError, match=r"must end in '\.csv', .*; '.*' does not"):
        TableFile.at(name)


BROKEN = {
    "a.csv": (b"", "a.csv is empty"),
    "b.csv": (b"x,y\n", "b.csv has no rows"),
    "c.csv": (b"x,y\n1,2\n1,2,3\n", "c.csv is no csv table in UTF-8: .*line 3"),
    "d.csv": (b"x,y\n1,2,3\n1,2,3\n", "d.csv is no csv table"),
    "e.csv": (b"x,y\n\xff,2\n", "e.csv is no csv table in UTF-8"),
    "f.csv.gz": (b"x,y\n1,2\n", "f.csv.gz cannot be read"),
    "g.csv.gz": (gzip.compress(b"x,y\n1,2\n" * 99)[:-9], "g.csv.gz cannot be read"),
    "h.jsonl": (b"x,y\n1,2\n", "h.jsonl is no jsonl table"),
    "i.jsonl": (b"", "i.jsonl has no rows"),
    "k.jsonl": (b'{"x": 1}\n\n[1]\n', "k.jsonl is no jsonl table .*line 3 holds list"),
    "j.tsv": (b'x\ty\n"1\t2\n', "j.tsv is no tsv table"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named_in_one_line(tmp_path, name):
    data, message = BROKEN[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FileError, match=message) as error:
        read_table(TableFile.at(tmp_path / name))
    assert "\n" not in str(error.value)


@needs_pyarrow
def test_a_parquet_file_that_is_none_is_named(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"x,y\n1,2\n")
    with pytest.raises(FileError, match="a.parquet is no parquet table"):
        read_table(TableFile.at(tmp_path / "a.parquet"))


@pytest.mark.parametrize(("package", "name"), [("pandas", "a.csv"), ("pyarrow", "a.parquet")])
def test_a_missing_package_names_the_extra(monkeypatch, package, name):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "sklearn_prune.files.formats.find_spec",
        lambda other: None if other == package else found(other) or "stands in",
    )
    with pytest.raises(FileError, match=rf"needs {package}, .*'sklearn-prune\[files\]'"):
        check_packages(TableFile.at(name))


def test_a_file_whose_records_pandas_counts_otherwise_is_not_copied(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x\n1\n2\n3\n")
    source, out = TableFile.at(path), TableFile.at(tmp_path / "b.csv")
    with pytest.raises(FileError, match="3 of them .* but 2 rows by pandas"):
        write_rows(source, read_table(source)[:2], np.array([True, False]), out)
    assert sorted(os.listdir(tmp_path)) == ["a.csv"]


def test_the_file_that_needs_a_package_is_named(monkeypatch):
    # Whether it is installed here or not.
    found = {"pandas": True, "pyarrow": None}
    monkeypatch.setattr("sklearn_prune.files.formats.find_spec", found.get)
    with pytest.raises(FileError, match=r"^out\.parquet needs pyarrow, which is not installed"):
        check_packages(TableFile.at("in.csv"), TableFile.at("out.parquet"))
