"""MoSoPruner: keeps rows whose gradients agree with those of the others."""

from __future__ import annotations

from .._types import Floats
from ._dynamics import Epoch, record_epochs
from ._scored import ScoredPruner, ScoringJob


class MoSoPruner(ScoredPruner):
    r"""Keep the rows whose gradients agree with those of all others.

    Moving row i out of the N rows raises the mean loss of the others. To first order, with learning
    rate :math:`\eta_t`, the rise is

    .. math:: M_i = \frac TN \, \mathbb{E}_t \, \eta_t \,
        \big\langle \nabla L_{-i}(\theta_t), \nabla \ell_i(\theta_t) \big\rangle, \qquad
        \nabla L_{-i} = \frac{1}{N-1} \sum_{j \ne i} \nabla \ell_j

    with the mean over all T epochs. The rows with the highest scores stay.

    Parameters
    ----------
    estimator : skorch net or None, default=None
        Network whose module ends in a ``torch.nn.Linear``; a clone is trained on all rows. None
        trains a linear model on standardised columns by Adam.
    prune_ratio : float in [0, 1), default=0.4
        Share of the rows to *drop*.
    stratify : bool, default=True
        Keep the same share of each class, as `InfluencePruner` does. False lets all rows compete,
        as in the paper, but keeps at least one row of each class.
    random_state : int, RandomState instance or None, default=None
        Seeds the training, and the choice between equal scores.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        :math:`M_i`, the rise of the mean loss of the other rows if the row is moved out.

    See Also
    --------
    sklearn_prune.base.BasePruner : The other fitted attributes.
    sklearn_prune.InfluencePruner : Chooses rows by the joint effect of dropping them.

    Notes
    -----
    :math:`\theta_t` are the last layer's parameters after epoch t, with the gradient
    :math:`\nabla \ell_i = r_i a_i^T` of the residual and the layer's input. The paper takes the
    whole network's parameters at a few random epochs. Costs one training and one more forward pass
    an epoch.

    References
    ----------
    Tan et al., "Data Pruning via Moving-one-Sample-out", NeurIPS 2023, arXiv:2310.14664.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_prune.baselines import MoSoPruner
    >>> X, y = load_iris(return_X_y=True)
    >>> pruner = MoSoPruner(prune_ratio=0.8, random_state=0).fit(X, y)
    >>> X_small, y_small = pruner.prune(X, y)
    >>> X_small.shape
    (30, 4)
    """

    _needs_classes = False

    def _score(self, job: ScoringJob) -> Floats:
        rises = record_epochs(job, moving_out)
        return rises.sum(axis=0) / rises.shape[1]


def moving_out(epoch: Epoch) -> Floats:
    """Return ``lr * <grad L_without_i, grad l_i>`` of each row, of shape (n_samples,)."""
    n = epoch.n_samples
    product = n * epoch.mean_gradient_product - epoch.gradient_norm**2
    return epoch.lr * product / (n - 1)
