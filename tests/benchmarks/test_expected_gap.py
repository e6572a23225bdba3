"""The benchmark of expectations: its worst sets are bad, and its tables say what was measured."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris

from benchmarks import expected_gap
from benchmarks._common import read_figures
from benchmarks.expected_gap import Point
from sklearn_prune import InfluencePruner


def point(observed, expected=1.0, ratio=0.5, name="ours", gap=0.1, stated=1.0, proven=2.0):
    """A check whose change is `observed` where `expected` was foreseen."""
    values = {}
    for quantity in expected_gap.QUANTITIES:
        values |= {f"{quantity}.first_order": expected, f"{quantity}.kept_hessian": expected}
        values[f"{quantity}.observed"] = observed
    for quantity in ("train_gap", "test_gap"):
        values[f"{quantity}.observed"] = gap
        values |= {f"{quantity}.stated_bound": stated, f"{quantity}.proven_bound": proven}
    return Point("digits", name, ratio, values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(expected_gap, "RATIOS", (0.4, 0.95))
        arguments = ["--job", "breast_cancer", "--subset", "200", "--out", str(folder)]
        expected_gap.main(arguments)
    return folder


def test_a_trial_writes_numbers_tables_and_a_figure(folder):
    measured = expected_gap.points(read_figures(folder))
    names = sorted(point.name for point in measured)
    assert names == sorted(["ours", "random", "random", *expected_gap.SETS[2:]] * 2)
    assert all(len(point.values) == 17 for point in measured)
    assert (folder / "expected_gap.png").stat().st_size > 10_000
    text = (folder / "expected_gap.md").read_text(encoding="utf-8")
    assert text.strip() == expected_gap.markdown(measured)
    assert text.count("| breast cancer |") == 4 + 4 + 2


def test_what_is_proven_holds_and_ours_changes_least(folder):
    measured = expected_gap.points(read_figures(folder))
    for one in measured:
        assert one.is_within("train_gap", "proven_bound")
        assert one.is_within("test_gap", "proven_bound")
        # Written with six digits.
        assert one.values["parameter_change.observed"] <= one.values["parameter_bound"] * 1.00001
    for ratio in (0.4, 0.95):
        observed = {p.name: p.values["loss_change.observed"] for p in measured if p.ratio == ratio}
        assert min(observed, key=observed.__getitem__) == "ours"
        assert max(observed, key=observed.__getitem__) != "random"


def test_the_same_direction_is_farther_than_the_highest_influences():
    X, y = load_iris(return_X_y=True)
    pruner = InfluencePruner(damping=1e-2, random_state=0).fit(X, y)
    counts = np.array([3, 2, 4])
    start = expected_gap.top_of_each_class(pruner.influence_norms_, y, counts)
    worst = expected_gap.same_direction(pruner, y, start)
    np.testing.assert_array_equal(np.bincount(y[start]), counts)
    np.testing.assert_array_equal(np.bincount(y[worst]), counts)

    def size(drop):
        return np.linalg.norm(pruner.influence_.Z.T @ drop.astype(float))

    assert size(worst) > 1.01 * size(start)


def test_the_highest_of_each_class_are_taken():
    scores, labels = np.array([3.0, 9, 1, 2, 5]), np.array([0, 0, 0, 1, 1])
    chosen = expected_gap.top_of_each_class(scores, labels, np.array([2, 1]))
    assert chosen.tolist() == [True, True, False, False, True]


def test_a_line_is_found_again():
    expected = np.array([1.0, 2, 4, 7])
    assert expected_gap.line_through(expected, 3 * expected + 1) == pytest.approx((3, 1))
    assert expected_gap.line_through(expected, 5 - expected / 2) == pytest.approx((-0.5, -1))


def test_deviations_are_shown_and_judged_to_the_share_that_counts():
    measured = [point(1.05, ratio=0.4), point(0.95, ratio=0.4), point(3.0, ratio=0.99)]
    line = expected_gap.deviation_table(measured).splitlines()[-1]
    assert "| +5.0 % |" in line
    assert "| +200 % | yes |" in line
    measured.append(point(0.8, ratio=0.9))
    assert expected_gap.deviation_table(measured).endswith("| -20 % | +200 % | no |")
    assert "| ours | 2 of 3 | 2 of 3 |" in expected_gap.summary(measured)


def test_shares_within_the_bounds_are_counted():
    measured = [point(1.0, gap=gap) for gap in (0.5, -0.9, -1.5, 2.5)]
    line = expected_gap.bound_table(measured).splitlines()[-1]
    assert line == "| digits | to 90 % | 50 % | 50 % | 0.89 | 75 % | 75 % | 1.8 |"


def test_a_missing_file_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        expected_gap.main(["--job", "adult", "--data-dir", str(tmp_path)])
    assert "adult.csv.gz is not in" in capsys.readouterr().err
