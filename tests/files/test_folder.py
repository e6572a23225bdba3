"""Folders of Parquet files: what is read, encoded and written, file by file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sklearn_prune.data import ColumnsEncoder
from sklearn_prune.files import FileError, PruneJob, UsageError, folder, plan_pruning, prune_file
from sklearn_prune.files.folder import Folder, encoded_parts, write_folder
from tests.files.conftest import N

dask = pytest.importorskip("dask", reason="sklearn_prune[dask] is not installed")
pq = pytest.importorskip("pyarrow.parquet", reason="sklearn_prune[files] is not installed")

LENGTHS = (50, 30, 40)


@pytest.fixture
def parquet(table, tmp_path):
    """The table in files whose names sort otherwise as text, and one without rows."""
    path = tmp_path / "table"
    path.mkdir()
    bounds = np.cumsum([0, *LENGTHS])
    for name, first, last in zip(("2", "3", "10"), bounds[:-1], bounds[1:], strict=True):
        table.iloc[first:last].to_parquet(path / f"part.{name}.parquet", index=False)
    table.iloc[:0].to_parquet(path / "part.0.parquet", index=False)
    (path / "notes.txt").write_text("not a table")
    return path


@pytest.fixture
def job(parquet, tmp_path):
    return PruneJob(parquet, "income", tmp_path / "kept", prune_ratio=0.75)


@pytest.fixture(autouse=True)
def one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def test_files_stand_in_their_natural_order_and_empty_ones_are_left_out(parquet):
    found = Folder.at(parquet)
    assert [file.name for file in found.files] == [f"part.{i}.parquet" for i in (2, 3, 10)]
    assert found.lengths == LENGTHS


def test_each_file_is_a_partition(parquet, table):
    frame = Folder.at(parquet).frame()
    assert frame.map_partitions(len).compute().tolist() == list(LENGTHS)
    assert frame["note"].compute().tolist() == table["note"].tolist()


def test_rows_are_encoded_as_those_of_one_file(parquet, table):
    query = "age > 75 and sex == 'f'"
    with encoded_parts(Folder.at(parquet), "income", "sex", "weight", query) as parts:
        X = table.drop(columns=["income", "weight"])
        np.testing.assert_array_equal(parts.X.compute(), ColumnsEncoder().fit_transform(X))
        assert parts.X.chunks[0] == LENGTHS
        np.testing.assert_array_equal(parts.must_keep.compute(), table.eval(query))
        for column, name in ((parts.y, "income"), (parts.groups, "sex"), (parts.weight, "weight")):
            assert column.compute().tolist() == table[name].tolist()


def test_the_encoder_learns_from_a_sample_of_many_rows(parquet, table, monkeypatch):
    monkeypatch.setattr(folder, "_ENCODED_FROM", 60)
    numbers = table[["age", "weight", "income"]]
    for file in Folder.at(parquet).files:
        pd.read_parquet(file)[list(numbers.columns)].to_parquet(file, index=False)
    encoded = []
    for seed in (0, 0, 1):
        with encoded_parts(Folder.at(parquet), "income", seed=seed) as parts:
            encoded.append(parts.X.compute())
    np.testing.assert_array_equal(encoded[0], encoded[1])
    assert (encoded[0] != encoded[2]).any()
    assert np.corrcoef(encoded[0][:, 1], table["weight"])[0, 1] == pytest.approx(1)


def test_rows_kept_keep_files_types_and_order(parquet, table, tmp_path):
    kept = np.array([1, 7, 49, 80, 119])
    write_folder(Folder.at(parquet), kept, tmp_path / "kept")
    # No row of the second file is kept.
    names = sorted(file.name for file in (tmp_path / "kept").iterdir())
    assert names == ["part.10.parquet", "part.2.parquet"]
    written = Folder.at(tmp_path / "kept")
    rows = pd.concat([pd.read_parquet(file) for file in written.files])
    pd.testing.assert_frame_equal(
        rows.reset_index(drop=True), table.iloc[kept].reset_index(drop=True), check_dtype=False
    )
    for file in written.files:
        source, copy = pq.read_schema(parquet / file.name), pq.read_schema(file)
        assert [source.field(name) for name in table] == [copy.field(name) for name in table]


def test_a_folder_appears_whole_or_not_at_all(parquet, tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(folder, "read_table", fail)
    before = set(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        write_folder(Folder.at(parquet), np.array([1]), tmp_path / "kept")
    assert set(tmp_path.iterdir()) == before


def test_what_needs_all_rows_is_refused(job, tmp_path):
    with pytest.raises(UsageError, match="--report is for a single file"):
        prune_file(replace(job, report=tmp_path / "page.html"))
    with pytest.raises(UsageError, match="--dry-run needs all rows"):
        plan_pruning(job)


def test_a_folder_that_is_there_is_not_written_over(job):
    job.output.mkdir()
    with pytest.raises(FileError, match="kept is there already"):
        prune_file(job)
    with pytest.raises(FileError, match="is there already"):
        prune_file(replace(job, output=job.path))


def test_a_folder_without_tables_is_refused(job, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(FileError, match="no Parquet file has rows"):
        prune_file(replace(job, path=tmp_path / "none"))
    (tmp_path / "none" / "bad.parquet").write_bytes(b"no table")
    with pytest.raises(FileError, match=r"bad\.parquet cannot be read"):
        prune_file(replace(job, path=tmp_path / "none"))


def test_a_package_that_is_missing_is_named(job, monkeypatch):
    monkeypatch.setattr(folder, "find_spec", lambda package: None if package == "dask" else True)
    with pytest.raises(FileError, match=r"needs dask.*pip install 'sklearn-prune\[files,dask\]'"):
        prune_file(job)


def test_a_column_that_is_missing_is_named_before_rows_are_read(job):
    with pytest.raises(FileError, match="'wage' is none of 'code', 'age'"):
        prune_file(replace(job, target="wage"))


def test_a_folder_is_pruned_into_a_folder(job, table):
    outcome = prune_file(replace(job, groups="sex", weight="weight"))
    rows = pd.concat([pd.read_parquet(file) for file in Folder.at(job.output).files])
    assert (outcome.n_samples, outcome.n_kept, len(rows)) == (N, 30, 30)
    shares = table.groupby(["income", "sex"]).size() / 4
    assert (abs(rows.groupby(["income", "sex"]).size() - shares) < 1).all()
    assert str(outcome).startswith(f"{job.output}: 30 of 120 rows kept\n")


def test_a_fault_is_told_with_the_name_of_its_file(job):
    file = job.path / "part.3.parquet"
    rows = pd.read_parquet(file)
    rows.loc[4, "income"] = None
    rows.to_parquet(file, index=False)
    with pytest.raises(FileError, match=r"in part\.3\.parquet, y must not be missing.*in row 4\."):
        prune_file(job)
    assert not job.output.exists()
