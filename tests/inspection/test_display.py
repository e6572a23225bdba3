"""Displays say what to install."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sklearn_prune.inspection import ExpectedGapDisplay, InfluenceDisplay, PruningCurveDisplay


def test_without_matplotlib_displays_say_what_to_install(monkeypatch, cancer_pruner, iris):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="InfluenceDisplay.from_estimator requires matplotlib"):
        InfluenceDisplay.from_estimator(cancer_pruner)
    with pytest.raises(ImportError, match="PruningCurveDisplay.from_estimator requires"):
        PruningCurveDisplay.from_estimator(LogisticRegression(), *iris)
    with pytest.raises(ImportError, match="ExpectedGapDisplay.from_checks requires"):
        ExpectedGapDisplay.from_checks([])
    with pytest.raises(ImportError, match="ExpectedGapDisplay.plot requires"):
        ExpectedGapDisplay(expected=np.ones(1), observed=np.ones(1)).plot()
