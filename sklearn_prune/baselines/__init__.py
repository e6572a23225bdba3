"""Pruners from the literature, for comparison, and `UncertaintyPruner`, made from two ideas in it.

All take images too, of shape (n_samples, channels, height, width) or any other: a network gets them
as they are, and without one the values of an image are its columns. `RandomPruner` takes any rows.
"""

from ._coverage import CoveragePruner
from ._d2 import D2Pruner
from ._distribution import DistributionPruner
from ._dual import DUALPruner
from ._dynamic_uncertainty import DynamicUncertaintyPruner
from ._el2n import EL2NPruner
from ._forgetting import ForgettingPruner
from ._geometric_median import GeometricMedianPruner
from ._grand import GraNdPruner
from ._herding import HerdingPruner
from ._influence_score import InfluenceScorePruner
from ._k_center import KCenterPruner
from ._k_means import KMeansPruner
from ._moderate import ModeratePruner
from ._moso import MoSoPruner
from ._random import RandomPruner
from ._refined_coreset import RefinedCoresetPruner
from ._uncertainty import UncertaintyPruner
from ._zero_shot import ZeroShotCoveragePruner

__all__ = [
    "CoveragePruner",
    "D2Pruner",
    "DUALPruner",
    "DistributionPruner",
    "DynamicUncertaintyPruner",
    "EL2NPruner",
    "ForgettingPruner",
    "GeometricMedianPruner",
    "GraNdPruner",
    "HerdingPruner",
    "InfluenceScorePruner",
    "KCenterPruner",
    "KMeansPruner",
    "MoSoPruner",
    "ModeratePruner",
    "RandomPruner",
    "RefinedCoresetPruner",
    "UncertaintyPruner",
    "ZeroShotCoveragePruner",
]
