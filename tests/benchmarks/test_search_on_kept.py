"""The benchmark of searches on kept rows, on a few made-up rows and settings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from benchmarks import search_on_kept
from benchmarks.cells import read_records
from benchmarks.search_on_kept import FULL, Cell

COMMAND = ["--dataset", "adult", "--learner", "logistic", "svc", "--ratio", "0.5", "--seeds", "1"]
COMMAND += ["--finalists", "2"]


@pytest.fixture
def few_settings(monkeypatch):
    learners = {
        "logistic": (LogisticRegression(), {"C": [1e-4, 1e-2, 1.0]}),
        "svc": (SVC(), {"C": [1.0, 10.0], "gamma": search_on_kept.GAMMAS}),
    }
    monkeypatch.setattr(search_on_kept, "LEARNERS", learners)


@pytest.mark.usefixtures("few_settings")
def test_a_run_that_was_cut_off_goes_on(data_dir, tmp_path, capsys):
    command = ["--data-dir", str(data_dir), "--out", str(tmp_path), *COMMAND]
    search_on_kept.main([*command, "--pruner", "random"])
    path = tmp_path / "search_on_kept.csv"
    first = read_records(path, Cell)
    assert [(cell.learner, cell.pruner) for cell in first] == [
        ("logistic", FULL),
        ("logistic", "random"),
        ("svc", FULL),
        ("svc", "random"),
    ]
    search_on_kept.main([*command, "--pruner", "random", "kmeans"])
    again = read_records(path, Cell)
    assert again[:4] == first and [cell.pruner for cell in again[4:]] == ["kmeans", "kmeans"]
    for cell in again:
        n_settings = 3 if cell.learner == "logistic" else 12
        assert cell.setting_scores.shape == (n_settings,)
        assert cell.n_kept == (600 if cell.pruner == FULL else 300)
        assert cell.seconds > cell.prune_seconds >= 0
    shown = (tmp_path / "search_on_kept.md").read_text(encoding="utf-8")
    assert shown.strip().endswith("|") and capsys.readouterr().out.strip().endswith(shown.strip())
    assert shown.count("| adult, svc | 50% |") == 2


def cell(pruner, seed, scores, test_score, seconds, n_finalists=1):
    ratio = 0.0 if pruner == FULL else 0.9
    shown = " ".join(map(str, scores))
    timed = seconds, 1.0, 1.0
    return Cell("adult", "svc", pruner, ratio, n_finalists, seed, 10, *timed, test_score, shown)


def test_the_report_compares_seeds_that_both_have():
    full, kept = [0.7, 0.8, 0.9], [0.6, 0.9, 0.8]
    cells = [
        cell(FULL, 0, full, 0.9, 20.0),
        cell(FULL, 1, full, 0.8, 40.0),
        cell(FULL, 2, full, 0.1, 1e9),
        cell("random", 0, kept, 0.88, 4.0),
        cell("random", 1, full, 0.82, 6.0),
        cell("random", 0, kept, 0.9, 6.0, n_finalists=2),
    ]
    line, of_finalists = search_on_kept.report(cells).splitlines()[-2:]
    tau = (kendalltau(full, kept).statistic + 1) / 2
    half = 12.706 * np.std([0.02, -0.02], ddof=1) / np.sqrt(2)
    expected = [
        "adult, svc",
        "90%",
        "random",
        "1",
        "2",
        f"{tau:.2f}",
        "0.8500",
        f"+0.0000 ± {half:.4f}",
    ]
    assert line == "| " + " | ".join([*expected, "30.0", "5.0", "1.0", "6.0"]) + " |"
    assert of_finalists.startswith("| adult, svc | 90% | random | 2 | 1 |")


def test_pruning_pays_once_it_took_less_than_the_fits_that_it_saves():
    scores, searches = [0.1] * 10, 3 * 10
    cells = [
        cell(FULL, 0, scores, 0.9, searches * 2.0),
        cell("influence", 0, scores, 0.9, searches * 0.5 + 60.0),
        cell("random", 0, scores, 0.8, searches * 0.5),
    ]
    cells[1] = replace(cells[1], prune_seconds=60.0)
    line = search_on_kept.box(cells).splitlines()[-1]
    # 20 s a fold against 1.5 s a fit.
    assert line.split(" | ")[3:] == ["2", "0.5", "20", "14", "+0.0000", "+0.1000 |"]
    cells[0] = replace(cells[0], seconds=searches * 0.4)
    assert " | never | " in search_on_kept.box(cells)


@pytest.mark.parametrize("learner", search_on_kept.LEARNERS)
def test_each_learner_has_fifty_settings_or_more(learner):
    _, grid = search_on_kept.LEARNERS[learner]
    assert np.prod([len(values) for values in grid.values()]) >= 50


def test_a_missing_file_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        search_on_kept.main(["--data-dir", str(tmp_path), "--subset", "50"])
    assert "adult.csv.gz is not in" in capsys.readouterr().err
