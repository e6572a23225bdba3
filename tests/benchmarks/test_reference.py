"""The benchmark of reference rows, on small numbers."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmarks import reference, reference_report
from benchmarks.cells import read_records
from benchmarks.data import Split
from benchmarks.reference import Setting
from benchmarks.reference_report import Cell, Task

NOISE = Task("digits", "symmetric", 0.2, 300)
SHIFT = Task("adult", "shift", 0.0, 300)


def test_labels_are_wrong_evenly_or_one_way():
    y, rng = np.arange(30_000) % 3, np.random.default_rng(0)
    noisy = reference.with_wrong_labels(y, NOISE, rng)
    assert (noisy != y).mean() == pytest.approx(0.2, abs=0.01)
    for label in range(3):
        others = noisy[(y == label) & (noisy != y)]
        assert np.bincount(others, minlength=3).max() < 0.55 * len(others)
    one_way = reference.with_wrong_labels(y, Task("digits", "one way", 0.2, 300), rng)
    assert set(one_way[one_way != y]) == {0}
    assert (one_way != y)[y > 0].mean() == pytest.approx(0.2, abs=0.01)
    np.testing.assert_array_equal(reference.with_wrong_labels(y, SHIFT, rng), y)


def numbered(n=500):
    """A split whose rows know their position; test rows are from 10,000 on."""
    X = np.arange(n, dtype=float)[:, None]
    return Split("digits", X, np.arange(n) % 2, X[:50] + 10_000, np.arange(50) % 2)


def test_rows_are_drawn_apart(monkeypatch, tmp_path):
    monkeypatch.setattr(reference, "loaded", lambda dataset, data_dir: numbered())
    task = Task("digits", "symmetric", 0.2, 100)
    for validate in (False, True):
        s = reference.draw(task, 0, tmp_path, validate=validate)
        parts = [set(X.ravel()) for X in (s.X, s.X_ref, s.X_test)]
        assert not parts[0] & parts[1] and not (parts[0] | parts[1]) & parts[2]
        assert len(s.X_ref) == 100
        assert (s.X_test.min() >= 10_000) != validate
        assert len(s.X) == 500 - 100 - (100 if validate else 0)
        np.testing.assert_array_equal(s.clean, s.X.ravel() % 2)
        np.testing.assert_array_equal(s.y_ref, s.X_ref.ravel() % 2)
    other = reference.draw(task, 1, tmp_path)
    assert set(other.X_ref.ravel()) != parts[1]


def test_of_a_shift_populations_are_apart(monkeypatch, tmp_path):
    classes = np.array(["Private", "Self-emp-inc", "Federal-gov", "Self-emp-not-inc"])
    monkeypatch.setattr(reference, "loaded", lambda dataset, data_dir: numbered())
    known = (classes[np.arange(500) % 4], classes[np.arange(50) % 4])
    monkeypatch.setattr(reference, "work_classes", lambda data_dir: known)
    for validate in (False, True):
        s = reference.draw(SHIFT, 0, tmp_path, validate=validate)
        assert set(s.X.ravel() % 4) == {0}
        assert set(s.X_ref.ravel() % 4) == set(s.X_test.ravel() % 4) == {1, 3}


def test_of_a_hidden_shift_no_column_is_constant_in_the_training_rows(monkeypatch, tmp_path):
    plain = numbered()
    marked = replace(
        plain,
        X_train=np.c_[plain.X_train, plain.X_train % 4],
        X_test=np.c_[plain.X_test, plain.X_test % 4],
    )
    known = tuple(
        np.where(X[:, 1] == 0, "Private", "Self-emp-inc") for X in (marked.X_train, marked.X_test)
    )
    monkeypatch.setattr(reference, "loaded", lambda dataset, data_dir: marked)
    monkeypatch.setattr(reference, "work_classes", lambda data_dir: known)
    shown = reference.draw(SHIFT, 0, tmp_path)
    hidden = reference.draw(replace(SHIFT, kind="hidden shift"), 0, tmp_path)
    for of_shown, of_hidden in ((shown.X, hidden.X), (shown.X_ref, hidden.X_ref)):
        np.testing.assert_array_equal(of_shown[:, :1], of_hidden)
    np.testing.assert_array_equal(shown.X_test[:, :1], hidden.X_test)
    assert str(replace(SHIFT, kind="hidden shift")) == (
        "adult, another population, hidden, 300 reference rows"
    )


def test_work_classes_are_those_of_the_file(monkeypatch, tmp_path):
    frame = pd.DataFrame({"workclass": ["a", "b", "c"]})
    is_test = np.array([False, True, False])
    monkeypatch.setattr(reference, "load_adult_frame", lambda data_dir: (frame, None, is_test))
    train, test = reference.work_classes.__wrapped__(tmp_path)
    assert (train.tolist(), test.tolist()) == (["a", "c"], ["b"])


def some_setting():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 3))
    right = (X[:, 0] > 0).astype(np.int64)
    y = np.where(rng.random(300) < 0.2, 1 - right, right)
    return Setting(X[:200], y[:200], right[:200], X[200:260], right[200:260], X[260:], right[260:])


def test_the_rival_keeps_the_rows_of_least_loss():
    s = some_setting()
    kept = reference.least_loss(s, 0.5)
    assert len(kept) == 100
    # The reference's head knows the sign of the first column.
    agreement = (2 * s.y - 1) * s.X[:, 0]
    assert agreement[kept].min() > np.median(agreement) - 0.3


def test_each_method_trains_on_its_rows():
    s = some_setting()
    pruners = reference.pruned(s, 0)
    sizes = {}
    for method in reference.METHODS:
        if method != "cleanlab":
            by_ratio = list(reference.training_rows(method, s, pruners, [0.4, 0.5]))
            sizes[method] = [(ratio, len(y)) for ratio, (_, y) in by_ratio]
    assert sizes.pop("all noisy rows") == sizes.pop("all clean rows") == [(0.0, 200)]
    assert sizes.pop("reference alone") == [(0.0, 60)]
    assert sizes.pop("reference and all noisy rows") == [(0.0, 260)]
    assert sizes.pop("influence and reference") == [(0.4, 180), (0.5, 160)]
    assert all(size == [(0.4, 120), (0.5, 100)] for size in sizes.values())
    ((_, (_, y)),) = reference.training_rows("all clean rows", s, pruners, [])
    np.testing.assert_array_equal(y, s.clean)


def test_scores_are_of_the_test_rows():
    class Half:
        classes_ = np.array([0, 1])

        def predict_proba(self, X):
            return np.c_[1 - X[:, 0], X[:, 0]]

    X, y = np.array([[0.9], [0.2], [0.4]]), np.array([1, 0, 1])
    accuracy, area, loss = reference.scores(Half(), X, y)
    assert (accuracy, area) == (pytest.approx(2 / 3), 1.0)
    assert loss == pytest.approx(-np.log([0.9, 0.8, 0.4]).mean())


def test_what_figures_are_asked_of_comes_first():
    args = Namespace(
        figures=False,
        dataset=["adult", "digits"],
        kind=list(reference.KINDS),
        noise=list(reference.NOISES),
    )
    all_tasks = reference.tasks(args)
    # Two kinds, three shares, and two counts of Adult's and one of digits' reference rows.
    assert len(all_tasks) == len(set(all_tasks)) == 2 * 3 * 3 + 2
    args.figures = True
    assert reference.tasks(args) == all_tasks[:3]
    args.kind = ["shift"]
    assert reference.tasks(args) == [all_tasks[2]]


def test_a_run_that_was_cut_off_goes_on(tmp_path):
    command = ["--dataset", "digits", "--kind", "symmetric", "--noise", "0.2", "--ratio", "0.4"]
    command += ["--method", "reference alone", "random", "--downstream", "head", "forest"]
    command += ["--data-dir", str(tmp_path), "--out", str(tmp_path), "--seeds"]
    reference.main([*command, "1"])
    path = tmp_path / "reference.csv"
    first = read_records(path, Cell)
    assert [(c.method, c.downstream) for c in first] == [
        (method, model) for method in ("reference alone", "random") for model in ("head", "forest")
    ]
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    reference.main([*command, "1"])
    assert read_records(path, Cell) == first
    assert "## digits, 20% symmetric, 300 reference rows" in (tmp_path / "reference.md").read_text()


def test_validating_writes_nothing(monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.cells.append_record", None)
    reference.main(
        ["--validate", "--dataset", "digits", "--kind", "symmetric", "--noise", "0.2"]
        + ["--method", "reference alone", "--downstream", "head", "--seeds", "1"]
    )
    assert "reference alone" in capsys.readouterr().out


def cells_of(method, accuracies, task=NOISE, model="head", ratio=0.0):
    return [
        Cell(
            **vars(task),
            method=method,
            prune_ratio=ratio,
            downstream=model,
            seed=seed,
            n_rows=100,
            accuracy=accuracy,
            auc=0.5,
            log_loss=1.0,
        )
        for seed, accuracy in enumerate(accuracies)
    ]


def test_figures_count_models_above_and_near():
    cells = []
    for model, ours in (("head", 0.90), ("forest", 0.80)):
        cells += cells_of(reference_report.NOISY, [0.85, 0.86], model=model)
        cells += cells_of(reference_report.CLEAN, [0.904, 0.914], model=model)
        cells += cells_of(reference_report.OURS, [ours, ours + 0.01], model=model, ratio=0.4)
    line = reference_report.figures(cells).splitlines()[2]
    assert line.startswith("| digits, 20% symmetric, 300 reference rows | 40% | rows kept | 2 |")
    assert "head +0.0500 ± 0.0000, forest -0.0500 ± 0.0000" in line
    assert line.endswith("| 1 of 2 | 0 of 2 | 1 of 2 |")
    cells = []
    for method, score, ratio in (
        ("all noisy rows", 0.8, 0.0),
        ("reference alone", 0.9, 0.0),
        ("influence", 0.85, 0.4),
        ("influence and reference", 0.95, 0.4),
    ):
        cells += cells_of(method, [score], SHIFT, ratio=ratio)
    alone, together = reference_report.figures(cells).splitlines()[2:]
    assert alone.endswith("| rows kept | 1 | head +0.0500 | 1 of 1 | 0 of 1 |  |")
    assert together.endswith("| rows kept and reference | 1 | head +0.1500 | 1 of 1 | 1 of 1 |  |")


def test_means_have_a_line_for_each_method_and_ratio():
    cells = cells_of("random", [0.5, 0.7], ratio=0.4) + cells_of("all noisy rows", [0.8])
    shown = reference_report.means(cells, NOISE, "accuracy").splitlines()
    assert shown[0] == "| accuracy | pruned | seeds | head |"
    assert shown[2:] == ["| all noisy rows |  | 1 | 0.8000 |", "| random | 40% | 2 | 0.6000 |"]


def test_readme_shows_what_figures_are_asked_of():
    cells = cells_of("all noisy rows", [0.5, 0.7]) + cells_of("influence", [0.8], ratio=0.4)
    cells += cells_of("influence", [0.1], ratio=0.6)
    shown = reference_report.readme_table(cells).splitlines()
    assert shown[0] == "| data | trained on | seeds | head |"
    assert "| digits, 300 trusted rows | all noisy rows | 2 | 0.6000 |" in shown
    assert "| digits, 300 trusted rows | rows kept | 1 | 0.8000 |" in shown


def test_a_missing_file_is_said(tmp_path, capsys):
    reference.loaded.cache_clear()
    with pytest.raises(SystemExit):
        reference.main(["--data-dir", str(tmp_path), "--out", str(tmp_path), "--seeds", "1"])
    assert "adult.csv.gz is not in" in capsys.readouterr().err
