import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from sklearn_prune.distributed.sums import Moments


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.sampled_from([0.0, 1e6]))
def test_moments_of_parts_add_up_to_those_of_all_rows(seed, n_parts, shift):
    rng = np.random.default_rng(seed)
    X, weight = rng.standard_normal((40, 3)) + shift, rng.random(40) + 0.1
    parts = zip(np.array_split(X, n_parts), np.array_split(weight, n_parts), strict=True)
    first, *others = [Moments.of(rows, weights) for rows, weights in parts]
    moments = sum(others, start=first)
    scaler = StandardScaler().fit(X, sample_weight=weight)
    np.testing.assert_allclose(moments.mean, scaler.mean_, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(moments.scale, scaler.scale_, rtol=1e-8)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e9])
def test_constant_columns_have_the_scale_one(value):
    parts = [Moments.of(np.full((n, 1), value), None) for n in (3, 50, 7)]
    assert (parts[0] + parts[1] + parts[2]).scale == 1.0


@pytest.mark.filterwarnings("error")
def test_squares_beyond_float64_are_refused():
    part = Moments.of(np.array([[1e200], [-1e200]]), None)
    with pytest.raises(ValueError, match="squares of X must fit float64.*Divide"):
        (part + part).require_finite("X")
