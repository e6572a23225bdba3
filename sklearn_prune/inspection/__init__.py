"""Checks and displays of what pruning does."""

from ._changes import Change, LossGap, RetrainingCheck
from ._expected_gap import ExpectedGapDisplay
from ._influence_display import InfluenceDisplay
from ._pruning_curve import PruningCurveDisplay
from ._retraining import retraining_check

__all__ = [
    "Change",
    "ExpectedGapDisplay",
    "InfluenceDisplay",
    "LossGap",
    "PruningCurveDisplay",
    "RetrainingCheck",
    "retraining_check",
]
