"""What ``import sklearn_prune`` offers."""

from __future__ import annotations

import subprocess
import sys

import sklearn_prune

REACH = """
import sklearn_prune
print(
    sklearn_prune.baselines.RandomPruner.__name__,
    sklearn_prune.inspection.retraining_check.__name__,
    sklearn_prune.meta.PruningSampler.__name__,
    sklearn_prune.model_selection.PruneRatioSearchCV.__name__,
    sklearn_prune.pipeline.make_pipeline.__name__,
)
"""


def test_submodules_are_reachable_without_an_import_of_their_own():
    # In a process of its own, as other tests import them.
    done = subprocess.run([sys.executable, "-c", REACH], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "RandomPruner",
        "retraining_check",
        "PruningSampler",
        "PruneRatioSearchCV",
        "make_pipeline",
    ]


def test_every_public_name_exists():
    for name in sklearn_prune.__all__:
        assert hasattr(sklearn_prune, name)
