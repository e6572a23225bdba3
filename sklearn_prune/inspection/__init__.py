"""Checks and displays of what pruning does."""

from ._changes import Change, LossGap, RetrainingCheck
from ._expected_gap import ExpectedGapDisplay
from ._influence_display import InfluenceDisplay
from ._kept_rows_display import KeptRowsDisplay
from ._kept_shares import KeptShare
from ._moved_columns import MovedColumn, Represented
from ._pruning_curve import PruningCurveDisplay
from ._report import Report, report
from ._retraining import retraining_check

__all__ = [
    "Change",
    "ExpectedGapDisplay",
    "InfluenceDisplay",
    "KeptRowsDisplay",
    "KeptShare",
    "LossGap",
    "MovedColumn",
    "PruningCurveDisplay",
    "Report",
    "Represented",
    "RetrainingCheck",
    "report",
    "retraining_check",
]
