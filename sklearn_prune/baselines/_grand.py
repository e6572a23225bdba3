"""GraNdPruner: rows with a small gradient early in training go first."""

from __future__ import annotations

from ._dynamics import EarlyScorePruner, Epoch
from ._scored import Floats


class GraNdPruner(EarlyScorePruner):
    r"""Keep the rows with the largest gradient early in training.

    With :math:`g_i = \nabla_\theta \ell_i` the gradient of the loss of row i after a few epochs,

    .. math:: \mathrm{GraNd}_i = \mathbb{E} \, \| g_i \|_2

    averaged over networks. The highest stay.

    Parameters
    ----------
    estimator : skorch net or None, default=None
        Network whose module ends in a ``torch.nn.Linear``; a clone is trained on all rows. None is
        a linear model on standardised columns, trained by Adam.
    prune_ratio : float in [0, 1), default=0.4
        Share of the rows to *drop*.
    n_epochs : int, default=10
        Epochs after which the score is taken; training ends there.
    n_networks : int, default=10
        Networks, each from another start, over which the score is averaged.
    stratify : bool, default=True
        Each class keeps the same share, as from `InfluencePruner`. False lets all
        rows compete, as in the paper, except that each class keeps one.
    random_state : int, RandomState instance or None, default=None
        Seeds the training, and which of rows with the same score stay.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Mean gradient norm of each row.

    See Also
    --------
    sklearn_prune.base.BasePruner : The other fitted attributes.
    sklearn_prune.InfluencePruner : Chooses the rows by what dropping them together costs.

    Notes
    -----
    :math:`\theta` are the parameters of the last layer, as in Guo et al. There
    :math:`g_i = r_i a_i^T` with the residual :math:`r_i` and the layer's input :math:`a_i`, so
    the norm is :math:`\|r_i\| \|a_i\|` and costs no more than a forward pass. In all,
    ``n_networks`` trainings of ``n_epochs``.

    References
    ----------
    Paul, Ganguli and Dziugaite, "Deep Learning on a Data Diet: Finding Important Examples Early
    in Training", NeurIPS 2021, arXiv:2107.07075.

    Guo, Zhao and Bai, "DeepCore: A Comprehensive Library for Coreset Selection in Deep
    Learning", DEXA 2022, arXiv:2204.08499.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_prune.baselines import GraNdPruner
    >>> X, y = load_iris(return_X_y=True)
    >>> pruner = GraNdPruner(prune_ratio=0.8, n_networks=2, random_state=0).fit(X, y)
    >>> X_small, y_small = pruner.prune(X, y)
    >>> X_small.shape
    (30, 4)
    """

    _needs_classes = False

    def _measure(self, epoch: Epoch) -> Floats:
        return epoch.gradient_norm
