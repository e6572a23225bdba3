"""Influence beyond the last layer, and on heads too wide for a dense Hessian, end to end."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import scale
from skorch import NeuralNetClassifier

from sklearn_prune import InfluencePruner, UnsupportedNetworkError
from sklearn_prune.inspection import retraining_check

X, Y = load_iris(return_X_y=True)
X = scale(X).astype(np.float32)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Dropout(0.5), torch.nn.Linear(5, 3)
    )
    return NeuralNetClassifier(
        module, criterion=torch.nn.CrossEntropyLoss, lr=0.3, max_epochs=40, verbose=0
    ).fit(X, Y)


def fitted(net, **options):
    options = {"prune_ratio": 0.6, "damping": 1e-2, "random_state": 0, "time_limit": 5} | options
    return InfluencePruner(FrozenEstimator(net), **options).fit(X, Y)


@pytest.mark.parametrize(
    ("layers", "n_parameters"),
    [("last", 18), ("all", 43), (["3.*"], 18), (["0.weight", "3.weight"], 35)],
)
def test_the_certificate_speaks_of_the_layers_chosen(net, layers, n_parameters):
    certificate = fitted(net, layers=layers).certificate_
    assert certificate.n_parameters == n_parameters
    assert certificate.curvature == "dense"
    assert certificate.predicted_change < 0.1 * certificate.random_change
    assert np.isnan(certificate.actual_change) == (layers != "last")


def test_the_network_is_only_read(net):
    before = copy.deepcopy(net.module_.state_dict())
    state = torch.get_rng_state()
    net.module_.train()
    fitted(net, layers="all")
    assert net.module_.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None or not p.grad.isnan().any() for p in net.module_.parameters())
    for name, value in net.module_.state_dict().items():
        assert torch.equal(value, before[name])


def test_select_and_memory_know_the_layers(net, tmp_path):
    pruners = [fitted(net, layers=layers, memory=str(tmp_path)) for layers in ("last", "all")]
    last, every = (pruner.influence_norms_ for pruner in pruners)
    assert not np.array_equal(last, every)
    np.testing.assert_array_equal(
        fitted(net, layers="all", memory=str(tmp_path)).influence_norms_, every
    )
    assert pruners[1].select(prune_ratio=0.8).sum() == 30


def test_a_wide_head_needs_no_dense_hessian():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 220)).astype(np.float32), (np.arange(400) % 50).astype(str)
    pruner = InfluencePruner(prune_ratio=0.5, damping=1.0, time_limit=3, random_state=0).fit(X, y)
    certificate = pruner.certificate_
    assert certificate.curvature == "kronecker"
    assert certificate.n_parameters == 50 * 221
    assert certificate.predicted_change < 0.9 * certificate.random_change
    assert np.isfinite(certificate.actual_change)
    # Kronecker factors bound nothing.
    assert np.isnan(certificate.lower_bound)
    with pytest.raises(ValueError, match="the coordinates are off by .* give prune_ratio a number"):
        pruner.select(tolerance=1.0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"layers": ["4.*"]}, ValueError, "match trained parameters; .* names: 0.weight"),
        ({"layers": "some"}, ValueError, "'layers' parameter"),
    ],
)
def test_what_cannot_be_done_is_said(net, options, error, message):
    with pytest.raises(error, match=message):
        fitted(net, **options)


def test_batch_statistics_are_refused():
    module = torch.nn.Sequential(
        torch.nn.Linear(4, 3),
        torch.nn.BatchNorm1d(3, track_running_stats=False),
        torch.nn.Linear(3, 3),
    )
    net = NeuralNetClassifier(
        module, criterion=torch.nn.CrossEntropyLoss, max_epochs=1, verbose=0
    ).fit(X, Y)
    with pytest.raises(UnsupportedNetworkError, match="track_running_stats=True"):
        fitted(net, layers="all")


class Pooled(torch.nn.Module):
    """A network that ends in no Linear: the mean over the positions of a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.tail = torch.nn.Conv1d(1, 4, 2), torch.nn.Conv1d(4, 3, 1)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.tail(torch.tanh(self.body(X[:, None]))).mean(2)


def pooled():
    return NeuralNetClassifier(
        Pooled, criterion=torch.nn.CrossEntropyLoss, max_epochs=2, lr=0.1, verbose=0
    )


def test_all_layers_need_no_linear_one():
    options = {"layers": "all", "damping": 1e-2, "random_state": 0, "time_limit": 2}
    pruner = InfluencePruner(pooled(), **options).fit(X, Y)
    assert pruner.certificate_.n_parameters == 12 + 15
    assert pruner.certificate_.predicted_change < 0.5 * pruner.certificate_.random_change
    frozen = FrozenEstimator(pooled().fit(X, Y))
    assert InfluencePruner(frozen, **options).fit(X, Y).support_.sum() == 90
    with pytest.raises(UnsupportedNetworkError, match="No torch.nn.Linear was executed"):
        InfluencePruner(pooled()).fit(X, Y)


@pytest.mark.parametrize(
    ("module", "layers", "message"),
    [
        (Pooled, ["head.*"], "match trained parameters; .* names: body.weight"),
        (torch.nn.LazyLinear(3), ["x"], "match trained parameters"),
    ],
)
def test_layers_that_cannot_be_taken_are_refused_before_training(module, layers, message):
    class Untrainable(NeuralNetClassifier):
        def train_step(self, *args, **kwargs):
            raise AssertionError("training began")

    net = Untrainable(module, criterion=torch.nn.CrossEntropyLoss, verbose=0)
    with pytest.raises(ValueError, match=message):
        InfluencePruner(net, layers=layers).fit(X, Y)


def test_the_linear_network_has_one_layer():
    with pytest.raises(ValueError, match="estimator=None has only one"):
        InfluencePruner(layers="all").fit(X, Y)


def test_the_retraining_check_is_for_the_last_layer(net):
    with pytest.raises(ValueError, match="fit one with layers='last'"):
        retraining_check(fitted(net, layers="all"), X, Y)
