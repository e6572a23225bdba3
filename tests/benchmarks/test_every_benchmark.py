"""The benchmarks run, on small made-up files of the real ones' shape, and tell what is missing."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from joblib import cpu_count

from benchmarks import core, data, forecast, tables
from benchmarks._common import Figure, insert_into_readme, output_folder, write_figures


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    n = 400
    age = rng.integers(17, 90, n)
    adult = {
        "age": age,
        "workclass": rng.choice(["Private", "State-gov", None], n),
        "income": np.where(age + rng.normal(0, 20, n) > 50, ">50K", "<=50K"),
        "split": np.where(np.arange(n) < 300, "train", "test"),
    }
    pd.DataFrame(adult).to_csv(folder / "adult.csv.gz", index=False)
    carat = rng.uniform(0.2, 2, n)
    diamonds = {
        "carat": carat,
        "cut": rng.choice(["Ideal", "Premium"], n),
        "price": np.round(4000 * carat**1.7 * rng.lognormal(0, 0.1, n) + 1),
    }
    pd.DataFrame(diamonds).to_csv(folder / "diamonds.csv.gz", index=False)
    y = np.arange(n) % 3
    X = rng.normal(size=(n, 4)) + y[:, None]
    np.savez(
        folder / "cifar10_embedding.npz",
        X=X.astype(np.float16),
        y=y,
        is_test=np.arange(n) >= 300,
    )
    return folder


def run_job(job, data_dir, out):
    core.main(
        ["--job", job, "--data-dir", str(data_dir), "--out", str(out)]
        + ["--subset", "240", "--seeds", "1"]
    )
    return tables.Figures(tables.read_figures(out))


def test_adult_scores_full_chosen_and_random_rows(data_dir, tmp_path):
    figures = run_job("adult", data_dir, tmp_path)
    for metric in ("accuracy", "auc"):
        assert len(figures.values("adult", "full", 0.0, metric)) == 1
        assert len(figures.values("adult", "pruned", 0.9, metric)) == 1
        assert len(figures.values("adult", "random", 0.9, metric)) == core.N_SEEDS
    assert figures.values("adult", "pruned", 0.9, "n_kept") == [24]
    described = json.loads((tmp_path / "adult.json").read_text(encoding="utf-8"))
    assert described["threads"] == min(2, cpu_count())
    assert (tmp_path / "core.md").exists()


def test_diamonds_scores_a_regression(data_dir, tmp_path):
    figures = run_job("diamonds", data_dir, tmp_path)
    assert figures.values("diamonds", "pruned", 0.95, "n_kept") == [12]
    assert figures.mean("diamonds", "full", 0.0, "r2") > 0.9


def test_cifar10_measures_distance_time_and_memory(data_dir, tmp_path):
    figures = run_job("cifar10", data_dir, tmp_path)
    assert figures.mean("cifar10", "pruned", 0.9, "distance") > 0
    assert figures.mean("cifar10", "pruned", 0.9, "peak_memory_mb") > 50
    for way in ("refit_head", "sklearn-lbfgs", "sklearn-newton-cg"):
        assert figures.mean("cifar10", way, 0.0, "fit_seconds") > 0
        assert figures.mean("cifar10", way, 0.0, "gradient_norm") < 1e-4


def test_more_newton_steps_foresee_retraining_better(monkeypatch):
    objective = forecast.objectives()["breast_cancer"]
    monkeypatch.setattr(forecast, "objectives", lambda: {"breast_cancer": objective})
    figures = tables.Figures(list(forecast.figures(SimpleNamespace(subset=4))))
    for share in forecast.SHARES:
        first, kept, two = (
            figures.mean("breast_cancer", way, share, "median_relative_error")
            for way in forecast.FORECASTS
        )
        assert first > kept > two


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "diabetes"])
def test_bundled_sets_need_no_file(name, tmp_path):
    split = data.load(name, tmp_path)
    np.testing.assert_allclose(split.X_train.mean(axis=0), 0, atol=1e-10)
    assert split.is_classification == (name != "diabetes")
    assert len(split.subset(60).y_train) == len(split.subset(60).X_train) == 60


def test_missing_values_are_a_category_of_their_own(data_dir):
    # Age, and three categories: two kinds of work and none.
    assert data.load("adult", data_dir).X_train.shape == (300, 4)


def test_a_missing_file_is_named_with_the_remedy(tmp_path, capsys):
    with pytest.raises(SystemExit):
        core.main(["--job", "adult", "--data-dir", str(tmp_path)])
    assert re.match("adult.csv.gz is not in .*--data-dir", capsys.readouterr().err)


def test_an_unknown_set_is_named_with_those_there_are(tmp_path):
    with pytest.raises(ValueError, match="'iris' is not one of .*'adult'"):
        data.load("iris", tmp_path)


def test_a_trial_on_a_subset_writes_no_results():
    assert output_folder(SimpleNamespace(out=None, subset=10)) is None


def test_figures_come_back_as_they_were_written(tmp_path):
    written = [
        Figure("adult", "full", 0.0, None, "auc", 0.5),
        Figure("adult", "pruned", 0.9, 3, "n_kept", 7.0),
        Figure("search, linear", "one ratio", None, 0, "seconds", 1.5),
    ]
    write_figures(tmp_path, "adult", written)
    assert tables.read_figures(tmp_path) == written


def test_targets_say_what_was_met():
    figures = [
        Figure("diamonds", "full", 0.0, None, "r2", 0.98),
        Figure("diamonds", "pruned", 0.95, 0, "r2", 0.9796),
    ]
    assert "| 0.9795 | 0.9796 | yes |" in tables.target_table(tables.Figures(figures))
    figures[1] = Figure("diamonds", "pruned", 0.95, 0, "r2", 0.979)
    assert "| 0.9795 | 0.979 | no |" in tables.target_table(tables.Figures(figures))


def test_table_goes_between_the_readmes_comments(tmp_path):
    readme = tmp_path / "README.md"
    begin, end = "<!-- some: begin -->", "<!-- some: end -->"
    readme.write_text(f"above\n{begin}\nold\n{end}\nbelow\n", encoding="utf-8")
    insert_into_readme("some", "| new |", readme)
    expected = f"above\n{begin}\n| new |\n{end}\nbelow\n"
    assert readme.read_text(encoding="utf-8") == expected
    with pytest.raises(ValueError, match="needs the comments <!-- other: begin -->"):
        insert_into_readme("other", "| new |", readme)
