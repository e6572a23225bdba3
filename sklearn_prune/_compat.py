"""The one place that knows scikit-learn's private names.

scikit-learn 1.7 and later keep these stable in practice, but promise nothing; when a release
moves one, this file is the only one to change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.base import _fit_context as fit_context
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils._repr_html.estimator import _VisualBlock
from sklearn.utils.validation import _num_samples
from torch.utils.data import Dataset, Subset

from ._rows import is_dict, is_stored, read_rows

try:
    from sklearn.callback import CallbackSupportMixin
    from sklearn.callback._callback_support import callback_management_context
except ModuleNotFoundError:
    # Before 1.9.
    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing to tell."""


__all__ = [
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "Segment",
    "StrOptions",
    "Task",
    "check_matplotlib_support",
    "check_parameters",
    "check_steps",
    "fit_context",
    "fit_task",
    "is_followed_by_steps",
    "n_rows",
    "take_params",
    "take_rows",
    "visual_block",
]


def check_parameters(estimator: BaseEstimator) -> None:
    """Raise where a parameter is not what ``_parameter_constraints`` say."""
    estimator._validate_params()


def n_rows(container: Any) -> int:
    """Return the number of rows of anything row-aligned, a dict of arrays included."""
    if not is_dict(container):
        return int(_num_samples(container))
    counts = {name: n_rows(value) for name, value in container.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(
            f"a dict of rows needs arrays of the same length; it has {counts or 'none'}. Cut them "
            "from the same rows."
        )
    return next(iter(counts.values()))


def take_rows(container: Any, indices: NDArray[np.intp]) -> Any:
    """Return the rows at ``indices``, in a container of the same type.

    pandas keeps index and column types, polars its schema, SciPy its sparse format. A dict is taken
    array by array, and a torch dataset becomes a `torch.utils.data.Subset`. What is stored on disk
    becomes an array. None stays.
    """
    if container is None:
        return None
    if is_dict(container):
        kept = {name: take_rows(value, indices) for name, value in container.items()}
        return type(container)(**kept) if isinstance(container, dict) else kept
    if isinstance(container, Dataset):
        return Subset(container, indices.tolist())
    if is_stored(container) and not isinstance(container, np.ndarray):
        return read_rows(container, indices)
    if issparse(container):
        return container.tocsr()[indices].asformat(container.format)
    if not hasattr(container, "__getitem__"):
        # All it can do is become an array.
        container = np.asarray(container)
    return _safe_indexing(container, indices)


def take_params(X: Any, params: Mapping[str, Any], indices: NDArray[np.intp]) -> dict[str, Any]:
    """Return what is given to ``fit`` for the rows at ``indices`` of X.

    What has one entry a row is cut to them; anything else stays as it is. So do reference rows,
    also where they are as many.
    """
    n_samples = n_rows(X)
    return {
        name: take_rows(value, indices)
        if not _is_reference(name) and _is_row_aligned(value, n_samples)
        else value
        for name, value in params.items()
    }


def _is_reference(name: str) -> bool:
    """Whether an argument, maybe with the name of a step before it, is of reference rows."""
    return name.rpartition("__")[2] in ("X_ref", "y_ref")


def _is_row_aligned(value: Any, n_samples: int) -> bool:
    # These have a length, but no rows.
    if isinstance(value, str | bytes | Mapping | Set):
        return False
    try:
        return n_rows(value) == n_samples
    except TypeError:
        return False


def check_steps(pipeline: Pipeline) -> None:
    """Raise where names or steps are not what a pipeline takes."""
    pipeline._validate_steps()


def visual_block(estimator: BaseEstimator, caption: str | None) -> Any:
    """Return what the HTML representation draws: the name, and the caption under it."""
    return _VisualBlock(
        "single",
        estimator,
        names=type(estimator).__name__,
        name_details=str(estimator),
        name_caption=caption,
    )


class Segment(Pipeline):
    """The steps of a longer pipeline from ``start`` to ``stop``, as a plain one.

    Its messages count the steps of the whole.
    """

    @classmethod
    def of(cls, whole: Pipeline, start: int, stop: int, *, followed: bool) -> Segment:
        """Cut it out; ``followed`` if its last step is one that hands rows on."""
        steps = list(whole.steps[start:stop])
        if followed:
            # scikit-learn never caches the last step, so there is one more.
            steps.append((whole.steps[stop][0], "passthrough"))
        options = {"memory": whole.memory, "verbose": whole.verbose}
        segment = cls(steps, transform_input=whole.transform_input, **options)
        segment.start, segment.stop, segment.total = start, stop, len(whole.steps)
        return segment

    def _log_message(self, step_idx: int) -> str | None:
        position = self.start + step_idx
        if not self.verbose or position == self.stop:
            return None
        return f"(step {position + 1} of {self.total}) Processing {self.steps[step_idx][0]}"


class Task:
    """A part of ``fit`` that scikit-learn's callbacks are told of; releases before 1.9 have none.

    Parameters
    ----------
    context : CallbackContext or None
        Its place in the tree of tasks; None tells nobody.
    estimator : estimator or None
        The one that is fitted.
    """

    def __init__(self, context: Any = None, estimator: Any = None) -> None:
        self._context, self._estimator = context, estimator

    @contextmanager
    def part(
        self, name: str, n_parts: int | None = 0, segment: Segment | None = None
    ) -> Iterator[Task]:
        """Run one of its parts, which has ``n_parts`` of its own; None where that is not known.

        Callbacks and the place among all tasks are handed on to a segment that is given.
        """
        if self._context is None:
            yield self
            return
        context = self._context.subcontext(task_name=name, max_subtasks=n_parts)
        with context.propagate_callback_context(segment) if segment else nullcontext():
            context.call_on_fit_task_begin(estimator=self._estimator)
            yield Task(context, self._estimator)
            context.call_on_fit_task_end(estimator=self._estimator)

    def tick(self, name: str) -> None:
        """Tell that one of its parts is done; one that has no parts tells nobody."""
        if self._context is not None and self._context.max_subtasks != 0:
            with self.part(name):
                pass


@contextmanager
def fit_task(estimator: BaseEstimator, X: Any, y: Any, n_parts: int) -> Iterator[Task]:
    """Tell the callbacks that an estimator is fitted, in ``n_parts`` parts."""
    if not hasattr(estimator, "_init_callback_context"):
        yield Task()
        return
    with callback_management_context(estimator):
        context = estimator._init_callback_context(max_subtasks=n_parts)
        context.call_on_fit_task_begin(estimator=estimator, X=X, y=y)
        yield Task(context, estimator)
        context.call_on_fit_task_end(estimator=estimator, X=X, y=y)


def is_followed_by_steps(estimator: BaseEstimator) -> bool:
    """Whether a scikit-learn pipeline fits ``estimator`` as a step that others follow.

    scikit-learn 1.9 hands each step the context of its task. A pipeline that is the last step of
    another is looked through. Always False before 1.9, where a step is told nothing.
    """
    task: Any = getattr(estimator, "_parent_callback_ctx", None)
    owner = task and task.estimator_name
    while owner in {"Pipeline", "Segment"}:
        whole = task.parent
        if task.task_id + 1 < whole.max_subtasks:
            return True
        task, owner = whole, whole.source_estimator_name
    return False
