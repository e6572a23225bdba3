"""The checks of scikit-learn that fail here by design, each with its reason.

Pruners are checked in `test_sklearn_checks` and `baselines/test_scored`, estimators that prune in
`test_meta_checks`, `model_selection/` and `test_pipeline_nesting`.
"""

from __future__ import annotations

from sklearn.base import BaseEstimator
from sklearn.utils import get_tags

from sklearn_prune import Pipeline
from sklearn_prune.base import BasePruner

FEWER_ROWS = "transform returns fewer rows than the training data has"
PRUNERS = {
    "check_transformer_general": FEWER_ROWS,
    "check_transformer_data_not_an_array": FEWER_ROWS,
    "check_methods_sample_order_invariance": "transform does not prune rows in another order",
    "check_methods_subset_invariance": "transform does not prune a batch of the training rows",
}
# scikit-learn's own pipeline fails these two as well.
PIPELINES = dict.fromkeys(
    ["check_estimators_overwrite_params", "check_dont_overwrite_parameters"],
    "a pipeline fits the steps it is given, so fit changes a parameter",
)


def expected_failures(estimator: BaseEstimator) -> dict[str, str]:
    """Return the checks that an estimator fails, each with its reason."""
    if isinstance(estimator, BasePruner):
        # scikit-learn leaves that check out for estimators that take anything as rows.
        skipped = "check_transformer_data_not_an_array" if get_tags(estimator).no_validation else ""
        return {name: reason for name, reason in PRUNERS.items() if name != skipped}
    return PIPELINES if isinstance(estimator, Pipeline) else {}
