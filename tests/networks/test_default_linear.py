import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.preprocessing import StandardScaler

from sklearn_prune.influence import DenseHeadInfluence, HeadObjective, refit_head
from sklearn_prune.networks import column_scaler, linear_network, read_head, write_head
from tests.influence.heads import DATASETS

KINDS = {
    "multiclass": lambda rng: rng.integers(3, size=60),
    "binary": lambda rng: rng.integers(2, size=60),
    "regression": lambda rng: 100 + 7 * rng.standard_normal(60),
}


def solve(kind, X, y, damping=1e-3):
    """Return the refitted linear network, its objective and theta."""
    net = linear_network(kind, X, y)
    head = read_head(net, X, y)
    objective = HeadObjective(head.design, head.targets, head.loss, damping)
    fit = refit_head(objective, head.theta)
    write_head(net, fit.theta)
    return net, objective, fit.theta


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_design_is_the_standardised_data_and_a_one(kind):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3)) * [1, 1e4, 1e-3] + [0, 1e5, 3]
    head = read_head(linear_network(kind, X, KINDS[kind](rng)), X, KINDS[kind](rng))
    np.testing.assert_allclose(head.design[:, :3], StandardScaler().fit_transform(X), atol=1e-12)
    np.testing.assert_array_equal(head.design[:, 3], 1)
    assert head.design.dtype == np.float64
    assert not head.theta.any()


def test_constant_columns_become_zero():
    X = np.column_stack([np.full(60, 1e6 + 0.1), np.arange(60.0)])
    y = np.arange(60) % 2
    head = read_head(linear_network("binary", X, y), X, y)
    assert np.abs(head.design[:, 0]).max() < 1e-8


def test_scales_do_not_depend_on_how_rows_lie_in_memory():
    X = np.random.default_rng(0).lognormal(size=(500, 40))
    y = np.arange(500) % 3
    by_row, by_column = (linear_network("multiclass", rows, y) for rows in (X, X.copy(order="F")))
    for name in ("mean", "scale"):
        assert torch.equal(getattr(by_row.module_, name), getattr(by_column.module_, name))


def test_many_chunks_and_weights_give_the_moments_of_one(monkeypatch):
    rng = np.random.default_rng(0)
    X, y, weights = rng.standard_normal((60, 3)), np.arange(60) % 2, rng.uniform(size=60)
    monkeypatch.setattr("sklearn_prune.networks.default_linear.CHUNK", 7)
    module = linear_network("binary", X, y, weights).module_
    scaler = StandardScaler().fit(X, sample_weight=weights)
    np.testing.assert_allclose(module.mean, scaler.mean_)
    np.testing.assert_allclose(module.scale, scaler.scale_)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csr_array])
def test_csr_equals_dense(kind, container):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 5)) * (rng.random((60, 5)) < 0.3)
    y = KINDS[kind](rng)
    dense = read_head(linear_network(kind, X, y), X, y)
    csr = read_head(linear_network(kind, container(X), y), container(X), y)
    np.testing.assert_array_equal(csr.design, dense.design)


@pytest.mark.parametrize("n_targets", [1, 2])
def test_influence_does_not_depend_on_the_unit_of_y(n_targets):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 4))
    y = X[:, :n_targets] + rng.standard_normal((60, n_targets))
    norms = []
    for targets in (y, 1e4 * y - 3e5):
        _, objective, theta = solve("regression", X, targets)
        norms.append(DenseHeadInfluence(objective, theta).row_norms())
    np.testing.assert_allclose(norms[1], norms[0], rtol=1e-5)


@pytest.mark.parametrize("shift", [0, 1e4])
def test_regression_predicts_in_the_units_of_y(shift):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 4))
    y = X @ [1, 2, 3, 4] * 50 + shift
    net, _, _ = solve("regression", X, y, damping=1e-12)
    np.testing.assert_allclose(net.predict(X)[:, 0], y, atol=1e-6)


@pytest.mark.parametrize("shift", [0, 1e6])
def test_a_written_head_is_read_however_far_from_zero_y_is(shift):
    X = np.random.default_rng(0).standard_normal((60, 4))
    y = X @ [1, 2, 3, 4] + shift
    net, _, theta = solve("regression", X, y)
    np.testing.assert_allclose(read_head(net, X, y).theta, theta)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_the_written_head_predicts(name):
    kind, load = DATASETS[name]
    X, y = load(return_X_y=True)
    net, _, _ = solve(kind, X, y)
    assert net.score(X, y) > (0.5 if kind == "regression" else 0.97)
    assert net.predict(X.astype(np.float32)).shape[0] == len(X)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_torch_random_state_is_left_alone(kind):
    rng = np.random.default_rng(0)
    state = torch.get_rng_state()
    linear_network(kind, rng.standard_normal((60, 2)), KINDS[kind](rng))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("size", [1e160, 1e246])
def test_numbers_whose_squares_are_beyond_all_numbers_are_named(size):
    rows, y = np.random.default_rng(0).standard_normal((20, 2)), np.arange(20.0)
    with pytest.raises(ValueError, match="squares of X must fit float64; .* Divide it"):
        linear_network("regression", rows * size, y)
    with pytest.raises(ValueError, match="squares of y must fit float64; .* Divide it"):
        linear_network("regression", rows, y * size)


def test_a_constant_column_is_constant_under_any_weights(recwarn):
    weights = 10.0 ** np.random.default_rng(0).uniform(-6, 6, 40)
    scaler = column_scaler(np.full((40, 1), 1.5), weights)
    assert np.isfinite(scaler.scale_).all()
    assert not [w for w in recwarn if w.category is RuntimeWarning]
