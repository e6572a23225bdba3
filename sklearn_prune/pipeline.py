"""A scikit-learn pipeline whose steps may drop training rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from itertools import groupby
from typing import Any, ClassVar, Self

from sklearn import get_config
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.pipeline import Pipeline as PlainPipeline
from sklearn.pipeline import make_pipeline as make_plain_pipeline
from sklearn.utils.metadata_routing import MetadataRequest, get_routing_for_object, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, check_memory

from ._compat import Segment, check_steps, fit_context, fit_task, print_elapsed_time
from ._types import Array, Estimator, Metadata, Params, Rows, Targets
from .base import BasePruner, deployable
from .data import Kind, check_params, take_params
from .meta import (
    fit_given,
    gives_weights,
    noting_columns,
    reads_numbers_only,
    requested_weight,
    weight_argument,
    weighted,
)

__all__ = ["Pipeline", "make_pipeline"]


def _without_pruners(name: str) -> Any:
    """Return scikit-learn's method of that name, which skips the pruners."""

    def offered(pipeline: Pipeline) -> bool:
        getattr(pipeline._plain(), name)
        return True

    @available_if(offered)
    @wraps(getattr(PlainPipeline, name))
    def method(self: Pipeline, *args: Any, **kwargs: Any) -> Any:
        check_is_fitted(self)
        return getattr(self._plain(), name)(*args, **kwargs)

    return method


def _for_all_rows(then: str) -> Callable[[Pipeline], bool]:
    """Return the check that ``fit_<then>`` can return a row for each row, dropped ones included."""

    def offered(pipeline: Pipeline) -> bool:
        plain = pipeline._plain()
        getattr(plain, f"fit_{then}")
        if pipeline._prunes() and not hasattr(plain, then):
            raise AttributeError(
                f"fit_{then} returns a row for every row of X, dropped or kept, so the last step "
                f"needs {then}; {plain[-1]!r} has none. Use a last step that has one."
            )
        return True

    return offered


class Pipeline(PlainPipeline):
    """scikit-learn's pipeline with pruners anywhere but in the last place.

    ``fit`` fits each pruner on the rows that reach it, and the later steps on the rows that it
    keeps. X, y and row-aligned metadata are pruned together. All other methods skip the pruners:
    they predict, score and transform every row, training rows included.

    Parameters
    ----------
    steps : list of (str, estimator) tuples
        Names and estimators, as in :class:`sklearn.pipeline.Pipeline`, and any number of pruners.
    transform_input : list of str, default=None
        Names of metadata of `fit` that the steps before its consumer transform, such as a
        validation set. It is never pruned.
    memory : str or object with the joblib.Memory interface, default=None
        Caches fitted transformers and pruners.
    verbose : bool, default=False
        Print the time that each step takes.

    Attributes
    ----------
    deployable_ : sklearn.pipeline.Pipeline
        The fitted steps without the pruners.
    named_steps : :class:`~sklearn.utils.Bunch`
        The steps by name.
    classes_ : ndarray of shape (n_classes,)
        Those of the last step.
    n_features_in_ : int
        That of the first step.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Those of the first step.

    See Also
    --------
    make_pipeline : Names the steps for you.

    Notes
    -----
    A pruner reads the rows that reach it. If they are a table with text, dates, categories or
    missing values, and the step after it takes such tables, they are encoded for a pruner without
    a network, by a :class:`sklearn_prune.data.ColumnsEncoder`; later steps get them as they are. To
    choose another encoder, use `PrunedClassifier` or `PrunedRegressor`.

    A pruner takes y as classes or numbers as the last step does. With ``reweight=True``, the last
    step's ``fit`` gets the pruner's ``sample_weight_``, multiplied by any ``sample_weight`` that is
    given for that step.

    Metadata with one entry per row is pruned if it is routed, or if its name says that it belongs
    to the rows (``sample_weight``, ``groups``, ``init_score``). Metadata whose name refers to other
    rows (``X_val``, ``y_val``, ``eval_set`` and the like) and that in ``transform_input`` is passed
    on unpruned. Any other metadata with as many entries as X has rows is refused.

    ``fit_transform`` and ``fit_predict`` equal ``fit`` followed by ``transform`` or ``predict``:
    they return a row for every row of X. So a pipeline that is a step of another one returns all
    rows, and prunes only the rows that its own later steps are fitted on.

    **Saving.** Where only predictions are needed, save ``deployable_``, by pickle, joblib or skops;
    with steps of scikit-learn alone, skops asks for no trust. To load a whole pipeline by skops,
    trust those types of :func:`skops.io.get_untrusted_types` that start with ``sklearn_prune.``,
    and with an `InfluencePruner` also these:
    ``builtins.print``, ``numpy.dtype``, ``scipy.sparse._csr.csr_array``,
    ``sklearn.tree._tree.Tree``,
    ``skorch.callbacks.logging.EpochTimer``, ``skorch.callbacks.logging.PrintLog``,
    ``skorch.callbacks.scoring.EpochScoring``, ``skorch.callbacks.scoring.PassthroughScoring``,
    ``skorch.classifier.NeuralNetBinaryClassifier``, ``skorch.classifier.NeuralNetClassifier``,
    ``skorch.dataset.Dataset``, ``skorch.history.History``,
    ``skorch.regressor.NeuralNetRegressor``, ``skorch.utils.to_numpy``,
    ``torch.nn.modules.loss.BCEWithLogitsLoss``, ``torch.nn.modules.loss.CrossEntropyLoss``,
    ``torch.nn.modules.loss.MSELoss``, ``torch.utils.data.dataloader.DataLoader``.
    skorch stores its network as a pickle inside, so trust them only in files of people you trust. A
    pruner with a network that torch trained can be pickled, but not saved by skops.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_prune import InfluencePruner, Pipeline
    >>> X, y = load_iris(return_X_y=True)
    >>> pipe = Pipeline([
    ...     ("scale", StandardScaler()),
    ...     ("prune", InfluencePruner(prune_ratio=0.5, random_state=0)),
    ...     ("classify", LogisticRegression()),
    ... ]).fit(X, y)
    >>> pipe["prune"].get_support().sum()
    np.int64(75)
    >>> pipe.predict(X).shape
    (150,)
    >>> [name for name, step in pipe.deployable_.steps]
    ['scale', 'classify']
    """

    steps: list[tuple[str, Estimator]]
    # Tells pruners that this pipeline lets them drop rows.
    drops_rows: ClassVar[bool] = True

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Rows, y: Targets = None, **params: Metadata) -> Self:
        """Fit the steps in order, each on the rows kept so far.

        Parameters
        ----------
        X : iterable
            Training rows, as the first step takes them.
        y : iterable, default=None
            Target of each row.
        **params : dict
            ``step__param`` for the ``fit`` of a step. With metadata routing enabled, whatever the
            steps request.

        Returns
        -------
        self : Pipeline
            Fitted.

        Raises
        ------
        TypeError
            If the last step is a pruner, or a step is not an estimator.
        ValueError
            If a parameter's prefix is not the name of a step, if metadata has a wrong number of
            entries or may or may not belong to the rows, or if the last step takes no weights and a
            pruner returns some.
        """
        self._check_samplers()
        check_steps(self)
        self._check_last_step()
        self._check_metadata("fit", params)
        if self._prunes():
            check_params(X, params)
        weight_name = self._weight_name()
        # Fitted copies from the cache replace steps, and the list given stays as it is.
        self.steps = list(self.steps)
        segments = self._segments()
        with fit_task(self, X, y, len(segments)) as task:
            for start, stop in segments[:-1]:
                name, step = self.steps[start]
                if isinstance(step, BasePruner):
                    with task.part(f"fit-{name}"):
                        pruner = self._fit_pruner(start, X, y, params)
                    X, y, params = self._prune(pruner, X, y, params)
                    if gives_weights(pruner):
                        params = weighted(params, weight_name, pruner.sample_weight_)
                    continue
                segment = Segment.of(self, start, stop)
                with task.part(f"fit-{name}", segment=segment):
                    X = segment.fit_transform(X, y, **_taken(segment, "fit_transform", params))
                self.steps[start:stop] = segment.steps[:-1]
                params = self._transform_inputs(segment, params)
            start, stop = segments[-1]
            segment = Segment.of(self, start, stop)
            with task.part(f"fit-{segment.steps[-1][0]}", segment=segment), noting_columns(X):
                segment.fit(X, y, **_taken(segment, "fit", params))
            self.steps[start:stop] = segment.steps
        return self

    @available_if(_for_all_rows("transform"))
    def fit_transform(self, X: Rows, y: Targets = None, **params: Metadata) -> Rows:
        """Fit, then transform all rows of X.

        Parameters
        ----------
        X, y, **params
            As for `fit` and `transform`.

        Returns
        -------
        Xt : ndarray of shape (n_samples, n_transformed_features)
            ``fit(X, y).transform(X)``: one row for each row of X, kept or dropped.
        """
        if not self._prunes():
            return super().fit_transform(X, y, **params)
        return self._fit_then("transform", X, y, params)

    @available_if(_for_all_rows("predict"))
    def fit_predict(self, X: Rows, y: Targets = None, **params: Metadata) -> Rows:
        """Fit, then predict all rows of X.

        Parameters
        ----------
        X, y, **params
            As for `fit` and `predict`.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            ``fit(X, y).predict(X)``: one prediction for each row of X, kept or dropped.
        """
        if not self._prunes():
            return super().fit_predict(X, y, **params)
        return self._fit_then("predict", X, y, params)

    predict = _without_pruners("predict")
    predict_proba = _without_pruners("predict_proba")
    predict_log_proba = _without_pruners("predict_log_proba")
    decision_function = _without_pruners("decision_function")
    score_samples = _without_pruners("score_samples")
    score = _without_pruners("score")
    transform = _without_pruners("transform")
    inverse_transform = _without_pruners("inverse_transform")

    @property
    def deployable_(self) -> PlainPipeline:
        """The fitted steps without the pruners, in scikit-learn's own Pipeline.

        Loading it needs neither this package nor torch, unless a step does. It shares its steps
        with this pipeline. Pipelines among the steps lose their pruners as well, and a
        `PrunedClassifier` is replaced by its own ``deployable_``; other meta-estimators stay as
        they are.
        """
        check_is_fitted(self)
        return deployable(PlainPipeline(self.steps))

    @property
    def n_features_in_(self) -> int:
        """Number of columns that reach the first step."""
        return self._recorded("n_features_in_")

    @property
    def feature_names_in_(self) -> Array:
        """Names of the columns that reach the first step, if all are strings."""
        return self._recorded("feature_names_in_")

    def _recorded(self, name: str) -> Any:
        """Return what the first step that is no pruner, or else the first step, has recorded.

        Pruners leave columns as they are, but rows may be encoded for them.
        """
        steps = [step for _, step in self.steps]
        for step in [*filter(_is_reader, steps)][:1] + steps[:1]:
            if hasattr(step, name):
                return getattr(step, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _plain(self) -> PlainPipeline:
        steps = [
            (name, "passthrough" if isinstance(step, BasePruner) else step)
            for name, step in self.steps
        ]
        return PlainPipeline(steps)

    def _prunes(self) -> bool:
        return any(isinstance(step, BasePruner) for _, step in self.steps)

    def _segments(self) -> list[tuple[int, int]]:
        """Return the bounds of each pruner and of each run of other steps."""

        def part_of(position: int) -> int | None:
            return position if isinstance(self.steps[position][1], BasePruner) else None

        runs = [list(run) for _, run in groupby(range(len(self.steps)), key=part_of)]
        return [(run[0], run[-1] + 1) for run in runs]

    def _check_samplers(self) -> None:
        for name, step in self.steps:
            if hasattr(step, "fit_resample"):
                raise TypeError(
                    f"this pipeline takes pruners themselves and no samplers; step {name!r}, "
                    f"{step!r}, has fit_resample. Use imblearn.pipeline.Pipeline, with pruners in "
                    "a sklearn_prune.meta.PruningSampler."
                )

    def _check_last_step(self) -> None:
        name, step = self.steps[-1]
        if isinstance(step, BasePruner):
            raise TypeError(
                "a pruner drops rows for the steps after it, so it cannot be the last step; the "
                f"last step is {name!r}, {step!r}. Add an estimator or 'passthrough' after it, or "
                "use the pruner without a pipeline."
            )

    def _check_metadata(self, method: str, params: Mapping[str, Metadata]) -> None:
        if _routing_enabled():
            process_routing(self, method, **params)
            return
        if self.transform_input is not None:
            raise ValueError(
                "transform_input needs metadata routing, which is disabled; enable it with "
                "sklearn.set_config(enable_metadata_routing=True)."
            )
        for given in params:
            step, separator, param = given.partition("__")
            if not separator or step not in self.named_steps:
                steps = list(self.named_steps)
                raise ValueError(
                    f"a fit parameter must be prefixed with the name of its step; {given!r} names "
                    f"none of {steps}. Write {steps[-1]}__{param or step}=..., or enable metadata "
                    "routing."
                )

    def _fit_pruner(
        self, position: int, X: Rows, y: Targets, params: Mapping[str, Metadata]
    ) -> BasePruner:
        name, pruner = self.steps[position]
        if _routing_enabled():
            # For fit_transform, a router merges the requests of fit and transform.
            params = process_routing(self, "fit", **params)[name].fit_transform
        else:
            params = {
                given.removeprefix(f"{name}__"): value
                for given, value in params.items()
                if given.startswith(f"{name}__")
            }
        memory = check_memory(self.memory)
        if getattr(memory, "location", "unknown") is not None:
            # As with cached transformers, the step that was given stays unfitted.
            pruner = clone(pruner)
        fit = memory.cache(fit_given)
        readers = [step for _, step in self.steps[position:] if _is_reader(step)]
        has_default = not (readers and reads_numbers_only(readers[0]))
        with print_elapsed_time("Pipeline", self._log_message(position)):
            fitted = fit(pruner, X, y, self._kind(), params, has_default=has_default)
            pruner = fitted.pruner
        self.steps[position] = (name, pruner)
        return pruner

    def _weight_name(self) -> str:
        """Return the name of the last step's weights; "" if no pruner returns any."""
        if not any(isinstance(step, BasePruner) and gives_weights(step) for _, step in self.steps):
            return ""
        name, last = self.steps[-1]
        return requested_weight(last) if _routing_enabled() else f"{name}__{weight_argument(last)}"

    def _kind(self) -> Kind | None:
        """Return whether the last step takes y as classes or numbers; None if it says neither."""
        if is_regressor(self):
            return "regression"
        return "classification" if is_classifier(self) else None

    def _prune(
        self, pruner: BasePruner, X: Rows, y: Targets, params: Mapping[str, Metadata]
    ) -> tuple[Rows, Targets, Params]:
        names_at_steps = self._names_at_steps()
        pruned = dict(params)
        for name in params.keys() - set(self.transform_input or ()):
            name_at_step = names_at_steps.get(name, name)
            taken = take_params(X, {name_at_step: params[name]}, pruner.sample_indices_)
            pruned[name] = taken[name_at_step]
        return *pruner.prune(X, y), pruned

    def _names_at_steps(self) -> dict[str, str]:
        """Return, for each alias under which a step requests metadata, the step's own name."""
        requests = [
            get_routing_for_object(step)
            for _, step in self.steps
            if _routing_enabled() and hasattr(step, "get_metadata_routing")
        ]
        return {
            alias: name
            for request in requests
            if isinstance(request, MetadataRequest)
            for name, alias in request.fit.requests.items()
            if isinstance(alias, str)
        }

    def _transform_inputs(self, segment: Segment, params: Params) -> Params:
        """Return the metadata, with the ``transform_input`` transformed by the segment."""
        options = _taken(segment, "transform", params)
        transformed = dict(params)
        for name in self.transform_input or ():
            rows = params.get(name)
            if isinstance(rows, tuple):
                transformed[name] = tuple(segment.transform(part, **options) for part in rows)
            elif rows is not None:
                transformed[name] = segment.transform(rows, **options)
        return transformed

    def _fit_then(self, then: str, X: Rows, y: Targets, params: Params) -> Rows:
        at_fit, afterwards = params, {}
        if _routing_enabled():
            self._check_metadata(f"fit_{then}", params)
            at_fit, afterwards = _taken(self, "fit", params), _taken(self, then, params)
        return getattr(self.fit(X, y, **at_fit), then)(X, **afterwards)


def make_pipeline(
    *steps: Estimator,
    memory: Any = None,
    transform_input: list[str] | None = None,
    verbose: bool = False,
) -> Pipeline:
    """Return a :class:`Pipeline` whose steps are named after their types.

    Parameters
    ----------
    *steps : estimators
        Transformers and pruners, and an estimator as the last.
    memory, transform_input, verbose
        As in :class:`Pipeline`.

    Returns
    -------
    pipeline : Pipeline
        Unfitted.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_prune import InfluencePruner, make_pipeline
    >>> make_pipeline(InfluencePruner(), LogisticRegression())
    Pipeline(steps=[('influencepruner', InfluencePruner()),
                    ('logisticregression', LogisticRegression())])
    """
    named = make_plain_pipeline(*steps).steps
    return Pipeline(named, transform_input=transform_input, memory=memory, verbose=verbose)


def _is_reader(step: Estimator) -> bool:
    """Whether a step reads rows as they are: it is no pruner, and no "passthrough"."""
    return hasattr(step, "fit") and not isinstance(step, BasePruner)


def _routing_enabled() -> bool:
    return bool(get_config()["enable_metadata_routing"])


def _taken(pipeline: PlainPipeline, method: str, params: Mapping[str, Metadata]) -> Params:
    """Return the metadata that goes to the steps of ``pipeline``."""
    if _routing_enabled():
        names = get_routing_for_object(pipeline).consumes(method, params.keys())
    else:
        names = [name for name in params if name.partition("__")[0] in pipeline.named_steps]
    return {name: params[name] for name in names}
