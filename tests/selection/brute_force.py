"""The slow oracle: every subset of a small problem."""

from __future__ import annotations

import numpy as np


def all_subsets(n):
    """Return every w in {0,1}ⁿ, shape (2ⁿ, n)."""
    return ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(bool)


def feasible_subsets(problem):
    """Return the subsets that meet masks, counts, quotas and linear rows."""
    subsets = all_subsets(problem.n_samples)
    return subsets[[problem.is_feasible(w) for w in subsets]]


def changes(Z, subsets):
    """Return ‖Zᵀw‖₂ of every subset."""
    return np.linalg.norm(subsets.astype(float) @ Z, axis=1)
