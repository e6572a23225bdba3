"""Pruning a file: the rows that the pruner keeps, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sklearn_prune import InfluencePruner
from sklearn_prune.data import ColumnsEncoder
from sklearn_prune.files import FileError, PruneJob, UsageError, plan_pruning, prune_file
from tests.files.conftest import N


@pytest.fixture
def job(csv, tmp_path):
    return PruneJob(csv, "income", tmp_path / "out.csv", prune_ratio=0.75)


def kept_positions(table, path):
    """Return where the rows of a file stand in the table; its notes are all different."""
    notes = pd.read_csv(path)["note"]
    return np.flatnonzero(table["note"].isin(notes))


def test_the_rows_are_those_that_the_pruner_keeps(job, table):
    outcome = prune_file(job)
    X = pd.read_csv(job.path)
    y = X.pop("income")
    pruner = InfluencePruner(prune_ratio=0.75, random_state=0).fit(
        ColumnsEncoder().fit_transform(X), y
    )
    np.testing.assert_array_equal(kept_positions(table, job.output), pruner.sample_indices_)
    assert (outcome.n_samples, outcome.n_kept) == (N, 30)
    assert str(outcome).startswith(f"{job.output}: 30 of 120 rows kept\n")


def test_the_same_seed_writes_the_same_file_and_another_one_another(job, tmp_path):
    others = [replace(job, output=tmp_path / f"{s}.csv", seed=s) for s in (0, 1)]
    for each in (job, *others):
        prune_file(each)
    same, other = (each.output.read_bytes() for each in others)
    assert job.output.read_bytes() == same != other


def test_rows_of_the_query_are_kept(job, table):
    prune_file(replace(job, keep_query="age > 75 and sex == 'f'"))
    asked = np.flatnonzero((table["age"] > 75) & (table["sex"] == "f"))
    assert len(asked) and set(asked) <= set(kept_positions(table, job.output))


def test_a_query_that_is_missing_somewhere_keeps_nothing_there(job, table, tmp_path):
    # JSON lines have null among true and false, which pandas holds as objects.
    flags = [True if i < 5 else None if i < 9 else False for i in range(N)]
    path = tmp_path / "table.jsonl"
    table.assign(flag=flags).to_json(path, orient="records", lines=True)
    prune_file(replace(job, path=path, keep_query="flag"))
    assert set(range(5)) <= set(kept_positions(table, job.output))


def test_groups_keep_their_share(job, table):
    prune_file(replace(job, groups="sex"))
    kept = table.iloc[kept_positions(table, job.output)]
    for pair, rows in table.groupby(["income", "sex"]):
        n_kept = len(kept[(kept["income"] == pair[0]) & (kept["sex"] == pair[1])])
        assert abs(n_kept - len(rows) / 4) < 1


def test_the_weight_column_weighs_and_is_not_read(job, table):
    plan = plan_pruning(replace(job, weight="weight"))
    assert "weight" not in plan.kinds and "weight" in plan_pruning(job).kinds
    table.loc[:9, "weight"] = 0
    table.to_csv(job.path, index=False)
    prune_file(replace(job, weight="weight"))
    # Rows of weight zero are the first to go.
    assert kept_positions(table, job.output).min() > 9


def test_a_tolerance_drops_as_many_as_it_allows(job):
    few, many = (
        prune_file(replace(job, prune_ratio=None, tolerance=tolerance)).n_kept
        for tolerance in (1e-4, 1e-1)
    )
    assert many < few < N


def test_trusted_rows_are_read_by_the_names_of_their_columns(job, table, tmp_path):
    reference = tmp_path / "trusted.csv"
    table[::-1].drop(columns="income").assign(income=table["income"][::-1]).iloc[:80, ::-1].to_csv(
        reference, index=False
    )
    outcome = prune_file(replace(job, reference=reference))
    assert outcome.certificate.n_reference == 80
    table.drop(columns="sex").to_csv(reference, index=False)
    with pytest.raises(FileError, match="^trusted.csv needs every column .* 'sex' is missing"):
        prune_file(replace(job, reference=reference))
    table.assign(age="old").to_csv(reference, index=False)
    with pytest.raises(FileError, match="^trusted.csv is not like the table: column 'age'"):
        prune_file(replace(job, reference=reference))
    with pytest.raises(UsageError, match="'trusted.txt' does not"):
        prune_file(replace(job, reference=tmp_path / "trusted.txt"))


def test_a_report_is_written_beside(job, tmp_path):
    prune_file(replace(job, report=tmp_path / "report.html", groups="sex"))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "30 of 120 rows" in page and "By group" in page


def test_a_report_that_fails_does_not_cost_the_rows(job, tmp_path, monkeypatch):
    def failing(*args, **kwargs):
        raise MemoryError("no room for a page")

    monkeypatch.setattr("sklearn_prune.files.job.report", failing)
    with pytest.raises(FileError, match="is written, but its report failed: no room for a page"):
        prune_file(replace(job, report=tmp_path / "report.html"))
    assert len(pd.read_csv(job.output)) == 30
    assert not (tmp_path / "report.html").exists()


def test_a_target_of_numbers_is_a_regression(job, table):
    table.assign(income=np.random.default_rng(0).normal(size=N)).to_csv(job.path, index=False)
    assert prune_file(job).n_kept == 30
    assert plan_pruning(job).target == "numbers"


def test_whole_numbers_are_read_as_is_said(job, table):
    table.assign(income=np.arange(N) % 7).to_csv(job.path, index=False)
    assert plan_pruning(job).target == "7 classes"
    assert plan_pruning(replace(job, target_kind="regression")).target == "numbers"


def test_a_plan_says_what_it_would_take_and_writes_nothing(job, tmp_path):
    plan = plan_pruning(job)
    assert (plan.n_samples, plan.n_columns, plan.n_kept, plan.timed) == (N, 7, 30, ())
    assert plan.kinds == {
        "code": "number",
        "age": "number",
        "sex": "category",
        "born": "moment",
        "note": "left out",
        "weight": "number",
    }
    assert (
        plan.n_encoded
        == ColumnsEncoder().fit_transform(pd.read_csv(job.path).drop(columns="income")).shape[1]
    )
    assert "note: text that hardly ever repeats" in str(plan)
    assert [path.name for path in tmp_path.iterdir()] == [job.path.name]


def test_a_plan_of_many_rows_times_a_few_of_them(job, table, monkeypatch):
    monkeypatch.setattr("sklearn_prune.files.job._FEWEST_TIMED", 10)
    plan = plan_pruning(replace(job, output=None))
    (few, short), (many, long) = plan.timed
    assert (few, many) == (6, 12) and min(short, long) > 0
    assert "for 6 rows" in str(plan) and "about" in str(plan)


MISTAKES = {
    "no target": ({"target": "pay"}, "--target must be a column of table.csv; 'pay' is none"),
    "no groups": ({"groups": "race"}, "--groups must be a column"),
    "missing values": ({"groups": "age"}, "11 of 120 rows have no 'age', the first is row 0"),
    "weight of text": ({"weight": "sex"}, "cannot be pruned so: sample_weight must be numbers"),
    "weight is target": ({"weight": "income"}, "--weight must be another column"),
    "unknown name": ({"keep_query": "height > 2"}, "cannot be evaluated .*'height'"),
    "no query": ({"keep_query": "age >"}, "cannot be evaluated"),
    "no mask": ({"keep_query": "age + 1"}, "must be true or false for each row; it is float64"),
    "all kept": ({"keep_query": "weight > 0"}, "cannot be pruned so: "),
    "too much": ({"prune_ratio": 0.999}, "cannot be pruned so: "),
    "text as numbers": ({"target_kind": "regression"}, "A regression target must be numeric"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_the_file_cannot_give_is_one_line(job, mistake):
    changed, message = MISTAKES[mistake]
    with pytest.raises(FileError, match=message) as error:
        prune_file(replace(job, **changed))
    assert "\n" not in str(error.value)
    assert not job.output.exists()


def test_a_missing_target_is_counted(job, table):
    table.loc[[3, 5], "income"] = None
    table.to_csv(job.path, index=False)
    with pytest.raises(FileError, match="2 of 120 rows have no 'income', the first is row 3"):
        prune_file(job)


def test_a_table_of_the_target_alone_is_refused(job, table):
    table[["income"]].to_csv(job.path, index=False)
    with pytest.raises(FileError, match="has no column beside 'income'"):
        prune_file(job)


def test_no_file_that_is_read_is_overwritten(job, csv, tmp_path):
    link = tmp_path / "link.csv"
    link.symlink_to(csv)
    before = csv.read_bytes()
    for changed in (
        {"output": csv},
        {"output": link},
        {"output": csv.parent / "." / csv.name, "report": None},
        {"report": csv},
        {"reference": tmp_path / "other.csv", "output": tmp_path / "other.csv"},
    ):
        with pytest.raises(UsageError, match="would be overwritten"):
            prune_file(replace(job, **changed))
        with pytest.raises(UsageError, match="would be overwritten"):
            plan_pruning(replace(job, **changed))
    assert csv.read_bytes() == before


def test_paths_are_checked_before_any_work(job, tmp_path):
    with pytest.raises(FileError, match="there is no folder"):
        prune_file(replace(job, output=tmp_path / "no" / "out.csv"))
    with pytest.raises(FileError, match="there is no file"):
        prune_file(replace(job, path=tmp_path / "no.csv"))
    with pytest.raises(FileError, match="is a folder"):
        prune_file(replace(job, report=tmp_path))
    with pytest.raises(UsageError, match="need a file each"):
        prune_file(replace(job, report=job.output))
    with pytest.raises(UsageError, match="give -o OUT"):
        prune_file(replace(job, output=None))


def test_an_older_output_stays_whole_until_the_new_one_is(job, monkeypatch):
    job.output.write_text("older")

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sklearn_prune.files.formats.copy_records", fails)
    with pytest.raises(FileError, match="cannot be written: No space left on device"):
        prune_file(job)
    assert job.output.read_text() == "older"
    assert {path.name for path in job.output.parent.iterdir()} == {"table.csv", "out.csv"}
