"""EL2NPruner: keeps rows with a large error early in training."""

from __future__ import annotations

from .._types import Floats
from ._dynamics import EarlyScorePruner, Epoch


class EL2NPruner(EarlyScorePruner):
    r"""Keep the rows with the largest error early in training.

    Let :math:`p_i` be the class probabilities of row i after a few epochs, and :math:`e_{y_i}` its
    one-hot label. The score is

    .. math:: \mathrm{EL2N}_i = \mathbb{E} \, \| p_i - e_{y_i} \|_2

    with the mean over several networks. The rows with the highest scores stay.

    Parameters
    ----------
    estimator : skorch net or None, default=None
        Network whose module ends in a ``torch.nn.Linear``; a clone is trained on all rows. None
        trains a linear model on standardised columns by Adam.
    prune_ratio : float in [0, 1), default=0.4
        Share of the rows to *drop*.
    n_epochs : int, default=10
        Epochs to train before the score is computed.
    n_networks : int, default=10
        Networks, each from another random start, to average the score over.
    stratify : bool, default=True
        Keep the same share of each class, as `InfluencePruner` does. False lets all rows compete,
        as in the paper, but keeps at least one row of each class.
    random_state : int, RandomState instance or None, default=None
        Seeds the training, and the choice between equal scores.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Mean error norm of each row, between 0 and the square root of 2.

    See Also
    --------
    sklearn_prune.base.BasePruner : The other fitted attributes.
    sklearn_prune.InfluencePruner : Chooses rows by the joint effect of dropping them.

    Notes
    -----
    Costs ``n_networks`` trainings of ``n_epochs`` each.

    References
    ----------
    Paul, Ganguli and Dziugaite, "Deep Learning on a Data Diet: Finding Important Examples Early
    in Training", NeurIPS 2021, arXiv:2107.07075.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_prune.baselines import EL2NPruner
    >>> X, y = load_iris(return_X_y=True)
    >>> pruner = EL2NPruner(prune_ratio=0.8, n_networks=2, random_state=0).fit(X, y)
    >>> X_small, y_small = pruner.prune(X, y)
    >>> X_small.shape
    (30, 4)
    """

    def _measure(self, epoch: Epoch) -> Floats:
        return epoch.error_norm
