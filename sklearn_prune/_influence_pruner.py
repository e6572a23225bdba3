"""InfluencePruner: from a network to influences to the rows worth keeping."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from ._compat import (
    CallbackSupportMixin,
    HasMethods,
    Interval,
    StrOptions,
    check_parameters,
    fit_context,
    fit_task,
)
from .base import BasePruner
from .data import Kind, TargetKind, check_reference_rows, check_reference_target, n_rows
from .matching import (
    Certificate,
    Choice,
    DistributionEmbedding,
    Reference,
    StageClock,
    TrainingJob,
    certify,
    check_counts,
    check_ensemble,
    check_networks,
    check_reference,
    choose_rows,
    kept_weights,
    kind_of_target,
    members,
    target_labels,
    train_once,
    unfrozen,
)
from .selection import Request, make_terms
from .utils import workers

UNCHANGED: Any = "unchanged"
# Network, head, influence, distribution, selection, certificate.
_N_STAGES = 6


class InfluencePruner(CallbackSupportMixin, BasePruner):
    r"""Keep the rows that together leave a network's last layer where it is.

    With ``w_i = 1`` where row i is dropped, one Newton step predicts that retraining on the other
    rows moves the last layer by :math:`\Delta\theta = \frac{N}{N - \sum \nu_i w_i} \sum_i w_i
    s_i`, where :math:`s_i = \frac 1N H^{-1} g_i` is the influence of row i. Either a share of the
    rows is dropped (``prune_ratio``): the change is made small by first order (a tenth of what
    random rows cost is enough), while the distribution of the kept rows is held, and then the
    Newton step that takes the kept rows' own Hessian is made short. Or as many rows are dropped
    as keep the first-order change within a bound (``tolerance``). What was achieved is in
    ``certificate_``.

    Parameters
    ----------
    estimator : skorch net, FrozenEstimator, None, list of these or ensemble, default=None
        Network whose module ends in a ``torch.nn.Linear``. A clone is fitted on all rows; one
        that is fitted already is used as it is if wrapped in
        :class:`sklearn.frozen.FrozenEstimator`. None is a linear model on standardised columns:
        logistic for classes, least squares for numbers. The given object is never changed. For
        its criterion see the notes. A list, or an ensemble of networks, is matched together: a
        change is the mean of those of the networks, each trained with a seed of its own (which
        a module that is given as an object and not as a class is not started by).
    prune_ratio : float in [0, 1) or None, default=0.4
        Share of the rows to *drop*: ``prune_ratio * n_samples`` rows, rounded to the nearest
        whole number and a half downward.
    tolerance : float or None, default=None
        Largest first-order change allowed, in the unit of ``norm``. Needs ``prune_ratio=None``.
    distribution_weight : float or "auto", default="auto"
        How much the joint distribution of rows and labels counts beside the influences, in units of
        what random rows cost. It is the distribution of what enters the last layer (of
        ``features``, if given): kernel means of several bandwidths and counts in the leaves of a
        few trees, for each class, or times y. A ridge regression on kernel columns is held with it,
        since what a linear layer calls noise is signal to most other models. The rows kept do not
        mirror all rows: they hold more rows from sparse regions and where the target is uncertain,
        and fewer whose label the rows around them contradict; other models learn most from these.
        The network's gradient and the class shares stay. With a tolerance, costs or reference rows,
        in classes that keep fewer than five rows, and with 32 free rows or fewer, they do mirror
        all rows. 0 is the paper's objective alone: rows that hold the one network, and that other
        models may find unrepresentative. "auto" is 2 where at least five rows are kept for each
        parameter that is matched. Else, and with a tolerance or costs, it is 0.3: every direction
        that few rows hold for the distribution is one less for the network.
    norm : {"loss", "parameter"}, default="loss"
        What a change is measured in: ``½ Δθᵀ H Δθ``, the predicted rise of the training
        objective in units of the loss, or ``‖Δθ‖₂``.
    quota : {"class", "equal"}, dict or None, default="class"
        How many rows each class keeps; with ``groups`` given to `fit`, each pair of class and
        group. "class": the same share of each, rounded down or up. "equal": the same number, as
        far as their sizes allow. A dict gives the count (int), the share (float) or the
        ``(low, high)`` range of rows *kept* for the labels it names, pairs being
        ``(class, group)``. None leaves it to the selection. No class ever vanishes. Labels of
        several columns and numbers form no classes: there, "class" and "equal" are about
        ``groups`` alone.
    trim : float in [0, 1) or "auto", default="auto"
        Share of the rows, at most ``prune_ratio``, that must go because they are the hardest:
        those of the largest loss in each class, as far as masks and quotas let them go. "auto" is
        about reference rows: the labels that are more likely wrong than right by these go, however
        many they are. Without reference rows, "auto" is 0, and a share is no remedy for wrong
        labels: hardness is then judged by a head that learned them too. With a fifth of them wrong,
        0.2 made better models on digits and worse ones on Adult
        (``benchmarks/results/reference.md``).
    damping : float, default=1e-4
        λ in the objective ``(1/N) Σ ν_i loss_i + (λ/2) ‖θ‖²`` of the last layer, its bias
        included.
    refit : bool, default=True
        Refit the last layer to a stationary point of that objective, on which influences
        rest. False takes a trained network's last layer as it is.
    features : array-like of shape (n_samples, n_features), callable or None, default=None
        Features that no training moves, such as an embedding, or a function that makes them of
        the rows as the network gets them, an array of numbers. A linear model on them is matched
        together with ``estimator``. An array is of the rows that are fitted; where rows are split
        (in a cross-validation), give a function.
    n_checkpoints : int, default=1
        Moments of the training that are matched together, evenly spaced over the epochs, the end
        among them. Checkpoints of your own are a list of `FrozenEstimator`.
    layers : "last", "all" or list of str, default="last"
        Whose parameters are to stay. "last": the last layer. "all", or patterns of parameter names
        such as ``"encoder.*"``: further layers as they were trained, by per-sample gradients; see
        :class:`sklearn_prune.influence.NetworkGradients` for what a module must not do.
    curvature : {"auto", "dense", "kronecker"}, default="auto"
        "dense": the Hessian as a matrix, for up to 10,000 parameters. "kronecker": a product of
        factors, by which rows are compared; changes are still those of the Hessian itself. "auto":
        dense up to 6,000.
    n_components : int or "auto", default="auto"
        Coordinates of the influences on each network that are matched. "auto": all of them up to
        20,000 parameters of the last layer, else the 1,024 leading ones.
    reweight : bool, default=False
        Solve for weights of the kept rows, as near to 1 as can be and between 0.5 and 2, under
        which the refitted last layer is the one of all rows to rounding; heads of more damping and
        the distribution are held as far as such weights can. They are in ``sample_weight_``.
        `Pipeline`, `PrunedClassifier`, `PrunedRegressor` and `PruneRatioSearchCV` hand them to the
        final estimator, times the weights that you give it.
    time_limit : float, default=60.0
        Seconds after which the selection returns the best rows found so far. A selection that
        ends by itself is the same on every run; one that is cut off may not be.
    memory : str or object with the joblib.Memory interface, default=None
        Where the fitted network and its influences are kept, so that a search over what only the
        selection reads (``prune_ratio``, ``tolerance``, ``distribution_weight``, ``quota``,
        ``trim``, ``time_limit``, masks, costs and groups) trains once for each set of rows. Needs
        an int as ``random_state`` where a network is trained: anything else is another seed in each
        fit. A change in the file of a network's class is noticed, one in what that file imports is
        not. Its files are pickles, and reading a pickle can run any code: take a folder that only
        those you trust can write to.
    n_jobs : int or None, default=None
        Threads that take shares of the rows; results do not depend on them. None: as many as
        ``joblib.parallel_config`` says where it says more than one, else as BLAS is allowed. Where
        that names a backend of processes or machines, large Hessians are computed there.
    random_state : int, RandomState instance or None, default=None
        Seeds the training of the network and the selection.
    verbose : int, default=0
        1 prints one line for each stage.

    Attributes
    ----------
    support_ : ndarray of shape (n_samples,)
        True where a training row is kept.
    sample_indices_ : ndarray of shape (n_kept,)
        Positions of the kept rows, ascending.
    sample_weight_ : ndarray of shape (n_kept,)
        Weights of the kept rows, of mean 1. Only with ``reweight``. A model that takes weights of
        its own is to get the product.
    influence_norms_ : ndarray of shape (n_samples,)
        How much dropping each row alone moves the last layer, to first order, in the unit of
        ``norm``.
    certificate_ : Certificate
        What dropping the rows costs, and how far from optimal that can be.
    estimator_ : skorch net or list of skorch nets
        The fitted network, or those of a list or ensemble. A network that was given keeps the
        last layer it was trained to, while influences are taken at the refitted one.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted. Only for classification.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X had names that are strings.

    See Also
    --------
    sklearn_prune.base.BasePruner : What all pruners share.

    Notes
    -----
    Without a network, y decides between classes and numbers; see
    :func:`sklearn.utils.multiclass.type_of_target`. Sparse rows become dense ones a batch at a
    time; what enters the last layer is held as a dense array, in a temporary file beyond 4 GB.
    Arrays on disk (numpy.memmap, h5py, zarr) are read a few rows at a time.

    A dataset gives the network what it gives skorch, labels included, which must be the codes 0 to
    K - 1 unless the network is frozen. It is read as it is: where it augments its rows, influences
    are those of the rows as they happened to be drawn. For influences of the rows themselves, train
    on the augmented dataset, freeze the network, and fit the pruner on a dataset of the same order
    that does not augment; `prune` then takes the first. Its targets take a pass over it, unless
    y is given.

    A network is trained on all rows: its ``train_split`` is kept only if it takes none of them, as
    :func:`skorch.helper.predefined_split` does. Training and reading take turns with torch's random
    state, so fits in several threads keep the rows that each keeps alone.

    A frozen network with as many outputs as y has classes (or one for two) knows them in sorted
    order; where it has more outputs, y must hold the codes it was trained on.

    Of several networks, each loss counts as it is; that of a linear model beside a network is taken
    in the unit of y, squared where y holds numbers.

    Criteria with derivatives in closed form are CrossEntropyLoss and NLLLoss (with class weights
    and label smoothing), BCELoss and BCEWithLogitsLoss (with ``pos_weight``; several outputs are
    several labels), MSELoss, HuberLoss, SmoothL1Loss and PoissonNLLLoss. Any other that is the
    mean or the sum over rows of a loss that can be differentiated twice is differentiated by
    torch; where it is not convex, a warning says how much. The objective is always a mean: with
    ``reduction="sum"`` the sum is divided by the number of rows, and class weights weigh rows as
    ``sample_weight`` does, so that the mean is divided by the sum of both as torch divides it.

    With many rows there are very many sets whose first-order change is almost zero, and what
    retraining does then hangs on the curvature of the kept rows. So with ``prune_ratio`` (and no
    ``sample_cost``) rows are exchanged, once the first order is a tenth of random rows' length, to
    shorten the Newton step on the kept rows. Where these are fewer than the parameters and retrain
    badly, a head of more damping is matched, if the own one then retrains better. Either may raise
    ``predicted_change``; ``lower_bound`` is mostly 0 and ``gap`` near 100 %, as it should be.

    With reference rows (``X_ref``, ``y_ref`` of `fit`) a network that is given is fitted on them
    alone, or used as it is when frozen, and its last layer is fitted on them, with the damping that
    cross-validation on them chooses (``damping`` at least). The rows kept are those that hold
    *that* layer where its gradients on them are zero, so wrong labels among the training rows are
    no part of what is aimed at. Nor are they of the distribution: a forest that learned the
    training rows, corrected by the reference rows, says how often each label should be among rows
    like these. That is taken over the training rows where the reference rows look like them, and
    over the reference rows where they are others. Classes keep the shares that they have there. By
    the same forest, labels are suspect that are less than half as frequent as they should be.

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
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "estimator": [object, None],
        "prune_ratio": [Interval(Real, 0, 1, closed="left"), None],
        "tolerance": [Interval(Real, 0, None, closed="neither"), None],
        "distribution_weight": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "norm": [StrOptions({"loss", "parameter"})],
        "quota": [StrOptions({"class", "equal"}), Mapping, None],
        "trim": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
        "damping": [Interval(Real, 0, None, closed="neither")],
        "refit": ["boolean"],
        "features": [callable, "array-like", "sparse matrix", None],
        "n_checkpoints": [Interval(Integral, 1, None, closed="left")],
        "layers": [StrOptions({"last", "all"}), list],
        "curvature": [StrOptions({"auto", "dense", "kronecker"})],
        "n_components": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "reweight": ["boolean"],
        "time_limit": [Interval(Real, 0, None, closed="neither")],
        "memory": [str, HasMethods(["cache"]), None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": [Interval(Integral, 0, None, closed="left")],
    }

    influence_norms_: NDArray[np.float64]
    certificate_: Certificate
    estimator_: Any

    def __init__(
        self,
        estimator: Any = None,
        *,
        prune_ratio: float | None = 0.4,
        tolerance: float | None = None,
        distribution_weight: float | Literal["auto"] = "auto",
        norm: Literal["loss", "parameter"] = "loss",
        quota: Any = "class",
        trim: float | Literal["auto"] = "auto",
        damping: float = 1e-4,
        refit: bool = True,
        features: Any = None,
        n_checkpoints: int = 1,
        layers: Any = "last",
        curvature: Literal["auto", "dense", "kronecker"] = "auto",
        n_components: int | Literal["auto"] = "auto",
        reweight: bool = False,
        time_limit: float = 60.0,
        memory: Any = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.prune_ratio = prune_ratio
        self.tolerance = tolerance
        self.distribution_weight = distribution_weight
        self.norm = norm
        self.quota = quota
        self.trim = trim
        self.damping = damping
        self.refit = refit
        self.features = features
        self.n_checkpoints = n_checkpoints
        self.layers = layers
        self.curvature = curvature
        self.n_components = n_components
        self.reweight = reweight
        self.time_limit = time_limit
        self.memory = memory
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        target_kind: TargetKind = "auto",
        sample_weight: Any = None,
        groups: Any = None,
        must_keep: Any = None,
        must_drop: Any = None,
        sample_cost: Any = None,
        X_ref: Any = None,
        y_ref: Any = None,
    ) -> Self:
        """Fit the network on all rows, or on reference rows, and choose those to keep.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), dict or Dataset
            Training rows. With a network given, further dimensions are allowed, and so are a dict
            of arrays and a `torch.utils.data.Dataset` of pairs; see the notes of the class.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Labels of one column, numbers of one or several, or several labels a row as columns
            of 0 and 1.
        target_kind : {"auto", "classification", "regression"}, default="auto"
            Whether y holds classes or numbers. "auto" follows the network, then the pipeline or
            meta-estimator that the pruner is in, then y itself.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row in the last layer's objective. A network that is given is
            trained without them. Rows of weight zero are the first to go.
        groups : array-like of shape (n_samples,), default=None
            Groups within the classes that quotas speak of.
        must_keep, must_drop : array-like of bool of shape (n_samples,), default=None
            Rows whose fate is decided.
        sample_cost : array-like of shape (n_samples,), default=None
            What dropping each row saves. With ``prune_ratio``, the dearer rows go first among
            sets of nearly the same change; with ``tolerance``, the saved cost is made as large
            as possible instead of the number of rows.
        X_ref : {array-like, sparse matrix} of shape (n_reference, n_features) or dict, default=None
            Reference rows: ones whose targets are trusted, or ones of the population that counts.
            They are none of the rows that are kept or dropped. Their head and their distribution
            are what the kept rows are to hold; see the notes of the class.
        y_ref : array-like of shape (n_reference,) or (n_reference, n_outputs), default=None
            Their targets, all classes of y among them.

        Returns
        -------
        self : InfluencePruner
            Fitted.

        Raises
        ------
        ValueError
            When rows, target, parameters, masks and quotas are malformed or cannot be met
            together. All of that is found before the network is trained.
        UnsupportedNetworkError
            When the network has no last layer whose curvature is known.
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
            X_ref=X_ref,
            y_ref=y_ref,
        )

    def _select_rows(
        self,
        X: Any,
        y: NDArray[Any] | None,
        *,
        X_ref: Any = None,
        y_ref: Any = None,
        **fit_params: Any,
    ) -> NDArray[np.bool_]:
        """Run the stages: network, head, influence, selection, certificate."""
        assert y is not None
        reference = self._reference(X, y, X_ref, y_ref)
        classes = self.classes_[y] if hasattr(self, "classes_") else None
        self._terms_ = make_terms(len(y), classes, **fit_params)
        request = self._request()
        self._check_before_training(request)
        self._seed_ = _draw_seed(self.random_state)
        estimators = members(self.estimator)
        job = TrainingJob(
            estimators,
            X,
            y,
            getattr(self, "classes_", None),
            self._terms_.sample_weight,
            self.norm,
            self.damping,
            self.refit,
            self._seed_,
            self.features,
            self.n_checkpoints,
            self.layers,
            self.curvature,
            self.n_components,
            reference,
        )
        with workers(self.n_jobs), fit_task(self, X, y, n_parts=_N_STAGES) as task:
            clock = StageClock(self.verbose, task)
            trained = train_once(job, self.memory, clock)
            networks = [
                unfrozen(given) if fitted is None else fitted
                for given, fitted in zip(estimators, trained.networks, strict=True)
            ]
            self.estimator_ = networks[0] if estimators[0] is self.estimator else networks
            self._influence_, self._coordinates_ = trained.influence, trained.coordinates
            self.influence_norms_ = trained.row_changes
            self._aim_ = trained.aim
            self._balance_ = self._labelled(trained.balance, y)
            self._priorities_ = trained.priorities
            self._terms_ = replace(self._terms_, sample_weight=trained.sample_weight)
            with clock.stage("selection", n_parts=None):
                chosen = self._choose(request, self.time_limit, self._seed_)
                if self.reweight:
                    self.sample_weight_ = self.weigh(~chosen.selection.drop)
                    chosen = replace(chosen, weights=self.sample_weight_)
            with clock.stage("certificate"):
                certificate = certify(
                    self._influence_,
                    self._coordinates_,
                    trained.head_fit,
                    chosen,
                    self._aim_,
                    random_state=self._seed_,
                )
        self.certificate_ = replace(certificate, seconds=clock.seconds)
        return ~chosen.selection.drop

    def _reference(self, X: Any, y: NDArray[Any], X_ref: Any, y_ref: Any) -> Reference | None:
        """Return the checked reference rows; None where there are none."""
        if X_ref is None and y_ref is None:
            return None
        check_reference(
            X,
            X_ref,
            y_ref,
            refit=self.refit,
            layers=self.layers,
            features=self.features,
            tolerance=self.tolerance,
        )
        rows = check_reference_rows(self, X_ref)
        classes = getattr(self, "classes_", None)
        return Reference(rows, check_reference_target(self, y_ref, n_rows(rows), y, classes))

    def _request(self) -> Request:
        is_auto = self.trim == "auto"
        return Request(
            self.prune_ratio,
            self.tolerance,
            self.quota,
            0.0 if is_auto else float(self.trim),
            self.distribution_weight,
            drops_suspects=is_auto,
        )

    def _check_before_training(self, request: Request) -> None:
        """Raise where the request cannot be met, before any time is spent on the network."""
        n_classes = len(getattr(self, "classes_", ()))
        check_ensemble(self.estimator, getattr(self, "classes_", None))
        check_networks(
            members(self.estimator),
            n_classes,
            refit=self.refit,
            layers=self.layers,
            n_checkpoints=self.n_checkpoints,
        )
        check_counts(self._terms_, request)

    def _target_kind(self, y: Any) -> Kind | None:
        return kind_of_target(self.estimator, y)

    def _labelled(
        self, balance: Sequence[DistributionEmbedding], y: NDArray[Any]
    ) -> Sequence[DistributionEmbedding]:
        """Return the embeddings, the distribution's with groups told apart where there are any."""
        terms, is_labels = self._terms_, hasattr(self, "classes_")
        if not balance or terms.strata is terms.classes or self._aim_ is not None:
            return balance
        weights = self._influence_.sample_weight
        labels = target_labels(y, weights, is_labels=is_labels, strata=terms.strata)
        return [balance[0].labelled(labels), *balance[1:]]

    def _choose(self, request: Request, time_limit: float, seed: int) -> Choice:
        with workers(self.n_jobs):
            return choose_rows(
                self._influence_,
                self._coordinates_,
                self._balance_,
                self._priorities_,
                self._terms_,
                request,
                self._aim_,
                time_limit=time_limit,
                random_state=seed,
            )

    def select(
        self,
        *,
        prune_ratio: float | None = UNCHANGED,
        tolerance: float | None = UNCHANGED,
        distribution_weight: Any = UNCHANGED,
        quota: Any = UNCHANGED,
        trim: float | Literal["auto"] = UNCHANGED,
        time_limit: float = UNCHANGED,
        random_state: Any = UNCHANGED,
    ) -> NDArray[np.bool_]:
        """Choose again from the stored influences, without training anything.

        Parameters
        ----------
        prune_ratio, tolerance, distribution_weight, quota, trim, time_limit, random_state
            As in the constructor, whose values hold for what is not given. Giving one of
            ``prune_ratio`` and ``tolerance`` sets the other to None.

        Returns
        -------
        support : ndarray of shape (n_samples,)
            True where a row is kept. The pruner itself stays as it is.
        """
        check_is_fitted(self)
        if prune_ratio is not UNCHANGED and tolerance is UNCHANGED:
            tolerance = None
        if tolerance is not UNCHANGED and prune_ratio is UNCHANGED:
            prune_ratio = None
        given = {
            "prune_ratio": prune_ratio,
            "tolerance": tolerance,
            "distribution_weight": distribution_weight,
            "quota": quota,
            "trim": trim,
            "time_limit": time_limit,
        }
        asked = copy.copy(self)
        asked.set_params(**{name: v for name, v in given.items() if v is not UNCHANGED})
        check_parameters(asked)
        seed = self._seed_ if random_state is UNCHANGED else _draw_seed(random_state)
        return ~self._choose(asked._request(), asked.time_limit, seed).selection.drop

    def weigh(self, support: Any) -> NDArray[np.float64]:
        """Return weights under which rows hold the last layer, from the stored influences.

        Parameters
        ----------
        support : array-like of bool of shape (n_samples,)
            True where a row is kept, such as `select` returns.

        Returns
        -------
        weights : ndarray of shape (n_kept,)
            As ``sample_weight_``, also without ``reweight``.
        """
        check_is_fitted(self, "_influence_")
        kept = np.flatnonzero(_checked_support(support, len(self._influence_.sample_weight)))
        with workers(self.n_jobs):
            return kept_weights(self._influence_, self._coordinates_, self._balance_, kept)

    def __sklearn_tags__(self) -> Tags:
        """Return the tags: y is needed, and networks may take images."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.input_tags.three_d_array = self.estimator is not None
        return tags


def _checked_support(support: Any, n_samples: int) -> NDArray[np.bool_]:
    mask = np.asarray(support)
    if mask.dtype != bool or mask.shape != (n_samples,) or not mask.any():
        raise ValueError(
            f"support must be a mask of the {n_samples} training rows with at least one kept; it "
            f"has dtype {mask.dtype}, shape {mask.shape} and {int(mask.astype(bool).sum())} kept "
            "rows. Give what select or get_support() returns."
        )
    return mask


def _draw_seed(random_state: Any) -> int:
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
