"""A pruner as a step of an imbalanced-learn pipeline."""

from __future__ import annotations

from typing import ClassVar

from sklearn.base import BaseEstimator, clone

from .._compat import fit_context
from .._types import Constraints, Estimator, Metadata, Rows, Targets
from .given_pruner import GIVEN_PRUNER, GivenPrunerMixin, fit_given
from .sample_weight import gives_weights


class PruningSampler(GivenPrunerMixin, BaseEstimator):
    """Use a pruner as a step of an imbalanced-learn pipeline.

    ``fit_resample(X, y) = (X[s], y[s])``, where ``s = pruner_.support_`` and
    ``pruner_ = clone(pruner).fit(X, y)``. imbalanced-learn calls ``fit_resample`` in training
    alone, so prediction prunes nothing.

    Parameters
    ----------
    pruner : pruner, pipeline that ends in one, or None, default=None
        A clone chooses the rows; `PrunedClassifier` says how they are encoded for it. None means
        ``InfluencePruner()``.

    Attributes
    ----------
    pruner_ : pruner
        Fitted on all rows.
    encoder_ : transformer or None
        What encoded the rows for ``pruner_``; None if it read them as they are.
    sample_indices_ : ndarray of shape (n_kept,)
        Positions of the kept rows, ascending.
    sample_weight_ : ndarray of shape (n_kept,)
        Weights of the kept rows. Only of a pruner with ``reweight=True``. imbalanced-learn does not
        pass them on, so give them to the estimator yourself.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_prune.baselines import RandomPruner
    >>> from sklearn_prune.meta import PruningSampler
    >>> X, y = np.zeros((100, 2)), np.repeat(["a", "b"], 50)
    >>> X_small, y_small = PruningSampler(RandomPruner(0.9)).fit_resample(X, y)
    >>> y_small
    array(['a', 'a', 'a', 'a', 'a', 'b', 'b', 'b', 'b', 'b'], dtype='<U1')
    """

    _parameter_constraints: ClassVar[Constraints] = {"pruner": GIVEN_PRUNER}

    # Tells imbalanced-learn that there is no sampling_strategy.
    _sampling_type: ClassVar[str] = "bypass"

    def __init__(self, pruner: Estimator = None) -> None:
        self.pruner = pruner

    @fit_context(prefer_skip_nested_validation=False)
    def fit_resample(self, X: Rows, y: Targets, **fit_params: Metadata) -> tuple[Rows, Targets]:
        """Choose the rows to keep, and return them.

        Parameters
        ----------
        X : {array-like, data frame, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target of each row.
        **fit_params : dict
            Passed to the pruner's ``fit``.

        Returns
        -------
        X_kept, y_kept : same types
            The kept rows and their targets.

        Raises
        ------
        ValueError
            If the pruner refuses the data.
        """
        fitted = fit_given(clone(self._given_pruner()), X, y, None, fit_params)
        pruner = fitted.pruner
        self.pruner_, self.encoder_ = pruner, fitted.encoder
        self.sample_indices_ = pruner.sample_indices_
        # Weights of an earlier fit belong to other rows.
        self.__dict__.pop("sample_weight_", None)
        if gives_weights(pruner):
            self.sample_weight_ = pruner.sample_weight_
        return pruner.prune(X, y)
