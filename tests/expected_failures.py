"""What scikit-learn's checks ask that an estimator here does not do by nature, and why.

Every public estimator is checked against it: pruners in their own files, those that prune inside in
`test_meta_checks`, `test_model_selection` and `test_pipeline_nesting`.
"""

from __future__ import annotations

from sklearn.base import BaseEstimator

from sklearn_prune import Pipeline
from sklearn_prune.base import BasePruner

FEWER_ROWS = "transform returns fewer rows than the training data has"
PRUNERS = {
    "check_transformer_general": FEWER_ROWS,
    "check_transformer_data_not_an_array": FEWER_ROWS,
    "check_methods_sample_order_invariance": "training rows in another order are not pruned",
    "check_methods_subset_invariance": "a batch of the training rows is not pruned",
}
# scikit-learn's own pipeline fails these two as well.
PIPELINES = dict.fromkeys(
    ["check_estimators_overwrite_params", "check_dont_overwrite_parameters"],
    "a pipeline fits the steps it was given, so that fit changes its parameter",
)


def expected_failures(estimator: BaseEstimator) -> dict[str, str]:
    """Return the checks that an estimator fails, each with its reason; of most, none."""
    if isinstance(estimator, BasePruner):
        return PRUNERS
    return PIPELINES if isinstance(estimator, Pipeline) else {}
