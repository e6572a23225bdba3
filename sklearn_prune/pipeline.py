"""Pipeline: scikit-learn's, with steps that remove training rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from itertools import groupby
from typing import Any, ClassVar, Self

from sklearn import get_config
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.pipeline import Pipeline as PlainPipeline
from sklearn.pipeline import make_pipeline as make_plain_pipeline
from sklearn.utils.metadata_routing import (
    MetadataRequest,
    get_routing_for_object,
    process_routing,
)
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, check_memory

from ._compat import Segment, check_steps, fit_context, fit_task
from ._sample_weight import gives_weights, requested_weight, weight_argument, weighted
from .base import BasePruner
from .data import Kind, check_params, take_params

__all__ = ["Pipeline", "make_pipeline"]


def _without_pruners(name: str) -> Any:
    """Return scikit-learn's method of that name, run as if the pruners were not there."""

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
    """Return the check that ``fit_<then>`` can speak of the rows that were dropped, too."""

    def offered(pipeline: Pipeline) -> bool:
        plain = pipeline._plain()
        getattr(plain, f"fit_{then}")
        if pipeline._prunes() and not hasattr(plain, then):
            raise AttributeError(
                f"fit_{then} must answer for all rows, also those dropped before the last step "
                f"was fitted, and {plain[-1]!r} has no {then}. Use a last step that has."
            )
        return True

    return offered


class Pipeline(PlainPipeline):
    """scikit-learn's pipeline, in which pruners may stand anywhere but last.

    In ``fit``, a pruner is fitted on the rows that reach it; what follows is fitted on those it
    keeps. X, y and the metadata are pruned together. To every other method, the pruner is not
    there: training rows, too, are all predicted, scored and transformed.

    Parameters
    ----------
    steps : list of (str, estimator) tuples
        Names and estimators, as in :class:`sklearn.pipeline.Pipeline`, and any number of
        pruners.
    transform_input : list of str, default=None
        Metadata that passes through the steps before the one that asks for it, such as a
        validation set; never pruned. Named as it is given to `fit`.
    memory : str or object with the joblib.Memory interface, default=None
        Where fitted transformers and pruners are cached.
    verbose : bool, default=False
        Print how long each step took.

    Attributes
    ----------
    deployable_ : sklearn.pipeline.Pipeline
        The fitted steps without the pruners.
    named_steps : :class:`~sklearn.utils.Bunch`
        The steps by name.
    classes_ : ndarray of shape (n_classes,)
        Of the last step.
    n_features_in_ : int
        Of the first step.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Of the first step.

    See Also
    --------
    make_pipeline : Names the steps by itself.

    Notes
    -----
    A pruner takes y for classes or numbers as the last step does. With ``reweight=True`` the last
    step's ``fit`` gets the pruner's ``sample_weight_``, times the weights that it is given anyway.

    Metadata with one entry a row is pruned where it is routed, or where its name says that it
    belongs to the rows (``sample_weight``, ``groups``, ``init_score``). What speaks of other rows
    (``X_val``, ``y_val``, ``eval_set`` and their like) is handed on whole, and so is what
    ``transform_input`` has. What has as many entries as X and neither name nor request is refused.

    ``fit_transform`` and ``fit_predict`` equal ``fit`` followed by ``transform`` or ``predict``:
    they return a row for every row of X. So a pipeline within another one, which keeps its rows,
    prunes what its own later steps are fitted on.

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

    steps: list[tuple[str, Any]]
    # Pruners among the steps are expected.
    drops_rows: ClassVar[bool] = True

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Fit the steps one after the other, each on the rows kept so far.

        Parameters
        ----------
        X : iterable
            Training rows, as the first step takes them.
        y : iterable, default=None
            Target of each row.
        **params : dict
            ``step__param`` for a step's ``fit``. With metadata routing enabled, what the steps
            request.

        Returns
        -------
        self : Pipeline
            Fitted.

        Raises
        ------
        TypeError
            When the last step is a pruner, or a step is no estimator.
        ValueError
            When a parameter is prefixed with no step's name.
        """
        check_steps(self)
        self._check_last_step()
        self._check_metadata("fit", params)
        if self._prunes():
            check_params(X, params)
        weight_name = self._weight_name()
        # Fitted copies from the cache take their places here; the list given stays as it is.
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
                segment = Segment.of(self, start, stop, followed=True)
                with task.part(f"fit-{name}", segment=segment):
                    X = segment.fit_transform(X, y, **_taken(segment, "fit_transform", params))
                self.steps[start:stop] = segment.steps[:-1]
                params = self._transform_inputs(segment, params)
            start, stop = segments[-1]
            segment = Segment.of(self, start, stop, followed=False)
            with task.part(f"fit-{segment.steps[-1][0]}", segment=segment):
                segment.fit(X, y, **_taken(segment, "fit", params))
            self.steps[start:stop] = segment.steps
        return self

    @available_if(_for_all_rows("transform"))
    def fit_transform(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Fit, then transform all rows of X.

        Parameters
        ----------
        X, y, **params
            As for `fit` and `transform`.

        Returns
        -------
        Xt : ndarray of shape (n_samples, n_transformed_features)
            ``fit(X, y).transform(X)``: a row for each row of X, kept or not.
        """
        if not self._prunes():
            return super().fit_transform(X, y, **params)
        return self._fit_then("transform", X, y, params)

    @available_if(_for_all_rows("predict"))
    def fit_predict(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Fit, then predict all rows of X.

        Parameters
        ----------
        X, y, **params
            As for `fit` and `predict`.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            ``fit(X, y).predict(X)``: a prediction for each row of X, kept or not.
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

        Loading it needs neither this package nor torch, unless a step does. The steps are shared,
        not copied. So are those of pipelines among the steps, which are freed of pruners as well;
        what other meta-estimators hold stays as it is.
        """
        check_is_fitted(self)
        return _deployable(self)

    def _plain(self) -> PlainPipeline:
        steps = [
            (name, "passthrough" if isinstance(step, BasePruner) else step)
            for name, step in self.steps
        ]
        return PlainPipeline(steps)

    def _prunes(self) -> bool:
        return any(isinstance(step, BasePruner) for _, step in self.steps)

    def _segments(self) -> list[tuple[int, int]]:
        """Return the bounds of the parts: each pruner alone, and the runs of other steps."""

        def part_of(position: int) -> int | None:
            return position if isinstance(self.steps[position][1], BasePruner) else None

        runs = [list(run) for _, run in groupby(range(len(self.steps)), key=part_of)]
        return [(run[0], run[-1] + 1) for run in runs]

    def _check_last_step(self) -> None:
        name, step = self.steps[-1]
        if isinstance(step, BasePruner):
            raise TypeError(
                "a pruner drops rows for the steps after it and cannot be the last one; the last "
                f"step is {name!r}, {step!r}. Put an estimator or 'passthrough' behind it, or use "
                "the pruner by itself."
            )

    def _check_metadata(self, method: str, params: Mapping[str, Any]) -> None:
        if _routing_enabled():
            process_routing(self, method, **params)
            return
        if self.transform_input is not None:
            raise ValueError(
                "transform_input needs metadata routing, and that is off; switch it on by "
                "sklearn.set_config(enable_metadata_routing=True)."
            )
        for given in params:
            name, found, param = given.partition("__")
            if not found or name not in self.named_steps:
                steps = list(self.named_steps)
                raise ValueError(
                    f"a parameter of fit is prefixed with the step it is for; {given!r} names none "
                    f"of {steps}. Write {steps[-1]}__{param or name}=..., or enable metadata "
                    "routing."
                )

    def _fit_pruner(self, position: int, X: Any, y: Any, params: Mapping[str, Any]) -> BasePruner:
        name, pruner = self.steps[position]
        segment = Segment.of(self, position, position + 1, followed=False)
        params = _taken(segment, "fit", params)
        memory = check_memory(self.memory)
        if getattr(memory, "location", "unknown") is not None:
            # What was given stays unfitted, as the transformers do.
            pruner = clone(pruner)
            segment.steps = [(name, pruner)]
        # The place in the pipeline, which the segment knows, is nothing that a fit depends on.
        fit = memory.cache(_fit_pruner, ignore=["segment"])
        pruner = fit(pruner, self._kind(), X, y, params, segment=segment)
        self.steps[position] = (name, pruner)
        return pruner

    def _weight_name(self) -> str:
        """Return the metadata by which the last step gets weights; "" where no pruner gives any."""
        if not any(isinstance(step, BasePruner) and gives_weights(step) for _, step in self.steps):
            return ""
        name, last = self.steps[-1]
        return requested_weight(last) if _routing_enabled() else f"{name}__{weight_argument(last)}"

    def _kind(self) -> Kind | None:
        """Return what the last step, which knows best, takes y for."""
        if is_regressor(self):
            return "regression"
        return "classification" if is_classifier(self) else None

    def _prune(
        self, pruner: BasePruner, X: Any, y: Any, params: Mapping[str, Any]
    ) -> tuple[Any, Any, dict[str, Any]]:
        whole, called = set(self.transform_input or ()), self._names_at_steps()
        kept = {
            name: take_params(X, {called.get(name, name): value}, pruner.sample_indices_)
            for name, value in params.items()
            if name not in whole
        }
        pruned = {name: value for name, taken in kept.items() for value in taken.values()}
        return *pruner.prune(X, y), {**params, **pruned}

    def _names_at_steps(self) -> dict[str, str]:
        """Return what the steps call the metadata that they request by other names."""
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

    def _transform_inputs(self, segment: Segment, params: dict[str, Any]) -> dict[str, Any]:
        """Return the metadata, with what ``transform_input`` names carried through a segment."""
        options = _taken(segment, "transform", params)
        given = {name: params.get(name) for name in self.transform_input or ()}
        carried = {
            name: tuple(segment.transform(one, **options) for one in value)
            if isinstance(value, tuple)
            else segment.transform(value, **options)
            for name, value in given.items()
            if value is not None
        }
        return {**params, **carried}

    def _fit_then(self, then: str, X: Any, y: Any, params: dict[str, Any]) -> Any:
        at_fit, afterwards = params, {}
        if _routing_enabled():
            self._check_metadata(f"fit_{then}", params)
            at_fit, afterwards = _taken(self, "fit", params), _taken(self, then, params)
        return getattr(self.fit(X, y, **at_fit), then)(X, **afterwards)


def make_pipeline(
    *steps: Any,
    memory: Any = None,
    transform_input: list[str] | None = None,
    verbose: bool = False,
) -> Pipeline:
    """Return a :class:`Pipeline` whose steps are named after their types.

    Parameters
    ----------
    *steps : estimators
        Transformers, pruners and, last, any estimator.
    memory, transform_input, verbose
        As in :class:`Pipeline`.

    Returns
    -------
    pipeline : Pipeline
        Not fitted.

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


def _fit_pruner(
    pruner: BasePruner,
    kind: Kind | None,
    X: Any,
    y: Any,
    params: Mapping[str, Any],
    *,
    segment: Segment,
) -> BasePruner:
    """Fit the pruner of a segment, told what y is; a function of its own, so that it is cached."""
    pruner._assumed_kind = kind
    try:
        segment.fit(X, y, **params)
    finally:
        # It holds in this pipeline only.
        del pruner._assumed_kind
    return pruner


def _deployable(pipeline: PlainPipeline) -> PlainPipeline:
    kept = [named for named in pipeline.steps if not isinstance(named[1], BasePruner)]
    return PlainPipeline(
        [
            # Only scikit-learn's own class: what a subclass does, its copy would not.
            (
                name,
                _deployable(step)
                if type(step) is PlainPipeline
                else getattr(step, "deployable_", step),
            )
            for name, step in kept
        ]
    )


def _routing_enabled() -> bool:
    return bool(get_config()["enable_metadata_routing"])


def _taken(pipeline: PlainPipeline, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the metadata that the steps of ``pipeline`` are meant to get."""
    if _routing_enabled():
        names = get_routing_for_object(pipeline).consumes(method, params.keys())
    else:
        names = [name for name in params if name.partition("__")[0] in pipeline.named_steps]
    return {name: params[name] for name in names}
