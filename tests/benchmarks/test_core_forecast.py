"""More is foreseen by more steps."""

from __future__ import annotations

from types import SimpleNamespace

from benchmarks import core_forecast as forecast
from benchmarks import tables


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
