"""Histograms of the influences of kept and dropped rows."""

from __future__ import annotations

import numpy as np
import pytest

from sklearn_prune.baselines import RandomPruner
from sklearn_prune.inspection import InfluenceDisplay

plt = pytest.importorskip("matplotlib.pyplot")


def test_histograms_hold_the_rows_kept_and_those_dropped(cancer_pruner):
    axes = plt.subplots()[1]
    display = InfluenceDisplay.from_estimator(cancer_pruner, ax=axes, histtype="bar")
    assert display.ax_ is axes
    assert display.figure_ is axes.figure
    for name in ("kept", "dropped"):
        heights = [bar.get_height() for bar in display.histograms_[name]]
        assert sum(heights) == pytest.approx(1)
    assert axes.get_xscale() == "log"
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["kept (85 rows)", "dropped (341 rows)"]


def test_rows_without_influence_are_left_out_of_the_histogram():
    norms, support = np.array([0.0, 1.0, 10.0, np.inf]), np.array([True, True, False, False])
    display = InfluenceDisplay(influence_norms=norms, support=support).plot(histtype="bar")
    assert sum(bar.get_height() for bar in display.histograms_["kept"]) == pytest.approx(0.5)
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels[0] == "kept (2 rows, 1 without a finite influence not shown)"
    with pytest.raises(ValueError, match="none of the 1 rows has one"):
        InfluenceDisplay(influence_norms=norms[:1], support=support[:1]).plot()


def test_a_pruner_without_influences_is_refused(iris):
    with pytest.raises(TypeError, match="RandomPruner has none"):
        InfluenceDisplay.from_estimator(RandomPruner().fit(*iris))
