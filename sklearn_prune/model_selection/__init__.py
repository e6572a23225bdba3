"""Searches: for the largest prune ratio that keeps the score, and on few rows for any setting."""

from ._prune_ratio_search import PruneRatioSearchCV
from ._pruned_search import PrunedSearchCV, PruningReport

__all__ = ["PruneRatioSearchCV", "PrunedSearchCV", "PruningReport"]
