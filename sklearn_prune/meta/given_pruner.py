"""The pruner that an estimator is given: alone, or as the last step of a pipeline of encoders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Self

from sklearn import get_config
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import InputTags, get_tags
from sklearn.utils.metadata_routing import get_routing_for_object, process_routing
from torch.utils.data import Dataset

from .._influence_pruner import InfluencePruner
from .._types import Estimator, Metadata, Params, Rows, Targets
from ..base import BasePruner, fit_pruner
from ..data import (
    ColumnsEncoder,
    Kind,
    NotNumbersError,
    check_reference_rows,
    check_rows,
    fingerprint,
    has_categories,
    is_collection,
    is_table,
    n_rows,
    other_columns,
)
from ..networks import is_linear_model

# The constraint of a parameter `pruner`; None means `InfluencePruner()`.
GIVEN_PRUNER: list[Any] = [BasePruner, Pipeline, None]
# Columns that a note on an error names.
_MOST_SHOWN = 5


class GivenPrunerMixin:
    """Base class of estimators with a parameter ``pruner``; None means ``InfluencePruner()``."""

    # A pruner, a pipeline that ends in one, or None.
    pruner: Estimator

    def _given_pruner(self) -> Estimator:
        """Return the pruner, or the pipeline that ends in it, unfitted."""
        return InfluencePruner() if self.pruner is None else self.pruner

    def set_params(self, **params: Any) -> Self:
        """Set parameters; with ``pruner=None``, ``pruner__...`` are those of the default pruner.

        Parameters
        ----------
        **params : dict
            Values by name, as in scikit-learn's other estimators.

        Returns
        -------
        self : estimator
            With these parameters.
        """
        is_nested = any(name.startswith("pruner__") for name in params)
        if is_nested and params.get("pruner", self.pruner) is None:
            params["pruner"] = InfluencePruner()
        return super().set_params(**params)  # type: ignore[misc]


@dataclass(frozen=True)
class FittedPruner:
    """A fitted pruner, and what encoded the rows for it.

    Attributes
    ----------
    pruner : pruner
        Fitted on the encoded rows.
    encoder : transformer or None
        Fitted. None if the pruner read the rows as they are.
    """

    pruner: BasePruner
    encoder: Estimator = None


def pruner_of(given: Estimator) -> BasePruner:
    """Return the pruner itself: the last step if ``given`` is a pipeline."""
    return given.steps[-1][1] if isinstance(given, Pipeline) and given.steps else given


def fit_given(
    given: Estimator,
    X: Rows,
    y: Targets,
    kind: Kind | None,
    fit_params: Mapping[str, Metadata],
    *,
    has_default: bool = True,
) -> FittedPruner:
    """Fit what an estimator was given as its pruner, on rows that the estimator reads as they are.

    Rows are encoded for the pruner alone: by the steps before it, or, if there are none and it
    cannot read a table as numbers, by a `ColumnsEncoder`. A pruner with a network of its own has no
    default encoder, since its network was made for certain columns. Reference rows are encoded as
    the rows are. A function as the pruner's ``features`` gets both as they were given.

    Parameters
    ----------
    given : pruner or Pipeline
        Fitted in place.
    X : array-like of shape (n_samples, n_features), or any rows that the first step takes
        Training rows.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Their targets.
    kind : {"classification", "regression"} or None
        How the estimator takes y; None if unknown.
    fit_params : dict
        Without metadata routing, those of the pruner's ``fit``; with it, those that ``given``
        requests.
    has_default : bool, default=True
        False refuses tables that are not numeric if no steps encode them.

    Raises
    ------
    ValueError
        If ``given`` does not end in a pruner, an encoder returns another number of rows, or the
        pruner refuses the rows.
    """
    pruner = pruner_of(given)
    if not isinstance(pruner, BasePruner):
        raise ValueError(
            f"pruner must be a pruner, or a pipeline that ends in one; it ends in {pruner!r}. Add "
            "one, such as InfluencePruner(), as the last step."
        )
    encoder: Estimator = ColumnsEncoder()
    for_encoder: Params = {}
    if isinstance(given, Pipeline):
        for_encoder, fit_params = _sorted_params(given, fit_params)
    if isinstance(given, Pipeline) and len(given.steps) > 1:
        encoder = given[:-1]
    else:
        has_default = has_default and _reads_any_columns(pruner)
        try:
            if not (has_default and has_categories(X)):
                return _fit_encoded(pruner, X, X, y, kind, fit_params)
        except NotNumbersError:
            if not (has_default and is_table(X)):
                raise
    rows = encoder.fit_transform(X, y, **for_encoder)
    if n_rows(rows) != n_rows(X):
        raise ValueError(
            f"the steps before the pruner must return a row for each of the {n_rows(X)} rows; they "
            f"return {n_rows(rows)}. Leave out steps that drop or add rows."
        )
    return _fit_encoded(pruner, X, rows, y, kind, fit_params, encoder)


def _fit_encoded(
    pruner: BasePruner,
    X: Rows,
    rows: Rows,
    y: Targets,
    kind: Kind | None,
    fit_params: Mapping[str, Metadata],
    encoder: Estimator = None,
) -> FittedPruner:
    """Fit the pruner on ``rows``, which encode X."""
    encoded = [(rows, X)]
    X_ref = fit_params.get("X_ref")
    if X_ref is not None:
        if encoder is not None:
            fit_params = {**fit_params, "X_ref": encoder.transform(X_ref)}
        encoded.append((fit_params["X_ref"], X_ref))
    with _features_of_given(pruner, encoded):
        return FittedPruner(fit_pruner(pruner, rows, y, kind, fit_params), encoder)


def _sorted_params(
    given: Pipeline, fit_params: Mapping[str, Metadata]
) -> tuple[Params, Mapping[str, Metadata]]:
    """Return the ``fit`` parameters of the encoding steps, and those of the pruner."""
    if not get_config()["enable_metadata_routing"]:
        return {}, fit_params
    for_pruner = process_routing(given, "fit", **fit_params)[given.steps[-1][0]].fit
    if len(given.steps) == 1:
        return {}, for_pruner
    consumed = get_routing_for_object(given[:-1]).consumes("fit_transform", fit_params.keys())
    return {name: fit_params[name] for name in consumed}, for_pruner


@dataclass(frozen=True)
class _KnownFeatures:
    """A function that returns features of known rows.

    Attributes
    ----------
    by_rows : dict
        Features by the fingerprint of rows, as the pruner reads them.
    """

    by_rows: dict[object, Rows]

    def __call__(self, rows: Rows) -> Rows:
        return self.by_rows[fingerprint(rows)]


@contextmanager
def _features_of_given(pruner: BasePruner, encoded: list[tuple[Rows, Rows]]) -> Iterator[None]:
    """Let a function as the pruner's ``features`` get rows as they were given.

    Parameters
    ----------
    pruner : pruner
        Changed, and as before in the end.
    encoded : list of tuple
        The training rows, and any reference rows: each encoded, and as they were given.
    """
    features = getattr(pruner, "features", None)
    rows, X = encoded[0]
    # A pruner reads these as they are.
    if not callable(features) or isinstance(X, Dataset) or is_collection(X):
        yield
        return
    reader = clone(pruner)
    by_rows: dict[object, Rows] = {}
    by_rows[fingerprint(check_rows(reader, rows, reset=True))] = features(X)
    for rows_ref, X_ref in encoded[1:]:
        by_rows[fingerprint(check_reference_rows(reader, rows_ref))] = features(X_ref)
    # Not the function with the rows, as a frame has no digest for the pruner's memory.
    pruner.set_params(features=_KnownFeatures(by_rows))
    try:
        yield
    finally:
        pruner.set_params(features=features)


@contextmanager
def noting_columns(X: Rows) -> Iterator[None]:
    """Add to an error of an estimator which columns of its rows X are not numeric."""
    try:
        yield
    except Exception as error:
        # The estimator's error counts, not one of its explanation.
        with suppress(TypeError, ValueError):
            columns = [f"{name!r} ({kind})" for name, kind in other_columns(X).items()]
            more = f" and {len(columns) - _MOST_SHOWN} more" if len(columns) > _MOST_SHOWN else ""
            if columns:
                shown = ", ".join(columns[:_MOST_SHOWN]) + more
                error.add_note(
                    f"The estimator got columns that are not numeric as they are: {shown}. A "
                    "pruner encodes them for itself alone. If the estimator cannot read them, "
                    "encode them in front of it, for example with "
                    "make_pipeline(sklearn_prune.data.ColumnsEncoder(), estimator)."
                )
        raise


def input_tags(given: Estimator) -> InputTags:
    """Return which rows can be given to what an estimator has as its pruner."""
    if isinstance(given, Pipeline):
        first = next((step for _, step in given.steps if hasattr(step, "fit")), given)
        return get_tags(first).input_tags
    tags = get_tags(given).input_tags
    if not _reads_any_columns(given):
        return tags
    return replace(tags, allow_nan=True, string=True, categorical=True)


def reads_numbers_only(model: Estimator) -> bool:
    """Whether a model is known to refuse text, categories and gaps.

    A bad cell must not pass because its row happens to be pruned. Tags say nothing of the parts of
    a composite model, and other packages seldom set them.
    """
    if not type(model).__module__.startswith("sklearn."):
        return False
    tags = get_tags(model).input_tags
    takes_more = tags.allow_nan or tags.string or tags.categorical
    is_composite = any(hasattr(value, "fit") for value in model.get_params().values())
    return not (takes_more or is_composite)


def _reads_any_columns(pruner: BasePruner) -> bool:
    """Whether the pruner reads any numeric columns, and nothing else."""
    reads_anything = get_tags(pruner).input_tags.categorical
    estimator = getattr(pruner, "estimator", None)
    return not reads_anything and (estimator is None or is_linear_model(estimator))
