"""Bad input ends in an error that says rule, value and remedy, before anything is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.utils import get_tags
from skorch import NeuralNetBinaryClassifier, NeuralNetRegressor
from torch.nn import Linear

import sklearn_prune.matching.trained_members as module
from sklearn_prune import InfeasibleProblemError, InfluencePruner, UnsupportedNetworkError
from sklearn_prune.base import BasePruner

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 3))
Y = np.arange(30) % 3


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("training began")

    monkeypatch.setattr(module, "fit_network", refuse)
    monkeypatch.setattr(module, "linear_network", refuse)
    monkeypatch.setattr(module, "model_network", refuse)


def fails(message: str, X: Any = X, y: Any = Y, error: type = ValueError, **options: Any) -> None:
    names = ("sample_weight", "groups", "must_keep", "must_drop", "sample_cost")
    fit_params = {name: options.pop(name) for name in names if name in options}
    pruner = InfluencePruner(**options)
    before = dict(vars(pruner))
    with pytest.raises(error, match=message):
        pruner.fit(X, y, **fit_params)
    assert vars(pruner) == before


def with_cell(value: Any, row: int = 4, column: int = 1) -> np.ndarray:
    spoiled = X.astype(object if isinstance(value, str) else float)
    spoiled[row, column] = value
    return spoiled


pytestmark = pytest.mark.usefixtures("no_training")


def test_missing_cells_are_counted_and_the_first_column_is_numbered():
    spoiled = with_cell(np.nan)
    spoiled[7, 2] = np.inf
    fails("1 NaN and 1 infinity cells, the first in column number 1. Impute", spoiled)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_the_first_column_is_named_where_it_has_a_name(frame):
    names = ["age", "height", "weight"]
    columns = {name: with_cell(np.nan)[:, j] for j, name in enumerate(names)}
    fails("1 NaN and 0 infinity cells, the first in column 'height'", frame(columns))


def test_missing_cells_of_sparse_rows_are_found():
    fails(
        "1 NaN and 0 infinity cells, the first in column number 1", sp.csr_array(with_cell(np.nan))
    )


def test_missing_values_of_pandas_are_found():
    frame = pd.DataFrame({"a": pd.array([None, *range(29)], dtype="Int64"), "b": range(30)})
    fails("1 NaN .* first in column 'a'", frame)


def test_finite_cells_whose_sum_overflows_are_finite():
    huge = BasePruner()
    huge._select_rows = lambda X, y: np.ones(len(X), dtype=bool)  # type: ignore[method-assign]
    assert huge.fit(np.full((3, 2), 1e308)).support_.all()


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_text_columns_point_to_the_column_transformer(frame):
    table = frame({"age": range(30), "city": ["Bern", "Rome", "Oslo"] * 10})
    fails("column 'city' holds 'Bern'. .*ColumnTransformer", table)


def test_text_cells_of_an_array_are_found():
    fails("column number 1 holds 'tall'. .*ColumnTransformer", with_cell("tall"))


def test_dates_are_no_numbers():
    days = np.arange(60).astype("datetime64[D]").reshape(30, 2)
    fails("needs numeric columns; X has dtype datetime64.*ColumnTransformer", days)


def test_numbers_written_as_text_are_text_in_an_array_of_strings():
    fails("bytes/strings", X.astype(str))


def test_complex_targets_are_refused():
    fails("Complex data not supported: y must be real", y=Y + 1j)


def test_rows_of_unequal_length_are_refused():
    fails("inhomogeneous", [[1.0, 2.0], [3.0]] * 15)


def test_images_need_a_network():
    fails("dim 4", np.zeros((30, 1, 2, 2)))
    fails("dim 4", np.zeros((30, 1, 2, 2)), estimator=LogisticRegression())
    assert get_tags(InfluencePruner(NeuralNetRegressor(Linear))).input_tags.three_d_array


def test_one_row_is_too_few():
    fails("1 sample", X[:1], Y[:1])


def test_no_columns_are_too_few():
    fails("0 feature", X[:, :0])


def test_y_is_needed():
    fails("requires y to be passed, but the target y is None. Give", y=None)


def test_y_has_the_length_of_x():
    fails("y needs one value for each row of X; it has 29, and X has 30 rows. Take", y=Y[:-1])


def test_y_of_three_dimensions_is_refused():
    fails("y should be a 1d array, or 2d", y=np.zeros((30, 2, 2)))


@pytest.mark.parametrize(
    "missing", [None, np.nan, pd.NA, pd.NaT], ids=["None", "nan", "pandas.NA", "pandas.NaT"]
)
def test_missing_labels_are_counted(missing):
    y = np.array(["a", "b", "c"] * 10, dtype=object)
    y[[3, 8]] = missing
    fails("2 values are NaN, None or infinity, the first in row 3. Drop", y=y)


def test_infinite_targets_are_counted():
    fails("1 values are .* the first in row 0", y=np.array([np.inf, *np.arange(29) + 0.5]))


def test_one_class_is_no_classification():
    fails("at least two classes; y has one class, 'a'. Add", y=["a"] * 30)


def test_labels_of_mixed_types_are_refused():
    fails(
        "Unknown label type: labels of different types", y=np.array(["a", 1, 2] * 10, dtype=object)
    )


def test_numbers_held_as_objects_are_refused():
    fails(r"Unknown label type: unknown .*y.astype\(int\)", y=Y.astype(object))


def test_several_columns_of_labels_are_refused():
    fails("Unknown label type: multiclass-multioutput", y=np.c_[Y, Y])


def test_a_classifier_needs_classes(make_net):
    fails("Unknown label type: continuous", y=Y + 0.5, estimator=make_net())


def test_a_regressor_needs_numbers():
    net = NeuralNetRegressor(Linear)
    fails("must be numeric; .*'a'. For labels", y=["a", "b", "c"] * 10, estimator=net)


def test_a_binary_network_takes_two_classes():
    fails("takes two classes; y has 3. Use", estimator=NeuralNetBinaryClassifier(Linear))


@pytest.mark.parametrize(
    "estimator",
    ["net", RandomForestClassifier(), FrozenEstimator(RandomForestClassifier())],
)
def test_what_is_neither_a_network_nor_a_linear_model_is_named(estimator):
    message = r"a skorch network \(NeuralNet, .* None for a linear one, or one of .*; it is"
    fails(message, error=UnsupportedNetworkError, estimator=estimator)


def test_an_unfitted_frozen_network_is_refused(monkeypatch, make_net):
    monkeypatch.undo()
    fails("not fitted", error=NotFittedError, estimator=FrozenEstimator(make_net(3)))


def test_labels_that_a_frozen_network_cannot_know_are_refused(monkeypatch, make_net):
    monkeypatch.undo()
    net = make_net(3, max_epochs=1).fit(X.astype(np.float32), Y)
    fails("3 outputs and y has 2 classes", y=["a", "b"] * 15, estimator=FrozenEstimator(net))


@pytest.mark.parametrize("ratio", [-0.1, 1.0, 1.5, "half"])
def test_the_ratio_lies_in_zero_to_one(ratio):
    fails(
        r"'prune_ratio' parameter .* must be a float in the range \[0.0, 1.0\)|\[0, 1\)",
        prune_ratio=ratio,
    )


@pytest.mark.parametrize("tolerance", [0.0, -1.0])
def test_the_tolerance_is_positive(tolerance):
    fails("'tolerance' parameter", prune_ratio="auto", tolerance=tolerance)


def test_either_a_ratio_or_a_tolerance():
    fails("set prune_ratio='auto' or tolerance=None", tolerance=0.1)
    fails("tolerance is None; set tolerance, or give prune_ratio a number", prune_ratio="auto")


def test_each_class_needs_a_row():
    y = np.arange(30) % 5
    fails(
        "prune_ratio=0.9 leaves 3 rows for 5 classes; lower it to 0.83 or less",
        y=y,
        prune_ratio=0.9,
    )


def test_two_rows_of_two_classes_cannot_be_pruned():
    fails(
        "prune_ratio=0.5 leaves 1 row for 2 classes; set it to 0.0, or give more rows",
        X[:2],
        Y[:2],
        prune_ratio=0.5,
    )


def test_must_keep_leaves_every_class_a_row():
    fails(
        "must_keep takes 6 of the 6 rows that prune_ratio=0.8 keeps, which leaves 0 for classes 1, "
        "2; lower prune_ratio to 0.73 or less, or free 2 rows",
        error=InfeasibleProblemError,
        prune_ratio=0.8,
        must_keep=(np.arange(30) < 18) & (Y == 0),
    )


@pytest.mark.parametrize("form", [{}, {"prune_ratio": "auto", "tolerance": 1.0}])
def test_must_drop_leaves_some_weight(form):
    weight = (np.arange(30) < 6) * 1.0
    fails(
        "positive sample_weight must stay|some sample weight must stay",
        error=InfeasibleProblemError,
        sample_weight=weight,
        must_drop=weight > 0,
        **form,
    )


def test_a_regression_needs_a_row():
    fails("leaves 0 rows for a model .*; lower it to 0.96", y=Y + 0.5, prune_ratio=0.99)


@pytest.mark.parametrize("name", ["must_keep", "must_drop"])
@pytest.mark.parametrize(
    "mask", [np.ones(29, dtype=bool), np.arange(30), np.zeros((30, 2), dtype=bool), [0, 3]]
)
def test_masks_are_boolean_and_of_one_entry_a_row(name, mask):
    fails(rf"{name} must be a boolean mask of shape \(30,\)", **{name: mask})


def test_no_row_both_stays_and_goes():
    mask = np.arange(30) < 2
    fails("share 2 rows; take each", error=InfeasibleProblemError, must_keep=mask, must_drop=mask)


def test_masks_leave_room_for_the_ratio():
    fails(
        "prune_ratio=0.4 drops 12 of 30 rows, and must_keep leaves 5 .*; lower it to 0.16 or less",
        error=InfeasibleProblemError,
        must_keep=np.arange(30) < 25,
    )
    fails(
        "drops 12 of 30 rows, and must_drop takes 14; raise it to 0.47 or more",
        error=InfeasibleProblemError,
        must_drop=np.arange(30) < 14,
    )


def test_must_drop_leaves_every_class_a_row():
    fails(
        "every class keeps at least one row; must_drop takes all rows of class 1",
        error=InfeasibleProblemError,
        must_drop=Y == 1,
    )


def test_costs_have_one_entry_a_row():
    fails(r"sample_cost must have shape \(30,\), one number per row", sample_cost=np.ones(29))


def test_groups_have_one_label_a_row():
    fails(r"groups must have shape \(30,\)", groups=np.ones(29))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(29), r"sample_weight must have shape \(30,\)"),
        (
            np.r_[-1.0, np.ones(29)],
            "1 of .* weights are negative, the first is -1.0 in row 0. Drop",
        ),
        (np.r_[np.ones(29), np.nan], "sample_weight .* 1 values are NaN, .* the first in row 29"),
        (np.zeros(30), "all 30 weights are zero. Leave"),
    ],
    ids=["length", "negative", "nan", "zero"],
)
def test_weights_are_checked(weights, message):
    fails(message, sample_weight=weights)


@pytest.mark.parametrize(
    ("quota", "message"),
    [
        ("some", "'quota' parameter"),
        ({7: 3}, "group 7, which has no rows"),
        ({0: 11}, "change the quota"),
        ({0: "all"}, "must be a count"),
        ({0: 0}, "at least one row; quota=0 for 0 keeps none of its 10 rows. Raise"),
        ({0: 0.01}, "at least one row"),
        ({0: (5,)}, "must be a count"),
        ({0: np.nan}, "must be a count"),
        ({0: (8, 3)}, "keeps between 8 and 3"),
        ({0: 2, 1: 2, 2: 2}, "keeps between 6 and 6 rows, not 18"),
    ],
    ids=["word", "label", "count", "type", "none", "share", "single", "nan", "order", "sum"],
)
def test_quotas_are_checked(quota, message):
    fails(message, quota=quota)


def test_a_quota_by_label_needs_labels():
    fails("has no classes; give groups=", y=Y + 0.5, quota={0: 3})


def test_all_rows_in_must_drop_are_too_many():
    fails("one row must stay, and must_drop takes all 30; free a row", must_drop=np.ones(30, bool))


@pytest.mark.parametrize("cost", [np.r_[np.ones(29), np.inf], np.r_[np.ones(29), np.nan]])
def test_costs_are_finite_and_called_as_fit_calls_them(cost):
    fails("sample_cost must not be missing or infinite; 1 values .* row 29", sample_cost=cost)
