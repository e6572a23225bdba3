"""What pruning did: expected against observed, and displays."""

from ._expected_gap import ExpectedGapDisplay
from ._influence_display import InfluenceDisplay
from ._pruning_curve import PruningCurveDisplay
from ._retraining import Change, LossGap, RetrainingCheck, retraining_check

__all__ = [
    "Change",
    "ExpectedGapDisplay",
    "InfluenceDisplay",
    "LossGap",
    "PruningCurveDisplay",
    "RetrainingCheck",
    "retraining_check",
]
