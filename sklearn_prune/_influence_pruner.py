"""InfluencePruner: from a network to influences to the rows worth keeping."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
from joblib import Memory
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from . import distributed
from ._compat import (
    CallbackSupportMixin,
    HasMethods,
    Interval,
    StrOptions,
    check_parameters,
    fit_context,
    fit_task,
)
from ._types import (
    Array,
    Constraints,
    Floats,
    Integers,
    Mask,
    Metadata,
    Params,
    Rows,
    Targets,
)
from .base import BasePruner, KeptPartitions, targets_of
from .data import (
    Kind,
    Target,
    TargetKind,
    check_reference_rows,
    check_reference_target,
    check_rows,
    digest,
    is_collection,
    n_rows,
    require_memory,
    take_rows,
    weight_unit,
)
from .influence import Influence, Norm
from .matching import (
    Certificate,
    CostEstimate,
    Matched,
    Network,
    Reference,
    StageClock,
    Trained,
    TrainingJob,
    certify,
    check_counts,
    check_damping,
    check_ensemble,
    check_networks,
    check_priority,
    check_reference,
    choose_rows,
    kept_weights,
    kind_of_target,
    members,
    n_trial_rows,
    recalled,
    scaled_cost,
    train_once,
    unfrozen,
    usable_memory,
)
from .networks import is_linear_model
from .selection import Quota, Request, RowTerms, make_terms
from .utils import drawn_seed, warn_user

UNCHANGED: Any = "unchanged"
# Network, head, influence, distribution, selection, certificate.
_N_STAGES = 6
# Of networks' last layers.
_DEFAULT_DAMPING = 1e-4
# The stages before the selection that time_limit counts.
_TIMED = ("head", "influence", "distribution")
# Share of time_limit that selection and certificate each get at least, whatever came before.
_LEAST_SHARE_OF_TIME = 0.1


@dataclass(frozen=True, eq=False)
class _Pruning:
    """What `fit` returns for given influences: the mask of rows kept, their weights, what it costs.

    ``is_cut`` says whether the time limit ended it.
    """

    support: Mask
    weights: Floats | None
    certificate: Certificate
    is_cut: bool


class InfluencePruner(CallbackSupportMixin, BasePruner):
    r"""Keep the training rows that together train a model almost as all rows do.

    The pruner fits a network, by default a linear model, on all rows and computes how far its last
    layer would move without each row: the row's influence. It then drops rows whose influences
    cancel out, so that the layer, retrained on the rows kept, ends nearly where it was. The rows
    kept also match the distribution of rows and labels, so that other models can be trained on them
    as well. ``certificate_`` reports how far the layer moves, and how far it would move on random
    rows.

    The first parameters say *what to drop*: a share of the rows (``prune_ratio``), or as many rows
    as a bound on the change allows (``tolerance``), within a ``quota`` for each class. Those from
    ``features`` to ``reweight`` say *what to match*, and those from ``time_limit`` on *how to run*.

    Parameters
    ----------
    estimator : skorch net, linear model, None, list of these or ensemble, default=None
        Network whose module ends in a ``torch.nn.Linear``; a clone is fitted on all rows. Or the
        scikit-learn model that you train on the rows kept, alone or after a scaler:
        LogisticRegression, Ridge, LinearRegression or ``SGDClassifier(loss="log_loss")``; see the
        notes. None is a linear model on standardised columns: logistic for classes, least squares
        for numbers. To use a fitted network as it is, wrap it in
        :class:`sklearn.frozen.FrozenEstimator`; to match several checkpoints of its training, in
        :func:`sklearn_prune.checkpoints`. The networks of a list or an ensemble are matched
        together: each is trained with a different seed, and changes are means over them. To give
        each network its own random start, pass the module's class, not an instance.
    prune_ratio : float in [0, 1) or "auto", default=0.4
        Share of the rows to *drop*: ``prune_ratio * n_samples`` rows, rounded to the nearest
        whole number, halves down. "auto" drops as many rows as ``tolerance`` allows.
    tolerance : float or None, default=None
        Largest first-order change allowed, in the unit of ``norm``. Only with
        ``prune_ratio="auto"``, which needs it.
    quota : {"class", "equal"}, dict or None, default="class"
        How many rows each class keeps or, with ``groups`` given to `fit`, each pair of class and
        group. "class": the same share of each, rounded down or up. "equal": the same number, as
        far as their sizes allow. A dict gives the count (int), the share (float) or the
        ``(low, high)`` range (a tuple of either) of rows *kept* for each label or pair
        ``(class, group)`` that it names. None leaves it to the selection. Every class keeps at
        least one row. If y holds numbers, or labels in several columns, there are no classes, and
        quotas refer to ``groups`` alone.
    features : array-like of shape (n_samples, n_features), callable or None, default=None
        Features that no training changes, such as an embedding, or a function that computes them
        from rows. A linear model on them is matched together with ``estimator``. An array must have
        one row for each row of X; if X is split, as in cross-validation, give a function. `fit`
        calls it with an array of the numbers in X; a pipeline or meta-estimator that the pruner is
        given to calls it with X as it is, text and dates included.
    layers : "last", "all" or list of str, default="last"
        Layers to match. "last" refits the last layer first. "all", or patterns of parameter names
        such as ``"encoder.*"``, match more layers, as they were trained; see
        :class:`sklearn_prune.influence.NetworkGradients` for what the module must not do.
    norm : {"loss", "parameter"}, default="loss"
        Unit of a change of the last layer: ``½ Δθᵀ H Δθ``, the predicted rise of the training
        objective in units of the loss, or ``‖Δθ‖₂``.
    damping : float or "auto", default="auto"
        λ in the objective ``(1/N) Σ ν_i loss_i + (λ/2) ‖θ‖²`` that a network's last layer, its bias
        included, is refitted to. ν are the rows' weights, and N is their sum. "auto" is 1e-4. A
        scikit-learn model has its own penalty, and takes no other.
    distribution_weight : float or "auto", default="auto"
        Weight of the distribution beside the influences; with 1, both count the same for random
        rows. See the notes for the distribution that is matched. With 0, only the network is
        matched, as in the paper, and the rows kept may be unrepresentative for other models. "auto"
        is 2 if at least five rows are kept for each parameter that is matched; otherwise, and with
        a tolerance or costs, it is 0.3 (1 with reference rows).
    reweight : bool, default=False
        Compute weights of the kept rows, between 0.5 and 2 and as near to 1 as possible, with which
        the refitted last layer equals that of all rows to rounding, or is as close as such weights
        allow. They are in ``sample_weight_``. `Pipeline`, `PrunedClassifier`, `PrunedRegressor` and
        `PruneRatioSearchCV` pass them to the final estimator, multiplied by the weights you give
        it.
    time_limit : float, default=60.0
        Seconds for everything in `fit` after the networks are trained; the selection and the
        certificate get at least a tenth of it each. When the time is up, a warning says so, the
        selection returns the best rows found so far, and entries of the certificate that are not
        computed are NaN. A fit that is not cut short gives the same result on every run.
    memory : str or object with the joblib.Memory interface, default=None
        Caches fitted networks and influences, so that a search over parameters that only the
        selection uses (``prune_ratio``, ``tolerance``, ``quota``, ``distribution_weight``,
        ``time_limit``, masks, costs and groups) trains once for each set of rows. It caches the
        rows chosen as well, so that the same request is answered at once. Set ``random_state`` to
        an int: otherwise neither trained networks nor chosen rows are reused. A change in the file
        of a network's class is detected; a change in a module that the file imports is not. The
        files are pickles, and loading a pickle can run any code: use a folder that only people you
        trust can write to.
    random_state : int, RandomState instance or None, default=None
        Seeds the training of the network and the selection.
    verbose : int, default=0
        1 prints a line when a stage starts, and its seconds when it ends.

    Attributes
    ----------
    support_ : ndarray of shape (n_samples,)
        True where a training row is kept; like ``influence_norms_`` a Dask array if X is one.
    sample_indices_ : ndarray of shape (n_kept,)
        Positions of the kept rows, ascending.
    sample_weight_ : ndarray of shape (n_kept,)
        Weights of the kept rows, of mean 1. Only with ``reweight``. If you have weights of your
        own, multiply them by these. A Dask array if X is one.
    certificate_ : Certificate
        What dropping the rows costs, and how far from optimal that can be.
    influence_norms_ : ndarray of shape (n_samples,)
        First-order change of the last layer from dropping each row alone, in the unit of ``norm``.
    influence_ : HeadInfluence, NetworkInfluence or StackedInfluence
        The influences of all rows, which predict and measure the change by dropping any rows; see
        :mod:`sklearn_prune.influence`.
    matched_ : Matched
        What the kept rows match: ``influence_``, and the distribution. `select` and `weigh` use it.
    estimator_ : skorch net or list of skorch nets
        The fitted network, or those of a list or ensemble. Its last layer is the trained one, while
        influences are those at the refitted last layer. Only linear networks, the default one and
        those that stand for a scikit-learn model, have the refitted one.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted. Only for classification.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names. Only if all names are strings.

    See Also
    --------
    sklearn_prune.base.BasePruner : What all pruners share.
    sklearn_prune.checkpoints : Match a network at several checkpoints of its training.
    sklearn_prune.model_selection.PruneRatioSearchCV : Find how many rows can go.

    Notes
    -----
    **Objective.** With ``w_i = 1`` where row i is dropped, one Newton step predicts the change

    .. math:: \Delta\theta = \frac{N}{N - \sum \nu_i w_i} \sum_i w_i s_i, \qquad
              s_i = \frac 1N H^{-1} g_i

    with the influence :math:`s_i`, the centred gradient :math:`g_i` and the Hessian H at the last
    layer fitted on all rows. With many rows there are very many sets of almost no first-order
    change, and the curvature of the rows kept decides how far retraining moves the layer. So with a
    ``prune_ratio``, and without costs, the search stops once the first-order length is a tenth of
    that of random rows, and goes on exchanging rows to shorten the Newton step with the kept rows'
    own Hessian. If fewer rows than parameters are kept, it also tries to match a last layer with
    more damping. Both may raise ``predicted_change``. It is normal that ``lower_bound`` is 0 and
    ``gap`` near 100 %.

    **Distribution.** The distribution that is matched is that of the inputs of the last layer (of
    ``features``, if given) jointly with y: kernel means of several bandwidths, counts in the leaves
    of a few trees, and a kernel ridge regression. The rows kept have, by design, more rows from
    regions that are sparse or where the target is uncertain, since other models learn most from
    these, and fewer whose label their neighbours contradict. They have the distribution of all rows
    instead with a tolerance or costs, in classes that keep fewer than five rows, and with 32 free
    rows or fewer. With reference rows, see below.

    **Other seeds.** Rows are interchangeable: another ``random_state`` keeps other rows that serve
    as well. On Adult, digits, breast cancer and diabetes, with ratios from 0.5 to 0.9, two seeds
    have one to two times as many rows in common as two random draws have. That a row is dropped
    does not say that it is bad.

    **Rows.** Without a network, y itself decides between classes and numbers; see
    :func:`sklearn.utils.multiclass.type_of_target`. Sparse rows are made dense batch by batch. The
    inputs of the last layer are stored as a dense array, beyond 4 GB in a temporary file. Arrays on
    disk (numpy.memmap, h5py, zarr) are read a few rows at a time. A dataset is read as skorch reads
    it; unless the network is frozen, its labels must be the codes 0 to K - 1. If a dataset augments
    its rows, fit the pruner, with a frozen network, on a dataset of the same rows in the same order
    that does not, and give the augmented one to `prune`.

    **Networks.** A network is trained on all rows: a ``train_split`` is used only if it takes none
    of them, as :func:`skorch.helper.predefined_split` does. If a frozen network has as many outputs
    as y has classes (or one for two classes), its outputs are the classes in sorted order; if it
    has more outputs, y must hold the codes that it was trained on. Losses of several networks count
    equally; that of a linear regression beside a network is in the unit of y. The number of threads
    is that of :class:`joblib.parallel_config` or, without one, of BLAS; results do not depend on
    it.

    **Scikit-learn's models.** What is matched is the model's own objective on all rows, solved
    exactly. The damping is its penalty divided by the sum of the rows' weights, and classes have
    the weights of ``class_weight``. What the model does not penalise has a damping of 1e-8: the
    intercept (but for ``solver="liblinear"``), and without a penalty all columns, standardised. The
    certificate's refitted head has the same penalty for each row. To train the model so on the rows
    kept, multiply its ``alpha`` by their share, or divide ``C`` by it, as `PrunedClassifier` does
    with ``rescale="auto"``; for an ``SGDClassifier`` leave ``alpha`` as it is. A pipeline's scaler
    is the one fitted on all rows. In ``norm="parameter"`` the intercept counts next to nothing. An
    ``SGDClassifier`` of three classes or more, which is a model for each, and losses or penalties
    with corners cannot be matched.

    **Criteria.** CrossEntropyLoss and NLLLoss (with class weights and label smoothing), BCELoss and
    BCEWithLogitsLoss (with ``pos_weight``; several outputs are several labels), MSELoss, HuberLoss,
    SmoothL1Loss and PoissonNLLLoss have derivatives in closed form. Any other criterion that is the
    mean or the sum over rows of a twice differentiable loss is differentiated by torch; with
    ``layers="last"``, a warning names the smallest curvature if it is not convex.
    With ``reduction="sum"``, the sum is divided by the number of rows. Class weights act like
    ``sample_weight``.

    **Reference rows.** With ``X_ref`` and ``y_ref``, a network that is not frozen is fitted on
    these rows alone, and so is the last layer, with a damping of at least ``damping`` that
    cross-validation chooses. The rows kept are to hold *that* layer, so wrong labels among the
    training rows do not affect the goal. A forest is fitted on the training rows and corrected by
    the reference rows; it predicts how frequent each label should be among rows like a given one.
    Rows whose label should be less than half as frequent as it is are dropped first. The target
    distribution has the columns of the training rows if the reference rows look like them, and
    those of the reference rows otherwise; classes keep their shares in it. Groups have quotas, but
    no distribution of their own, since reference rows have no groups.

    Reference rows teach what training rows cannot, such as the effect of a column that has one
    value in all of these. So train on both: if the reference rows are of another population, the
    rows kept alone may be no better than all rows. Add them to what `prune` returns. In a pipeline,
    put them among the training rows as well, and give their mask as ``must_keep``.

    **Dask collections.** X may be a `dask.array`, of one block along its columns, or a
    `dask.dataframe`; what has one entry for each row has the same partitions, or is in memory. The
    active `distributed.Client` computes, or Dask's threads. The last layer is solved for by sums
    over the partitions; features and priorities come from a sample of 20,000 rows. ``milp`` decides
    how many rows of each partition go. Exchanges in each partition, and then among 20,000 rows of
    all of them, decide which. The rows depend on the seed and the partitions, and not on workers or
    scheduler. Those of a single partition are the rows that are chosen in memory. X is read 15 to
    60 times, so persist it where it fits the workers' memory. The network is the default one, or a
    trained one in a FrozenEstimator, with at most 20,000 parameters and 6,000 inputs in its last
    layer. The Hessian of more than 6,000 parameters is too large to sum: L-BFGS then reads X 50 to
    300 times. With a ``tolerance``, up to 17 numbers of rows are tried, at two or three readings
    each; the change of the rows kept is computed anew from their gradients before it is accepted.
    Costs are saved by exchanges in each partition, then among all, within 1.5 times the change
    reached there. Reference rows are in memory; a forest on the sample, corrected by them, judges
    all labels in one reading. All rows must be in memory for several networks, weights of zero,
    costs beside a tolerance, costs or groups beside reference rows, `select` and `weigh`. With
    ``reweight``, at most 20,000 rows may be kept, unless all rows lie in a single partition.
    ``time_limit`` does not apply, and no bound is computed. ``support_`` and
    ``influence_norms_`` are Dask arrays, and so is ``sample_weight_``, with the partitions of the
    lazily filtered collections that `prune` returns. Row i of everything given is the same row, as
    in scikit-learn: an index is not compared, only divisions that are known. The norms are computed
    from X and y when asked for, by the scheduler that is active then; what you persisted needs the
    Client that holds it. They are not pickled or copied with the pruner, since they would take the
    rows along: store ``influence_norms_.compute()``.

    References
    ----------
    Yang et al., "Dataset Pruning: Reducing Training Data by Examining Generalization Influence",
    ICLR 2023, arXiv:2205.09329.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_prune import InfluencePruner
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> pruner = InfluencePruner(prune_ratio=0.9, random_state=0).fit(X, y)
    >>> X_small, y_small = pruner.prune(X, y)
    >>> X_small.shape
    (57, 30)
    >>> pruner.certificate_.predicted_change < pruner.certificate_.random_change
    True

    Before a long fit, ask for its cost (`estimate_cost`). With scikit-learn 1.9 or newer, a
    progress bar shows the stages, epochs and rounds (it needs ``rich``):

    >>> from sklearn.callback import ProgressBar  # doctest: +SKIP
    >>> pruner.set_callbacks(ProgressBar()).fit(X, y)  # doctest: +SKIP

    To match the model that is trained on the rows kept, hand it over:

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    >>> pruner = InfluencePruner(model, prune_ratio=0.9, random_state=0).fit(X, y)
    >>> model.fit(*pruner.prune(X, y)).score(X, y) > 0.95
    True

    A skorch network is trained on all rows, and its last layer is matched:

    >>> import torch
    >>> from skorch import NeuralNetClassifier
    >>> module = torch.nn.Sequential(
    ...     torch.nn.Linear(30, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)
    ... )
    >>> net = NeuralNetClassifier(
    ...     module, criterion=torch.nn.CrossEntropyLoss, lr=0.1, train_split=None, verbose=0
    ... )
    >>> X_scaled = StandardScaler().fit_transform(X).astype("float32")
    >>> pruner = InfluencePruner(net, prune_ratio=0.8, random_state=0).fit(X_scaled, y)
    >>> pruner.get_support().sum()
    np.int64(114)

    Deep networks that are trained anew on half of their images or more learn most from hard ones;
    on tabular data, keeping these does harm. So for images, drop first what a short training has
    the least error on, whatever its class. Here that is seven eighths of what goes, and the pruner
    chooses the rest:

    >>> from sklearn_prune.baselines import EL2NPruner
    >>> harder = EL2NPruner(net, prune_ratio=0.35, n_networks=1, stratify=False, random_state=0)
    >>> harder.fit(X_scaled, y)
    EL2NPruner(...)
    >>> pruner = InfluencePruner(net, prune_ratio=0.4, quota=None, random_state=0)
    >>> error, is_easy = harder.scores_, ~harder.get_support()
    >>> pruner.fit(X_scaled, y, sample_priority=error**2, must_drop=is_easy).get_support().sum()
    np.int64(341)
    """

    _parameter_constraints: Constraints = {
        "estimator": [object, None],
        "prune_ratio": [Interval(Real, 0, 1, closed="left"), StrOptions({"auto"})],
        "tolerance": [Interval(Real, 0, None, closed="neither"), None],
        "quota": [StrOptions({"class", "equal"}), Mapping, None],
        "features": [callable, "array-like", "sparse matrix", None],
        "layers": [StrOptions({"last", "all"}), list],
        "norm": [StrOptions({"loss", "parameter"})],
        "damping": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "distribution_weight": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "reweight": ["boolean"],
        "time_limit": [Interval(Real, 0, None, closed="neither")],
        "memory": [str, HasMethods(["cache"]), None],
        "random_state": ["random_state"],
        "verbose": [Interval(Integral, 0, None, closed="left")],
    }

    sample_weight_: Floats
    certificate_: Certificate
    influence_norms_: Floats
    influence_: Influence
    matched_: Matched
    estimator_: Network | list[Network]

    def __init__(
        self,
        estimator: Network = None,
        *,
        prune_ratio: float | Literal["auto"] = 0.4,
        tolerance: float | None = None,
        quota: Quota = "class",
        features: Rows = None,
        layers: Literal["last", "all"] | list[str] = "last",
        norm: Norm = "loss",
        damping: float | Literal["auto"] = "auto",
        distribution_weight: float | Literal["auto"] = "auto",
        reweight: bool = False,
        time_limit: float = 60.0,
        memory: str | Memory | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.prune_ratio = prune_ratio
        self.tolerance = tolerance
        self.quota = quota
        self.features = features
        self.layers = layers
        self.norm = norm
        self.damping = damping
        self.distribution_weight = distribution_weight
        self.reweight = reweight
        self.time_limit = time_limit
        self.memory = memory
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Rows,
        y: ArrayLike | None = None,
        *,
        target_kind: TargetKind = "auto",
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        must_keep: ArrayLike | None = None,
        must_drop: ArrayLike | None = None,
        sample_cost: ArrayLike | None = None,
        sample_priority: ArrayLike | None = None,
        X_ref: Rows = None,
        y_ref: ArrayLike | None = None,
    ) -> Self:
        """Fit the network on all rows, or on reference rows, and choose those to keep.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), dict or Dataset
            Training rows. A network may take further dimensions, a dict of arrays, or a
            `torch.utils.data.Dataset` of pairs; or a Dask array or data frame, see the notes of the
            class.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Labels in one column, numbers in one or several, or several labels per row as columns
            of 0 and 1. Required, unless X is a torch dataset: then None reads its targets.
        target_kind : {"auto", "classification", "regression"}, default="auto"
            Whether y holds classes or numbers. "auto" follows the network, then the pipeline or
            meta-estimator that the pruner is in, then y itself.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row in the last layer's objective. A network that you give is trained
            without weights. Rows of weight zero are dropped first.
        groups : array-like of shape (n_samples,), default=None
            Groups within the classes, for quotas.
        must_keep, must_drop : array-like of bool of shape (n_samples,), default=None
            Rows that are always kept, and rows that are always dropped.
        sample_cost : array-like of shape (n_samples,), default=None
            Cost that dropping each row saves. With a ``prune_ratio``, the costliest rows are
            dropped among sets of nearly equal change. With a tolerance, as much cost as possible is
            saved, instead of as many rows as possible dropped.
        sample_priority : array-like of shape (n_samples,), default=None
            How much models learn from each row, 0 or more, such as its loss in another network's
            training. It takes the place of the pruner's own estimate of how uncertain the target
            is. The search starts at a random draw, which keeps a row with a probability in
            proportion to its priority and to the distance to its neighbours; rows of low priority
            may still be exchanged in. Less than a twentieth of the median of the positive
            priorities is raised to that, so that no row is out of reach; ``must_drop`` excludes
            rows. Beside a tolerance, costs, reference rows or ``distribution_weight=0``, priorities
            are refused. In classes that keep fewer than five rows, and with 32 free rows or fewer,
            they are not used.
        X_ref : {array-like, sparse matrix} of shape (n_reference, n_features) or dict, default=None
            Reference rows: rows whose targets you trust, or rows of the population that matters.
            The rows kept are to give the last layer that is fitted on these. They are not pruned
            themselves, nor among the rows returned unless they are training rows as well.
        y_ref : array-like of shape (n_reference,) or (n_reference, n_outputs), default=None
            Their targets, with every class of y.

        Returns
        -------
        self : InfluencePruner
            Fitted.

        Raises
        ------
        TypeError
            If the pruner is part of an estimator that needs every row back, such as a
            `sklearn.pipeline.Pipeline` in which other steps follow.
        ValueError
            If rows, target or parameters are malformed, or the network diverges. Malformed input is
            reported before the network is trained.
        InfeasibleProblemError
            A ValueError: counts, masks and quotas cannot be met together (reported before the
            network is trained), or no set within the tolerance was found.
        UnsupportedNetworkError
            A ValueError: the network has no last layer whose curvature can be computed, or the
            scikit-learn model cannot be matched.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If the last layer was not fitted to a small gradient.
        NonConvexLossWarning
            If the loss is not convex.
        UserWarning
            If ``time_limit`` cut the fit short, the tolerance allows no row to be dropped, whole
            numbers are read as a regression target, checkpoints were not reached, two networks are
            equal, or ``memory`` cannot be used.
        """
        return self._fit(
            X,
            y,
            target_kind=target_kind,
            sample_weight=sample_weight,
            groups=groups,
            must_keep=must_keep,
            must_drop=must_drop,
            sample_cost=sample_cost,
            sample_priority=sample_priority,
            X_ref=X_ref,
            y_ref=y_ref,
        )

    def _select_rows(
        self,
        X: Rows,
        y: Array | None,
        *,
        X_ref: Rows = None,
        y_ref: ArrayLike | None = None,
        **row_params: ArrayLike | None,
    ) -> Mask:
        """Train, choose, and certify."""
        assert y is not None
        reference = self._checked_reference(X, y, X_ref, y_ref)
        terms = make_terms(len(y), self._labels(y), **row_params)
        if terms.priority is not None:
            has_cost, is_led = terms.cost is not None, reference is not None
            check_priority(self._request(), has_cost=has_cost, is_led=is_led)
        self._check_before_training(terms)
        self._seed_ = drawn_seed(self.random_state)
        with fit_task(self, X, y, n_parts=_N_STAGES) as task:
            clock = StageClock(self.verbose, task)
            unit = weight_unit(row_params.get("sample_weight"), len(y))
            job = self._training_job(X, y, terms, reference, unit)
            # Not needed if given, nor with weight 0, but whatever is cached serves all weights;
            # `select` computes priorities later if it needs them.
            is_for_all = self.distribution_weight != 0 or self.memory is not None
            with_priorities = terms.priority is None and is_for_all
            trained = train_once(job, self.memory, clock, with_priorities=with_priorities)
            self._keep(trained, terms)
            if terms.priority is not None:
                started = time.perf_counter()
                self.matched_ = self.matched_.prioritised(terms.priority)
                clock.add("distribution", time.perf_counter() - started)
            pruning = self._prune_once(trained.key, terms, clock)
            self.certificate_ = replace(pruning.certificate, seconds=clock.seconds)
            if pruning.weights is not None:
                self.sample_weight_ = pruning.weights
        if pruning.is_cut:
            self._warn_of_time()
        return pruning.support

    def _select_partitions(
        self,
        X: Rows,
        y: Targets,
        kind: Kind | None,
        *,
        X_ref: Rows = None,
        y_ref: ArrayLike | None = None,
        **fit_params: Metadata,
    ) -> KeptPartitions:
        """Do what `_select_rows` does, for the partitions of a Dask collection."""
        others = {"X_ref": X_ref, "y_ref": y_ref}
        distributed.require_partition_wise(self.get_params(deep=False), fit_params | others)
        request = self._request()
        if fit_params.get("sample_priority") is not None:
            has_cost = fit_params.get("sample_cost") is not None
            check_priority(request, has_cost=has_cost, is_led=X_ref is not None)
        with fit_task(self, X, y, n_parts=_N_STAGES) as task:
            clock = StageClock(self.verbose, task)
            partitioned = distributed.Partitioned.of(X, y, **fit_params)
            moments = distributed.column_moments if self.estimator is None else None
            started = time.perf_counter()
            first = distributed.first_pass(self, partitioned, kind, moments)
            clock.add("first pass", time.perf_counter() - started)
            partitioned = first.partitioned
            self._note_classes(first.target)
            names = ("support_", "certificate_", "estimator_", "influence_norms_", "sample_weight_")
            assert first.target is not None
            reference = self._checked_reference(X, first.target.values, X_ref, y_ref)
            alone = distributed.fitted_alone(first, self, *names, **others)
            if alone is not None:
                support, self.certificate_, self.estimator_, norms, weights = alone
                self.influence_norms_ = partitioned.of_rows([norms])
                return self._with_weights(distributed.KeptRows.of(partitioned, [support]), weights)
            job = distributed.PartitionJob(
                self.estimator,
                request,
                self.norm,
                self._head_damping,
                drawn_seed(self.random_state),
                self.reweight,
                reference,
            )
            selected = distributed.select_partitions(first, job, clock)
        self.certificate_, self.estimator_ = selected.certificate, selected.network
        self.influence_norms_ = selected.row_changes
        kept = distributed.KeptRows.of(partitioned, selected.support)
        return self._with_weights(kept, selected.weights)

    def _with_weights(
        self, kept: distributed.KeptRows, weights: Floats | None
    ) -> distributed.KeptRows:
        """Set the weights of these rows, if there are any."""
        if weights is not None:
            self.sample_weight_ = kept.in_partitions(weights)
        return kept

    @property
    def _head_damping(self) -> float:
        return _DEFAULT_DAMPING if self.damping == "auto" else float(self.damping)

    def _checked_reference(
        self, X: Rows, y: Array, X_ref: Rows, y_ref: ArrayLike | None
    ) -> Reference | None:
        """Return the checked reference rows; None where there are none."""
        if X_ref is None and y_ref is None:
            return None
        check_reference(
            X, X_ref, y_ref, layers=self.layers, features=self.features, tolerance=self.tolerance
        )
        rows = check_reference_rows(self, X_ref)
        target = check_reference_target(self, y_ref, n_rows(rows), y, self._classes)
        return Reference(rows, target)

    @property
    def _classes(self) -> Array | None:
        return getattr(self, "classes_", None)

    def _labels(self, y: Array) -> Array | None:
        return None if self._classes is None else self._classes[y]

    def _request(self) -> Request:
        return Request(self.prune_ratio, self.tolerance, self.quota, self.distribution_weight)

    def _check_before_training(self, terms: RowTerms) -> None:
        """Raise if the request cannot be met, before any time is spent on the network."""
        request, classes = self._request(), self._classes
        check_ensemble(self.estimator, classes)
        n_classes = 0 if classes is None else len(classes)
        networks = members(self.estimator)
        check_networks(networks, n_classes, self.layers)
        check_damping(networks, self.features, self.damping)
        check_counts(terms, request)

    def _training_job(
        self,
        X: Rows,
        y: Array,
        terms: RowTerms,
        reference: Reference | None,
        unit: float,
    ) -> TrainingJob:
        return TrainingJob(
            estimators=members(self.estimator),
            X=X,
            y=y,
            classes=self._classes,
            sample_weight=terms.sample_weight,
            norm=self.norm,
            damping=self._head_damping,
            seed=self._seed_,
            features=self.features,
            layers=self.layers,
            weight_unit=unit,
            reference=reference,
        )

    def _keep(self, trained: Trained, terms: RowTerms) -> None:
        """Set the attributes that `select` and `weigh` read."""
        given = members(self.estimator)
        networks = [
            unfrozen(estimator) if fitted is None else fitted
            for estimator, fitted in zip(given, trained.networks, strict=True)
        ]
        is_single = given[0] is self.estimator
        self.estimator_ = networks[0] if is_single else networks
        self.matched_ = trained.matched.by_group(terms)
        self.influence_ = self.matched_.influence
        self.influence_norms_ = trained.row_changes
        self._terms_ = replace(terms, sample_weight=self.matched_.sample_weight)

    def _prune_once(self, job_key: str | None, terms: RowTerms, clock: StageClock) -> _Pruning:
        """Choose and certify, or load both from the memory that keeps the influences.

        A selection that the time limit cuts is not kept, nor one whose seed was drawn.
        """
        prune, memory = partial(self._prune_in_time, clock), usable_memory(self.memory)
        if memory is None or job_key is None or not isinstance(self.random_state, Integral):
            return prune()
        key = digest(job_key, self._request(), terms, self._seed_, self.reweight)
        pruning, _ = recalled(
            memory, key, prune, _Pruning, clock, is_lasting=lambda pruning: not pruning.is_cut
        )
        return pruning

    def _prune_in_time(self, clock: StageClock) -> _Pruning:
        """Choose the rows and certify them, in what is left of the time limit."""
        deadline = self._deadline(clock.spent_in(*_TIMED))
        with clock.stage("selection", n_parts=None):
            choice = choose_rows(
                self.matched_,
                self._terms_,
                self._request(),
                deadline=deadline,
                random_state=self._seed_,
            )
            if self.reweight:
                choice = replace(choice, weights=self.weigh(choice.support))
        is_cut = time.perf_counter() > deadline
        deadline = self._deadline(clock.spent_in(*_TIMED, "selection"))
        with clock.stage("certificate"):
            certificate = certify(
                self.matched_, choice, deadline=deadline, random_state=self._seed_
            )
        is_cut |= certificate.status == "time limit" or certificate.refits_timed_out
        return _Pruning(choice.support, choice.weights, certificate, is_cut)

    def _deadline(self, spent: float) -> float:
        """Return when the next stage must end, with so many seconds of the limit spent."""
        left = max(self.time_limit - spent, _LEAST_SHARE_OF_TIME * self.time_limit)
        return time.perf_counter() + left

    def _warn_of_time(self) -> None:
        warn_user(
            f"time_limit={self.time_limit:g} seconds cut this fit short, so the rows kept may be "
            "worse than with more time, differ on the next run, or lack a part of the certificate. "
            "Raise time_limit; estimate_cost says how much a fit needs.",
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what refers to the rows of a Dask collection; see the notes of the class."""
        state = dict(super().__getstate__())
        if is_collection(state.get("influence_norms_")):
            del state["influence_norms_"]
        return state

    def _target_kind(self, y: ArrayLike | None) -> Kind | None:
        return kind_of_target(self.estimator, y)

    def estimate_cost(
        self, X: Rows, y: ArrayLike | None = None, *, target_kind: TargetKind = "auto"
    ) -> CostEstimate:
        """Return what `fit` will cost, about, from a trial on a twentieth of the rows.

        The trial takes about a tenth of the fit, or a few tenths of a second if the fit takes no
        longer than a few seconds. It changes neither the pruner nor its ``memory``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), dict or Dataset
            Training rows, as for `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Their targets, as for `fit`.
        target_kind : {"auto", "classification", "regression"}, default="auto"
            As for `fit`.

        Returns
        -------
        estimate : CostEstimate
            ``seconds`` (a dict, stage to seconds), ``memory`` in bytes, and ``n_coordinates``. The
            sum of the seconds is mostly within a factor of two for a ``prune_ratio`` without masks,
            costs and reference rows, if the machine is as busy in the fit as in the trial. It may
            exceed ``time_limit``, at which the fit is cut short.

        Raises
        ------
        ValueError
            If rows, target or parameters are malformed.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from sklearn_prune import InfluencePruner
        >>> X, y = load_digits(return_X_y=True)
        >>> cost = InfluencePruner(prune_ratio=0.9, random_state=0).estimate_cost(X, y)
        >>> list(cost.seconds)
        ['network', 'head', 'influence', 'distribution', 'selection', 'certificate']
        >>> cost.n_coordinates
        650
        >>> 1e6 < cost.memory < 1e9
        True
        """
        check_parameters(self)
        ratio, rows = self._request().ratio, check_rows(clone(self), X, reset=True)
        n_samples = n_rows(rows)
        target = self._check_target(targets_of(rows, y), n_samples, target_kind)
        assert target is not None
        some = _some_rows(target, n_trial_rows(n_samples))
        options: Params = {
            "prune_ratio": 0.5,
            "tolerance": None,
            "quota": None,
            "reweight": False,
            # Ends the selection at once.
            "time_limit": 1e-9,
            "memory": None,
            "random_state": 0,
            "verbose": 0,
        }
        if self.features is not None and not callable(self.features):
            options["features"] = take_rows(self.features, some)
        trial = clone(self).set_params(**options)
        with warnings.catch_warnings():
            # The fit itself will warn.
            warnings.simplefilter("ignore")
            trial.fit(take_rows(X, some), take_rows(y, some), target_kind=target.kind)
        share_kept = 0.5 if ratio is None else 1 - ratio
        seconds = dict(trial.certificate_.seconds)
        return scaled_cost(trial.matched_, seconds, n_samples, share_kept)

    def select(
        self,
        *,
        prune_ratio: float | Literal["auto"] = UNCHANGED,
        tolerance: float | None = UNCHANGED,
        quota: Quota = UNCHANGED,
        distribution_weight: float | Literal["auto"] = UNCHANGED,
        time_limit: float = UNCHANGED,
        random_state: int | np.random.RandomState | None = UNCHANGED,
    ) -> Mask:
        """Choose again from the stored influences, without training anything.

        Parameters
        ----------
        prune_ratio, tolerance, quota, distribution_weight, time_limit, random_state
            As in the constructor; those not given keep their values. A ``tolerance`` alone implies
            ``prune_ratio="auto"``, and a number as ``prune_ratio`` alone implies
            ``tolerance=None``. Without ``random_state``, the seed of `fit` is used.

        Returns
        -------
        support : ndarray of shape (n_samples,)
            True where a row is kept. The pruner itself does not change.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the pruner is not fitted.
        ValueError
            If a parameter is malformed, or the request cannot be met.
        """
        check_is_fitted(self)
        require_memory("select", self.support_)
        if tolerance is UNCHANGED and prune_ratio not in (UNCHANGED, "auto"):
            tolerance = None
        if prune_ratio is UNCHANGED and tolerance not in (UNCHANGED, None):
            prune_ratio = "auto"
        given = {
            "prune_ratio": prune_ratio,
            "tolerance": tolerance,
            "quota": quota,
            "distribution_weight": distribution_weight,
            "time_limit": time_limit,
        }
        changed = copy.copy(self)
        changed.set_params(**{name: v for name, v in given.items() if v is not UNCHANGED})
        check_parameters(changed)
        choice = choose_rows(
            self.matched_,
            self._terms_,
            changed._request(),
            deadline=time.perf_counter() + changed.time_limit,
            random_state=self._seed_ if random_state is UNCHANGED else drawn_seed(random_state),
        )
        return choice.support

    def weigh(self, support: Mask) -> Floats:
        """Return weights with which rows hold the last layer, from the stored influences.

        Parameters
        ----------
        support : array-like of bool of shape (n_samples,)
            True where a row is kept, such as `select` returns.

        Returns
        -------
        weights : ndarray of shape (n_kept,)
            Weights of the rows in ``support``, ascending, as in ``sample_weight_``. They do not
            need ``reweight``.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the pruner is not fitted.
        ValueError
            If ``support`` is not a mask of the training rows, or keeps none.
        """
        require_memory("weigh", getattr(self, "support_", None))
        check_is_fitted(self, "matched_")
        kept = np.flatnonzero(_checked_support(support, len(self.influence_.sample_weight)))
        return kept_weights(self.matched_, kept)

    def __sklearn_tags__(self) -> Tags:
        """Return the tags: y is needed, and networks may take images."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        is_columns = self.estimator is None or is_linear_model(self.estimator)
        tags.input_tags.three_d_array = not is_columns
        return tags


def _checked_support(support: ArrayLike, n_samples: int) -> Mask:
    mask = np.asarray(support)
    if mask.dtype != bool or mask.shape != (n_samples,) or not mask.any():
        raise ValueError(
            f"support must be a mask of the {n_samples} training rows with at least one kept; it "
            f"has dtype {mask.dtype}, shape {mask.shape} and {int(mask.astype(bool).sum())} kept "
            "rows. Give what select or get_support() returns."
        )
    return mask


def _some_rows(target: Target, n_rows: int) -> Integers:
    """Draw positions of rows, among them one of each class."""
    order = np.random.default_rng(0).permutation(len(target.values))
    if target.classes is not None:
        _, first = np.unique(target.values[order], return_index=True)
        order = np.concatenate([order[first], np.delete(order, first)])
        n_rows = max(n_rows, len(first) + 1)
    return np.sort(order[:n_rows])
