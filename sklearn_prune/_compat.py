"""The one place that knows scikit-learn's private names.

scikit-learn 1.7 and later keep these stable in practice, but promise nothing; when a release
moves one, this file is the only one to change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.base import _fit_context as fit_context
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils._repr_html.estimator import _VisualBlock
from sklearn.utils.validation import _num_samples

__all__ = [
    "HasMethods",
    "Interval",
    "Segment",
    "StrOptions",
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
    """Return the number of rows of anything row-aligned."""
    return int(_num_samples(container))


def take_rows(container: Any, indices: NDArray[np.intp]) -> Any:
    """Return the rows at ``indices``, in a container of the same type.

    pandas keeps index and column types, polars its schema, SciPy its sparse format. None stays.
    """
    if container is None:
        return None
    if issparse(container):
        return container.tocsr()[indices].asformat(container.format)
    if not hasattr(container, "__getitem__"):
        # All it can do is become an array.
        container = np.asarray(container)
    return _safe_indexing(container, indices)


def take_params(X: Any, params: Mapping[str, Any], indices: NDArray[np.intp]) -> dict[str, Any]:
    """Return what is given to ``fit`` for the rows at ``indices`` of X.

    What has one entry a row is cut to them; anything else stays as it is.
    """
    n_samples = n_rows(X)
    return {
        name: take_rows(value, indices) if _is_row_aligned(value, n_samples) else value
        for name, value in params.items()
    }


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


@contextmanager
def fit_task(
    pipeline: Pipeline, X: Any, y: Any, n_parts: int
) -> Iterator[Callable[..., AbstractContextManager[None]]]:
    """Tell the callbacks that a pipeline is fitted; yields the context of fitting one part.

    That takes the name of the part and, where callbacks and the place among all tasks are handed
    on to it, its segment. Releases before 1.9 know no callbacks.
    """
    if not hasattr(pipeline, "_init_callback_context"):
        yield lambda name, segment=None: nullcontext()
        return
    task = pipeline._init_callback_context(max_subtasks=n_parts)

    @contextmanager
    def part(name: str, segment: Segment | None = None) -> Iterator[None]:
        subtask = task.subcontext(task_name=f"fit-{name}")
        with subtask.propagate_callback_context(segment) if segment else nullcontext():
            subtask.call_on_fit_task_begin(estimator=pipeline)
            yield
            subtask.call_on_fit_task_end(estimator=pipeline)

    task.call_on_fit_task_begin(estimator=pipeline, X=X, y=y)
    yield part
    task.call_on_fit_task_end(estimator=pipeline, X=X, y=y)


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
