"""What every pruner shares."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from sklearn_prune.base import BasePruner
from sklearn_prune.data import fingerprint
from sklearn_prune.data.containers import CHUNK_CELLS
from tests.conftest import ThirdOut

X = np.arange(14.0).reshape(7, 2)
KEPT = [0, 1, 3, 4, 6]

matrices = hnp.arrays(
    np.float64,
    st.tuples(st.integers(2, 12), st.integers(1, 4)),
    elements=st.floats(-1e6, 1e6, width=32) | st.just(0.0),
)


def test_the_support_is_a_mask_or_sorted_positions(third_out):
    third_out.fit(X)
    assert third_out.get_support().tolist() == [i in KEPT for i in range(7)]
    assert third_out.get_support(indices=True).tolist() == KEPT
    assert third_out.sample_indices_.tolist() == KEPT


def test_fit_records_columns_and_classes(third_out):
    frame = pd.DataFrame(X, columns=["a", "b"])
    third_out.fit(frame, ["x", "y", "x", "y", "x", "y", "x"])
    assert third_out.n_features_in_ == 2
    assert third_out.feature_names_in_.tolist() == ["a", "b"]
    assert third_out.classes_.tolist() == ["x", "y"]
    assert third_out.get_feature_names_out().tolist() == ["a", "b"]


def test_a_regression_target_leaves_no_classes_behind(third_out):
    third_out.fit(X, [0, 1, 0, 1, 0, 1, 0]).fit(X, np.linspace(0.1, 0.9, 7))
    assert not hasattr(third_out, "classes_")


@given(matrices)
def test_fit_transform_equals_fit_then_transform(rows):
    pruner = ThirdOut().fit(rows)
    np.testing.assert_array_equal(pruner.transform(rows), ThirdOut().fit_transform(rows))
    np.testing.assert_array_equal(pruner.transform(rows), rows[pruner.support_])


@given(matrices, st.data())
def test_any_change_of_the_rows_makes_them_other_rows(rows, data):
    pruner = ThirdOut().fit(rows)
    other = rows.copy()
    i = data.draw(st.integers(0, rows.shape[0] - 1))
    j = data.draw(st.integers(0, rows.shape[1] - 1))
    other[i, j] += 1.0
    assert pruner.transform(other) is other


@given(matrices)
def test_order_matters(rows):
    swapped = rows[::-1]
    pruned = ThirdOut().fit(rows).transform(swapped)
    assert len(pruned) == (
        len(rows) if (swapped != rows).any() else ThirdOut().fit(rows).support_.sum()
    )


@given(matrices)
def test_rows_are_recognised_in_any_container_and_type(rows):
    pruner = ThirdOut().fit(rows)
    kept = rows[pruner.support_]
    np.testing.assert_array_equal(pruner.transform(csr_array(rows)).toarray(), kept)
    np.testing.assert_array_equal(pruner.transform(pd.DataFrame(rows)), kept)
    np.testing.assert_array_equal(pruner.transform(rows.tolist()), kept)
    np.testing.assert_array_equal(pruner.transform(rows.astype(np.float32)), kept)
    np.testing.assert_array_equal(pruner.transform(np.asfortranarray(rows)), kept)


def test_explicit_and_negative_zeros_are_zeros():
    dense = np.array([[0.0, 1.0], [2.0, 0.0]])
    stored = csr_array((np.array([0.0, 1.0, 2.0]), np.array([0, 1, 0]), np.array([0, 2, 3])))
    assert fingerprint(stored) == fingerprint(dense)
    assert fingerprint(np.array([[-0.0, 1.0], [2.0, -0.0]])) == fingerprint(dense)


def test_shape_is_part_of_the_content():
    assert fingerprint(np.ones((2, 6))) != fingerprint(np.ones((6, 2)))
    assert fingerprint(np.zeros((2, 6))) != fingerprint(np.zeros((2, 5)))


def test_blocks_of_many_rows_hash_alike_in_both_forms():
    n_rows = CHUNK_CELLS // 50 + 10
    dense = np.random.default_rng(0).poisson(0.05, (n_rows, 50)).astype(np.float64)
    assert fingerprint(csr_array(dense)) == fingerprint(dense)


def test_other_rows_come_back_as_the_same_object(third_out):
    new = X[:3]
    assert third_out.fit(X).transform(new) is new


def test_transform_of_other_rows_does_not_rename_the_columns_of_the_caller(third_out):
    frame = pd.DataFrame(X[:3], columns=["a", "b"])
    third_out.set_output(transform="pandas").fit(X)
    with pytest.warns(UserWarning, match="X has feature names"):
        out = third_out.transform(frame)
    assert out.columns.tolist() == ["x0", "x1"]
    assert frame.columns.tolist() == ["a", "b"]


def test_set_output_is_honoured(third_out):
    out = third_out.set_output(transform="pandas").fit_transform(X)
    assert isinstance(out, pd.DataFrame)
    np.testing.assert_array_equal(out, X[KEPT])


def test_a_pipeline_of_transformers_may_end_in_a_pruner(third_out):
    pipe = make_pipeline(StandardScaler(), third_out).set_output(transform="pandas")
    assert len(pipe.fit_transform(X)) == len(KEPT)


def test_transform_checks_the_number_of_columns(third_out):
    with pytest.raises(ValueError, match="X has 1 features, but ThirdOut is expecting 2"):
        third_out.fit(X).transform(X[:, :1])


@pytest.mark.parametrize("use", ["transform", "prune", "get_support"])
def test_an_unfitted_pruner_says_so(third_out, use):
    arguments = () if use == "get_support" else (X,)
    with pytest.raises(NotFittedError):
        getattr(third_out, use)(*arguments)


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), RuntimeError("no")], ids=repr)
def test_a_fit_that_fails_leaves_the_estimator_as_it_was(third_out, stop):
    before = dict(vars(third_out))
    with pytest.raises(type(stop)):
        third_out.fit(X, fail=stop)
    assert vars(third_out) == before

    third_out.fit(X)
    before = dict(vars(third_out))
    with pytest.raises(type(stop)):
        third_out.fit(X[:5, :1], [0, 1, 0, 1, 0], fail=stop)
    assert vars(third_out).keys() == before.keys()
    assert all(vars(third_out)[name] is value for name, value in before.items())


def test_fitting_again_forgets_what_was_fitted(third_out):
    third_out.fit(pd.DataFrame(X, columns=["a", "b"])).fit(X[:4, :1])
    assert not hasattr(third_out, "feature_names_in_")
    assert third_out.n_features_in_ == 1
    assert len(third_out.support_) == 4


def test_settings_survive_a_fit(third_out):
    third_out.set_output(transform="pandas")
    assert isinstance(third_out.fit(X).transform(X), pd.DataFrame)


def test_pickle_and_clone(third_out):
    third_out.fit(X)
    again = pickle.loads(pickle.dumps(third_out))
    np.testing.assert_array_equal(again.transform(X), X[KEPT])
    assert clone(third_out).get_params() == third_out.get_params()
    assert not hasattr(clone(third_out), "support_")


def test_a_pruner_without_the_hook_says_what_is_missing():
    with pytest.raises(NotImplementedError, match="_select_rows"):
        BasePruner().fit(X)


def test_a_pruner_may_take_missing_cells():
    class Tolerant(ThirdOut):
        def __sklearn_tags__(self):
            tags = super().__sklearn_tags__()
            tags.input_tags.allow_nan = True
            return tags

    holes = np.where(np.arange(14).reshape(7, 2) == 3, np.nan, X)
    np.testing.assert_array_equal(Tolerant().fit_transform(holes), holes[KEPT])


def test_tags_offer_sparse_input(third_out):
    tags = get_tags(third_out)
    assert tags.input_tags.sparse
    assert not tags.target_tags.required


def test_a_release_that_renames_a_helpers_arguments_breaks_no_fit(monkeypatch, third_out):
    module: dict[str, Any] = {"__name__": "sklearn.pipeline"}
    exec(
        "def _fit_transform_one(transformer, X, y, *renamed, **others):\n"
        "    return transformer.fit_transform(X, y), transformer\n",
        module,
    )
    monkeypatch.setattr("sklearn.pipeline._fit_transform_one", module["_fit_transform_one"])
    with pytest.raises(TypeError, match=r"^scikit-learn's Pipeline cannot drop rows of y"):
        make_pipeline(third_out, StandardScaler()).fit(X)
    # A worker has no caller to ask.
    with pytest.raises(TypeError, match=r"^scikit-learn concatenates"):
        module["_fit_transform_one"](third_out, X, None)
