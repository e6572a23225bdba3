"""All uses of scikit-learn's private names.

They have been stable since scikit-learn 1.7, but scikit-learn promises nothing. If a release moves
one of them, only this file changes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from inspect import signature
from types import FrameType
from typing import Any, NamedTuple

from sklearn.base import BaseEstimator
from sklearn.base import _fit_context as fit_context
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils._repr_html.estimator import _VisualBlock
from sklearn.utils._set_output import _get_output_config
from sklearn.utils._user_interface import _print_elapsed_time as print_elapsed_time
from sklearn.utils.validation import _num_samples as num_samples

try:
    from sklearn.callback import CallbackSupportMixin
    from sklearn.callback._callback_support import callback_management_context
except ModuleNotFoundError:
    # Before 1.9.
    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in for scikit-learn's class and does nothing."""


__all__ = [
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "RowsOwner",
    "Segment",
    "StrOptions",
    "Task",
    "check_matplotlib_support",
    "check_parameters",
    "check_steps",
    "fit_context",
    "fit_task",
    "owner_that_keeps_rows",
    "num_samples",
    "output_container",
    "print_elapsed_time",
    "safe_indexing",
    "takes_weights",
    "visual_block",
]


def check_parameters(estimator: BaseEstimator) -> None:
    """Raise if a parameter violates ``_parameter_constraints``."""
    estimator._validate_params()


def takes_weights(scorer: Any) -> bool:
    """Whether a scorer takes ``sample_weight``."""
    if hasattr(scorer, "_accept_sample_weight"):
        return bool(scorer._accept_sample_weight())
    return "sample_weight" in signature(scorer).parameters


def check_steps(pipeline: Pipeline) -> None:
    """Raise if names or steps are not valid for a pipeline."""
    pipeline._validate_steps()


def output_container(transformer: BaseEstimator) -> str:
    """Return what ``set_output`` or scikit-learn's configuration asks of ``transform``."""
    return str(_get_output_config("transform", transformer)["dense"])


def visual_block(estimator: BaseEstimator, caption: str | None) -> Any:
    """Return the block of the HTML representation: the class name with a caption below it."""
    return _VisualBlock(
        "single",
        estimator,
        names=type(estimator).__name__,
        name_details=str(estimator),
        name_caption=caption,
    )


class Segment(Pipeline):
    """Consecutive steps of a longer pipeline; its messages number them as steps of the whole."""

    @classmethod
    def of(cls, whole: Pipeline, start: int, stop: int) -> Segment:
        """Return the steps of ``whole`` from ``start`` to ``stop``."""
        steps = list(whole.steps[start:stop])
        if stop < len(whole.steps):
            # scikit-learn never caches the last step, so add one.
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
    """A part of ``fit`` that scikit-learn's callbacks follow; before 1.9 it does nothing.

    Parameters
    ----------
    context : CallbackContext or None
        The task's place in the tree of tasks. None if there are no callbacks.
    estimator : estimator or None
        The estimator that is being fitted.
    """

    def __init__(self, context: Any = None, estimator: Any = None) -> None:
        self._context, self._estimator = context, estimator

    @contextmanager
    def part(
        self, name: str, n_parts: int | None = 0, segment: Segment | None = None
    ) -> Iterator[Task]:
        """Run a part of the task that has ``n_parts`` parts itself (None: an unknown number).

        Passes the callbacks on to ``segment``, with its place in the tree of tasks.
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
        """Report one part as done, unless the task has no parts."""
        if self._context is not None and self._context.max_subtasks != 0:
            with self.part(name):
                pass


@contextmanager
def fit_task(estimator: BaseEstimator, X: Any, y: Any, n_parts: int) -> Iterator[Task]:
    """Tell the callbacks that an estimator is being fitted, in ``n_parts`` parts."""
    if not hasattr(estimator, "_init_callback_context"):
        yield Task()
        return
    with callback_management_context(estimator):
        context = estimator._init_callback_context(max_subtasks=n_parts)
        context.call_on_fit_task_begin(estimator=estimator, X=X, y=y)
        yield Task(context, estimator)
        context.call_on_fit_task_end(estimator=estimator, X=X, y=y)


class RowsOwner(NamedTuple):
    """A meta-estimator that needs every row back: package, class, and the step that it fits.

    ``step`` is "" where it has no name, or is fitted in another process.
    """

    package: str
    name: str
    step: str = ""


def owner_that_keeps_rows(estimator: BaseEstimator) -> RowsOwner | None:
    """Return the meta-estimator that fits ``estimator`` and needs every row back.

    scikit-learn does not let an estimator know what it is part of, so this reads the call stack. A
    pipeline that ends in ``estimator`` returns the same rows, so the search goes on to the
    pipeline's own owner.

    Returns
    -------
    owner : RowsOwner or None
        For example scikit-learn's ColumnTransformer. None if rows may be dropped.
    """
    frame = sys._getframe(1)
    while frame is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        owner = frame.f_locals.get("self")
        if package in {"sklearn", "imblearn"} and frame.f_code.co_name in _FIT_TRANSFORMER:
            return _owner_that_fits(frame, package)
        if isinstance(owner, TransformedTargetRegressor):
            return RowsOwner("sklearn", "TransformedTargetRegressor")
        # A pipeline passes rows on, unless it expects dropped ones.
        passes_on = isinstance(owner, Pipeline) and not getattr(owner, "drops_rows", False)
        if isinstance(owner, BaseEstimator) and owner is not estimator and not passes_on:
            return None
        frame = frame.f_back  # type: ignore[assignment]
    return None


# The functions that fit transformers, in any process or thread.
_FIT_TRANSFORMER = {"_fit_transform_one", "_fit_one"}


def _owner_that_fits(frame: FrameType, package: str) -> RowsOwner:
    """Return the owner and step of a call of a function of ``_FIT_TRANSFORMER``."""
    name = frame.f_locals.get("message_clsname")
    caller: FrameType | None = frame
    while caller is not None and not isinstance(caller.f_locals.get("self"), BaseEstimator):
        caller = caller.f_back
    if caller is None:
        # In a worker.
        return RowsOwner(package, name or "scikit-learn")
    # A release may rename the argument with the owner's name. The caller knows it too.
    owner, step = name or type(caller.f_locals["self"]).__name__, caller.f_locals.get("name")
    return RowsOwner(package, owner, step if isinstance(step, str) else "")
