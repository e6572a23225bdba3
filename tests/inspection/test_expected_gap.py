"""Points of observed against forecast changes."""

from __future__ import annotations

import numpy as np
import pytest

from sklearn_prune.inspection import ExpectedGapDisplay, retraining_check


@pytest.mark.parametrize("forecast", ["kept_hessian", "first_order"])
@pytest.mark.parametrize("quantity", ["train_gap", "parameter_change"])
def test_points_are_expected_and_observed(forecast, quantity, cancer_checks):
    display = ExpectedGapDisplay.from_checks(
        cancer_checks, quantity=quantity, forecast=forecast, labels=["a", "b", "a"]
    )
    first, second = display.scatters_
    assert (len(first.get_offsets()), len(second.get_offsets())) == (2, 1)
    of = getattr(cancer_checks[1], quantity)
    np.testing.assert_allclose(second.get_offsets()[0], [getattr(of, forecast), of.observed])
    assert display.ax_.get_xlim() == display.ax_.get_ylim()
    np.testing.assert_array_equal(*display.line_.get_data())
    scale = "log" if quantity == "parameter_change" else "symlog"
    assert display.ax_.get_xscale() == display.ax_.get_yscale() == scale


def test_gaps_below_zero_are_drawn_too():
    display = ExpectedGapDisplay(
        expected=np.array([-0.1, 0.2]), observed=np.array([-0.2, 0.0]), quantity="test_gap"
    ).plot()
    assert display.ax_.get_xscale() == "symlog"
    low, high = display.ax_.get_xlim()
    assert low < -0.2 < 0.2 < high


def test_a_second_display_cuts_off_no_point_of_the_first():
    far, near = np.array([1e-6, 1e6]), np.array([1.0, 2.0])
    first = ExpectedGapDisplay(expected=far, observed=far, quantity="loss_change").plot()
    ExpectedGapDisplay(expected=near, observed=near, quantity="loss_change").plot(ax=first.ax_)
    low, high = first.ax_.get_xlim()
    assert low < 1e-6 and high > 1e6


def test_a_set_that_changed_nothing_is_drawn_at_zero():
    display = ExpectedGapDisplay(expected=np.zeros(1), observed=np.zeros(1)).plot()
    low, high = display.ax_.get_xlim()
    assert low < 0 < high


def test_checks_without_test_rows_have_no_test_gap_to_draw(cancer, cancer_pruner):
    X, _, y, _ = cancer
    check = retraining_check(cancer_pruner, X, y)
    with pytest.raises(ValueError, match="every check needs a test_gap; 1 of 1"):
        ExpectedGapDisplay.from_checks([check], quantity="test_gap")
