"""Matching several networks, checkpoints, and fixed features beside a network, end to end."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import scale
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import EarlyStopping

from sklearn_prune import InfluencePruner, PrunedClassifier, checkpoints
from sklearn_prune.inspection import retraining_check

X, Y = load_iris(return_X_y=True)
X = scale(X).astype(np.float32)
OPTIONS = {"prune_ratio": 0.6, "damping": 1e-2, "random_state": 0, "time_limit": 5}


class Net(torch.nn.Module):
    def __init__(self, n_hidden: int = 3) -> None:
        super().__init__()
        self.hidden, self.last = torch.nn.Linear(4, n_hidden), torch.nn.Linear(n_hidden, 3)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.last(torch.tanh(self.hidden(X)))


def network(**params):
    options = {"criterion": torch.nn.CrossEntropyLoss, "lr": 0.3, "max_epochs": 6, "verbose": 0}
    return NeuralNetClassifier(Net, **(options | params))


WEIGHTED = network(criterion__weight=torch.tensor([1.0, 2.0, 3.0]))


def frozen(n_hidden, seed):
    torch.manual_seed(seed)
    return FrozenEstimator(network(module__n_hidden=n_hidden, train_split=None).fit(X, Y))


def fitted(estimator=None, rows=X, y=Y, **options):
    return InfluencePruner(estimator, **(OPTIONS | options)).fit(rows, y)


@pytest.fixture
def trained(monkeypatch):
    """A list that grows by one with each step of training."""
    step, steps = NeuralNet.train_step, []

    def counted(net, *args, **kwargs):
        steps.append(net)
        return step(net, *args, **kwargs)

    monkeypatch.setattr(NeuralNet, "train_step", counted)
    return steps


def test_several_networks_are_matched_together():
    nets = [frozen(3, 0), frozen(5, 1)]
    alone = [fitted(net) for net in nets]
    both = fitted(nets)
    certificate = both.certificate_
    assert certificate.n_networks == 2
    assert certificate.n_parameters == 3 * 4 + 3 * 6
    assert "2, of whose changes these are means" in repr(certificate)
    assert both.estimator_ == [net.estimator for net in nets]
    np.testing.assert_allclose(
        both.influence_norms_, np.mean([one.influence_norms_ for one in alone], axis=0)
    )
    # What was matched for one network leaves the other much farther away.
    drop = ~both.support_
    for one in alone:
        influence = one.influence_
        assert influence.measure(influence.first_order_step(drop)) < 0.2 * (
            one.certificate_.random_change
        )
    forecasts = [one.influence_.forecast(drop) for one in alone]
    assert certificate.predicted_change == pytest.approx(
        np.mean([forecast.first_order for forecast in forecasts])
    )
    assert certificate.actual_change == pytest.approx(
        np.mean([forecast.refitted for forecast in forecasts]), rel=1e-4
    )


def test_a_list_of_one_is_that_network():
    net = frozen(3, 0)
    alone, listed = fitted(net), fitted([net])
    np.testing.assert_array_equal(alone.support_, listed.support_)
    assert listed.estimator_ == [net.estimator]
    assert listed.certificate_.n_networks == 1


def test_a_linear_model_can_stand_beside_a_network():
    pruner = fitted([None, network()])
    assert pruner.certificate_.n_parameters == 3 * 5 + 3 * 4
    assert len(pruner.estimator_) == 2


def test_equal_networks_are_trained_apart():
    first, second = fitted([network(), network()]).estimator_
    assert not torch.equal(first.module_.last.weight, second.module_.last.weight)
    alone = fitted(network()).estimator_
    assert torch.equal(first.module_.last.weight, alone.module_.last.weight)


def test_a_module_given_as_an_object_is_one_network_each_time():
    module = torch.nn.Sequential(torch.nn.Linear(4, 3))
    net = NeuralNetClassifier(module, criterion=torch.nn.CrossEntropyLoss, verbose=0)
    with pytest.warns(UserWarning, match="networks 0 and 1 have the same parameters"):
        fitted([net, net])


def test_an_ensemble_is_its_networks():
    nets = [("a", network()), ("b", network(module__n_hidden=5))]
    voting = VotingClassifier(nets)
    untrained = fitted(voting)
    assert [net.module_.hidden.out_features for net in untrained.estimator_] == [3, 5]
    trained = FrozenEstimator(voting.fit(X, Y))
    assert fitted(trained).estimator_ == list(voting.estimators_)
    voting.set_params(b="drop")
    assert len(fitted(voting).estimator_) == 1


def test_what_an_ensemble_knows_is_checked():
    voting = VotingClassifier([("a", network()), ("b", network(module__n_hidden=5))])
    with pytest.raises(NotFittedError):
        fitted(FrozenEstimator(voting))
    with pytest.raises(ValueError, match=r"classes \[1, 2, 3\], and y holds \[1, 2\]"):
        fitted(FrozenEstimator(voting.fit(X, Y + 1)), rows=X[:100], y=Y[:100] + 1)
    bagging = BaggingClassifier(network(), 2, random_state=0).fit(X, Y)
    assert len(fitted(FrozenEstimator(bagging)).estimator_) == 2
    with pytest.raises(ValueError, match="wrap it in FrozenEstimator"):
        fitted(bagging)
    narrow = NeuralNetClassifier(
        torch.nn.Linear, module__in_features=2, module__out_features=3,
        criterion=torch.nn.CrossEntropyLoss, verbose=0,
    )  # fmt: skip
    some = BaggingClassifier(narrow, 2, max_features=0.5, random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match="some of the 4 columns, .*set max_features=1.0"):
        fitted(FrozenEstimator(some))


def test_checkpoints_are_moments_of_one_training():
    end, moments = fitted(network()), fitted(checkpoints(network(), 3))
    assert moments.certificate_.n_networks == 3
    assert moments.certificate_.n_parameters == 3 * end.certificate_.n_parameters
    for a, b in zip(
        end.estimator_.module_.parameters(), moments.estimator_.module_.parameters(), strict=True
    ):
        assert torch.equal(a, b)
    hidden = [one.objective.design for one in moments.influence_.influences]
    np.testing.assert_array_equal(hidden[-1], end.influence_.objective.design)
    # Epochs 2, 4 and 6.
    for n_epochs, design in zip((2, 4), hidden, strict=False):
        short = fitted(network(max_epochs=n_epochs))
        np.testing.assert_array_equal(design, short.influence_.objective.design)


def test_checkpoints_need_no_module_that_pickles():
    class Local(Net):
        pass

    net = NeuralNetClassifier(
        Local, criterion=torch.nn.CrossEntropyLoss, max_epochs=4, lr=0.3, verbose=0
    )
    assert fitted(checkpoints(net, 2)).certificate_.n_networks == 2


def test_checkpoints_that_never_came_are_said():
    stop = EarlyStopping(monitor="train_loss", patience=2)
    net = network(max_epochs=30, lr=1e-9, callbacks=[stop])
    with pytest.warns(UserWarning, match="after 3 of 30 epochs, so 2 of 3 checkpoints were not"):
        assert fitted(checkpoints(net, 3)).certificate_.n_networks == 1


def test_one_checkpoint_is_the_end():
    end, only = fitted(network()), fitted(checkpoints(network(), 1))
    np.testing.assert_array_equal(end.support_, only.support_)


def test_a_pickled_pruner_chooses_again():
    pruner = fitted([frozen(3, 0), frozen(5, 1)])
    again = pickle.loads(pickle.dumps(pruner))
    np.testing.assert_array_equal(again.select(prune_ratio=0.8), pruner.select(prune_ratio=0.8))


def test_checkpoints_of_all_layers():
    certificate = fitted(checkpoints(network(), 2), layers="all").certificate_
    assert certificate.n_parameters == 2 * (3 * 5 + 3 * 4)
    assert np.isnan(certificate.actual_change)
    assert certificate.predicted_change < 0.1 * certificate.random_change


@pytest.mark.parametrize("sparse", [False, True])
def test_fixed_features_are_matched_beside_the_network(sparse):
    F = PCA(2).fit_transform(X).astype(np.float64)
    # Without the distribution, what holds the second head is its influences.
    pruner = fitted(network(), features=csr_array(F) if sparse else F, distribution_weight=0)
    assert pruner.certificate_.n_networks == 2
    assert pruner.certificate_.n_parameters == 3 * 4 + 3 * 3
    alone = fitted(None, rows=F)
    influence = alone.influence_
    change = influence.measure(influence.first_order_step(~pruner.support_))
    assert change < 0.05 * alone.certificate_.random_change
    assert isinstance(pruner.estimator_, NeuralNetClassifier)


def test_features_and_all_layers():
    pruner = fitted(network(), features=X[:, :2], layers="all")
    assert pruner.certificate_.n_parameters == 3 * 5 + 3 * 4 + 3 * 3
    assert pruner.certificate_.predicted_change < 0.2 * pruner.certificate_.random_change


def test_a_function_makes_features_of_each_fold():
    pruner = InfluencePruner(network(), features=PCA(2).fit(X).transform, **OPTIONS)
    scores = cross_val_score(PrunedClassifier(LogisticRegression(), pruner), X, Y, cv=3)
    assert scores.mean() > 0.8


def test_clone_and_memory_know_what_is_matched(tmp_path, trained):
    options = {"memory": str(tmp_path)}
    pruners = [
        fitted([network(), network(module__n_hidden=4)], **options),
        fitted([network(), network(module__n_hidden=5)], **options),
        fitted(checkpoints(network(), 2), **options),
        fitted(network(), features=X[:, :2], **options),
        fitted(network(), features=X[:, 2:], **options),
    ]
    norms = [pruner.influence_norms_ for pruner in pruners]
    for position, pruner in enumerate(pruners):
        n_steps = len(trained)
        again = clone(pruner).fit(X, Y)
        assert len(trained) == n_steps
        np.testing.assert_array_equal(again.support_, pruner.support_)
        assert not any(np.array_equal(norms[position], other) for other in norms[:position])


def test_the_networks_are_only_read():
    nets = [frozen(3, 0), frozen(5, 1)]
    before = [
        {name: value.clone() for name, value in net.estimator.module_.state_dict().items()}
        for net in nets
    ]
    state = torch.get_rng_state()
    fitted([*nets, network(), None], features=X[:, :2])
    assert torch.equal(torch.get_rng_state(), state)
    for net, values in zip(nets, before, strict=True):
        for name, value in net.estimator.module_.state_dict().items():
            assert torch.equal(value, values[name])


def test_a_tolerance_holds_for_several():
    pruner = fitted([frozen(3, 0), frozen(5, 1)], prune_ratio="auto", tolerance=1e-3)
    assert pruner.certificate_.predicted_change <= 1e-3
    assert 0 < pruner.support_.sum() < 150


@pytest.mark.parametrize(
    ("estimator", "options", "message"),
    [
        ([], {}, "estimator holds no network"),
        (network(), {"features": X[:5]}, "each of the 150 rows of X, in their order; they have 5"),
        (network(), {"features": lambda X: X[:5]}, "they have 5. Return one row for each"),
        (network(), {"features": np.full((150, 2), np.nan)}, "features contains NaN"),
        (
            [network(), WEIGHTED],
            {},
            "criterion of network 1 has different class weights from that of network 0",
        ),
        ([network(), network()], {"layers": ["nothing"]}, "match trained parameters"),
        (
            [network(), NeuralNetRegressor(Net, criterion=torch.nn.MSELoss)],
            {},
            "must all be for classification or all for regression",
        ),
    ],
)
def test_what_does_not_fit_is_said_before_training(estimator, options, message, trained):
    with pytest.raises(ValueError, match=message):
        fitted(estimator, **options)
    assert not trained


def test_linear_models_beside_a_network_have_its_class_weights():
    pruner = fitted([WEIGHTED, None], features=X[:, :2])
    for influence in pruner.influence_.influences:
        np.testing.assert_array_equal(influence.sample_weight, np.array([1.0, 2.0, 3.0])[Y])
    assert pruner.certificate_.predicted_change < 0.1 * pruner.certificate_.random_change


def test_how_much_features_count_does_not_depend_on_the_unit_of_numbers():
    y = X @ np.array([1.0, -1.0, 0.5, 2.0], dtype=np.float32) + np.sin(3 * X[:, 0])
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    net = FrozenEstimator(NeuralNetRegressor(module, verbose=0).initialize())
    shares = []
    for unit in (1e-3, 1.0, 1e3):
        influence = fitted(net, y=unit * y, features=X[:, :2], damping=1e-6).influence_
        own, of_features = (one.row_norms() for one in influence.influences)
        shares.append(influence.units[1] * (of_features**2).sum() / (own**2).sum())
    assert shares == pytest.approx([shares[1]] * 3, rel=0.01)


def test_a_frozen_network_must_be_fitted():
    with pytest.raises(NotFittedError):
        fitted([FrozenEstimator(network()), None])


def test_networks_of_single_and_double_precision_go_together():
    double = NeuralNetClassifier(
        Net().double(), criterion=torch.nn.CrossEntropyLoss, max_epochs=2, verbose=0
    )
    assert fitted([network(), double]).certificate_.n_networks == 2


def test_the_retraining_check_takes_a_list_of_one():
    net = frozen(3, 0)
    expected, found = (
        retraining_check(fitted(one), X, Y, X_test=X[::2], y_test=Y[::2]) for one in (net, [net])
    )
    assert found.test_gap == expected.test_gap


def test_the_retraining_check_follows_one_head():
    pruner = fitted([frozen(3, 0), frozen(5, 1)])
    with pytest.raises(ValueError, match="give the support of this one"):
        retraining_check(pruner, X, Y)
