"""Choose which rows of a training set to keep."""

from . import base, baselines, data, files, inspection, meta, model_selection, pipeline
from ._influence_pruner import InfluencePruner
from .matching import Certificate, checkpoints
from .meta import PrunedClassifier, PrunedRegressor
from .networks import UnsupportedNetworkError
from .pipeline import Pipeline, make_pipeline
from .selection import InfeasibleProblemError

__all__ = [
    "Certificate",
    "InfeasibleProblemError",
    "InfluencePruner",
    "Pipeline",
    "PrunedClassifier",
    "PrunedRegressor",
    "UnsupportedNetworkError",
    "base",
    "baselines",
    "checkpoints",
    "data",
    "files",
    "inspection",
    "make_pipeline",
    "meta",
    "model_selection",
    "pipeline",
]

__version__ = "0.1.0"
