"""What all displays do: say what to install, and have a title."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sklearn_prune.inspection import (
    ExpectedGapDisplay,
    InfluenceDisplay,
    KeptRowsDisplay,
    PruningCurveDisplay,
)


def test_without_matplotlib_displays_say_what_to_install(monkeypatch, cancer_pruner, iris):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="InfluenceDisplay.from_estimator requires matplotlib"):
        InfluenceDisplay.from_estimator(cancer_pruner)
    with pytest.raises(ImportError, match="PruningCurveDisplay.from_estimator requires"):
        PruningCurveDisplay.from_estimator(LogisticRegression(), *iris)
    with pytest.raises(ImportError, match="KeptRowsDisplay.from_estimator requires"):
        KeptRowsDisplay.from_estimator(cancer_pruner, iris[0])
    with pytest.raises(ImportError, match="ExpectedGapDisplay.from_checks requires"):
        ExpectedGapDisplay.from_checks([])
    with pytest.raises(ImportError, match="ExpectedGapDisplay.plot requires"):
        ExpectedGapDisplay(expected=np.ones(1), observed=np.ones(1)).plot()


def displays():
    ones, mask = np.ones(2), np.array([True, False])
    return [
        InfluenceDisplay(influence_norms=ones, support=mask),
        ExpectedGapDisplay(expected=ones, observed=ones),
        PruningCurveDisplay(prune_ratios={"a": ones}, test_scores={"a": np.ones((2, 3))}),
        KeptRowsDisplay(coordinates=np.ones((2, 2)), support=mask, variance_shares=ones / 2),
    ]


@pytest.mark.parametrize("display", displays(), ids=lambda display: type(display).__name__)
def test_axes_get_a_title_and_keep_one_that_they_have(display):
    assert display.plot().ax_.get_title()
    axes = display.figure_.add_subplot()
    axes.set_title("mine")
    assert display.plot(ax=axes).ax_.get_title() == "mine"
