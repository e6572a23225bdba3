"""Each row must have outputs of its own, and the loss that is trained must be the criterion."""

import threading

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from torch.nn import functional

from sklearn_prune import InfluencePruner, UnsupportedNetworkError
from sklearn_prune.baselines import HerdingPruner
from sklearn_prune.influence import NetworkGradients, NetworkInfluence
from sklearn_prune.networks import read_head

RNG = np.random.default_rng(0)
X = RNG.standard_normal((90, 4)).astype(np.float32)
# Sorted, as many tables are: the first rows show one class alone.
Y = np.repeat([0, 1, 2], 30)
REAL = X @ np.arange(4.0).astype(np.float32)


def net(module=None, kind=NeuralNetClassifier, criterion=nn.CrossEntropyLoss, **options):
    options = {"max_epochs": 2, "lr": 0.1, "verbose": 0, "batch_size": 10, **options}
    module = module or nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    return kind(module, criterion=criterion, **options)


def read_last(network, X, y):
    read_head(network, X, y)


def read_all(network, X, y):
    NetworkInfluence(NetworkGradients(network, X, y, layers="all"), 1e-2)


readings = pytest.mark.parametrize("read", [read_last, read_all])

# The loss that is trained


class Weighted(NeuralNetClassifier):
    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return functional.cross_entropy(y_pred, y_true, torch.tensor([1.0, 50.0, 1.0]))


class Penalised(NeuralNetClassifier):
    def get_loss(self, y_pred, y_true, *args, **kwargs):
        penalty = sum(p.abs().sum() for p in self.module_.parameters())
        return super().get_loss(y_pred, y_true, *args, **kwargs) + 1e-2 * penalty


class OnlyInTraining(NeuralNetClassifier):
    def get_loss(self, y_pred, y_true, X=None, training=False):
        loss = super().get_loss(y_pred, y_true, X=X, training=training)
        return 2 * loss if training else loss


class OfTheInputs(NeuralNetClassifier):
    def get_loss(self, y_pred, y_true, X=None, training=False):
        return (functional.cross_entropy(y_pred, y_true, reduction="none") * X[:, 0] ** 2).mean()


class Two(nn.Module):
    """Gives the outputs, and something else that a loss may look at."""

    def __init__(self):
        super().__init__()
        self.hidden, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, X):
        hidden = torch.tanh(self.hidden(X))
        return self.head(hidden), hidden


class Auxiliary(NeuralNetClassifier):
    def get_loss(self, y_pred, y_true, *args, **kwargs):
        logits, hidden = y_pred
        return super().get_loss(logits, y_true, *args, **kwargs) + hidden.pow(2).mean()


class Unpacking(NeuralNetClassifier):
    def get_loss(self, y_pred, y_true, *args, **kwargs):
        logits, _ = y_pred
        return super().get_loss(logits, y_true, *args, **kwargs)


class AuxiliaryCriterion(nn.Module):
    def forward(self, y_pred, y_true):
        if not isinstance(y_pred, tuple):
            return functional.cross_entropy(y_pred, y_true)
        return functional.cross_entropy(y_pred[0], y_true) + y_pred[1].pow(2).mean()


@readings
@pytest.mark.parametrize(
    "make",
    [
        lambda: net(kind=Weighted),
        lambda: net(kind=Weighted, batch_size=30),
        lambda: net(kind=Weighted, batch_size=1),
        lambda: net(kind=Penalised),
        lambda: net(kind=OnlyInTraining),
        lambda: net(kind=OfTheInputs),
        lambda: net(Two(), kind=Auxiliary),
        lambda: net(Two(), criterion=AuxiliaryCriterion),
    ],
)
def test_a_loss_that_is_not_the_criterion_is_refused(make, read):
    with pytest.raises(UnsupportedNetworkError, match="get_loss gives .* into a criterion"):
        read(make().initialize(), X, Y)


@pytest.mark.parametrize("make_pruner", [InfluencePruner, HerdingPruner])
@pytest.mark.parametrize("freeze", [False, True])
def test_every_pruner_refuses_it(make_pruner, freeze):
    network = net(kind=Weighted)
    if freeze:
        network = FrozenEstimator(network.fit(X, Y))
    with pytest.raises(UnsupportedNetworkError, match="get_loss gives"):
        make_pruner(network, prune_ratio=0.5).fit(X, Y)


@readings
def test_a_get_loss_that_unpacks_several_outputs_is_the_criterion(read):
    read(net(Two(), kind=Unpacking).initialize(), X, Y)


class WeightedCriterion(nn.Module):
    """Divides by the sum of the weights, as torch's own does, and hides that it weighs."""

    def forward(self, y_pred, y_true):
        return functional.cross_entropy(y_pred, y_true, torch.tensor([1.0, 50.0, 1.0]).to(y_pred))


@readings
def test_a_criterion_that_weighs_rows_by_their_class_is_no_mean_over_rows(read):
    with pytest.raises(UnsupportedNetworkError, match="neither the mean .* nor the sum"):
        read(net(criterion=WeightedCriterion).initialize(), X, Y)


def test_the_weight_of_outputs_counts_in_all_layers():
    weight = torch.tensor([5.0])
    y = (Y > 0).astype(np.float32)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())
    network = net(module, NeuralNet, nn.BCELoss, criterion__weight=weight).initialize()
    losses = NetworkGradients(network, X, y, layers="all").losses()
    np.testing.assert_allclose(losses, read_head(network, X, y).losses(), rtol=1e-5)


class Mixing(NeuralNetClassifier):
    """Trains on mixed rows, which its criterion knows nothing of."""

    def train_step_single(self, batch, **fit_params):
        x, y = batch
        self._set_training(True)
        y_pred = self.infer((x + x.flip(0)) / 2, **fit_params)
        loss = (self.get_loss(y_pred, y) + self.get_loss(y_pred, y.flip(0))) / 2
        loss.backward()
        return {"loss": loss, "y_pred": y_pred}


class Noting(NeuralNetClassifier):
    """Has steps of its own that are skorch's all the same."""

    def train_step(self, batch, **fit_params):
        self.n_steps_ = getattr(self, "n_steps_", 0) + 1
        return super().train_step(batch, **fit_params)


class WeighingSteps(NeuralNetClassifier):
    """Weighs classes in its steps, which rows of a single class do not show."""

    def train_step_single(self, batch, **fit_params):
        x, y = batch
        self._set_training(True)
        y_pred = self.infer(x, **fit_params)
        loss = functional.cross_entropy(y_pred, y, torch.tensor([1.0, 50.0, 1.0]))
        loss.backward()
        return {"loss": loss, "y_pred": y_pred}


class NeedsFit(NeuralNetClassifier):
    """Its steps use what only `fit` makes."""

    def fit_loop(self, *args, **kwargs):
        self.scale = 1.0
        return super().fit_loop(*args, **kwargs)

    def train_step(self, batch, **fit_params):
        step = super().train_step(batch, **fit_params)
        return {**step, "loss": step["loss"] * self.scale}


@pytest.mark.parametrize("make_pruner", [InfluencePruner, HerdingPruner])
@pytest.mark.parametrize("kind", [Mixing, WeighingSteps])
@pytest.mark.parametrize("freeze", [False, True])
def test_training_steps_that_minimise_something_else_are_refused(make_pruner, kind, freeze):
    network = net(kind=kind)
    if freeze:
        network = FrozenEstimator(network.fit(X, Y))
    with pytest.raises(UnsupportedNetworkError, match="train_step_single minimises"):
        make_pruner(network).fit(X, Y)


def test_training_steps_of_ones_own_that_minimise_the_criterion_are_fine():
    dropping = nn.Sequential(nn.Linear(4, 5), nn.Dropout(), nn.Linear(5, 3))
    pruner = InfluencePruner(net(dropping, kind=Noting), damping=1e-2, random_state=0).fit(X, Y)
    assert pruner.estimator_.n_steps_ == 2 * 9


def test_trying_the_steps_of_a_frozen_network_leaves_it_as_it_was():
    network = net(kind=Noting).fit(X, Y)
    n_steps = network.n_steps_
    before = {name: value.clone() for name, value in network.module_.state_dict().items()}
    InfluencePruner(FrozenEstimator(network), damping=1e-2).fit(X, Y)
    assert network.n_steps_ == n_steps
    assert all(torch.equal(before[name], v) for name, v in network.module_.state_dict().items())


def test_steps_that_cannot_be_tried_are_refused_with_the_reason():
    with pytest.raises(UnsupportedNetworkError, match="train_step stopped with AttributeError"):
        InfluencePruner(net(kind=NeedsFit)).fit(X, Y)
    network = net(kind=NeedsFit).fit(X, Y)
    InfluencePruner(FrozenEstimator(network), damping=1e-2).fit(X, Y)
    network.lock = threading.Lock()
    with pytest.raises(UnsupportedNetworkError, match="cannot be copied: TypeError"):
        InfluencePruner(FrozenEstimator(network)).fit(X, Y)


def test_the_remedy_for_a_frozen_network_works():
    network = net(kind=Mixing).fit(X, Y)
    plain = NeuralNetClassifier(network.module_, criterion=nn.CrossEntropyLoss).initialize()
    InfluencePruner(FrozenEstimator(plain), damping=1e-2).fit(X, Y)


# Outputs of its own for each row


class Functional(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function, self.head = function, nn.Linear(4, 3)

    def forward(self, X):
        return self.head(self.function(X))


MIXING = {
    "batch norm without statistics": nn.Sequential(
        nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 3)
    ),
    "functional batch norm": Functional(
        lambda x: functional.batch_norm(x, None, None, training=True)
    ),
    "mean of the batch": Functional(lambda x: x - x.mean(dim=0)),
    "softmax over rows": Functional(lambda x: x.softmax(dim=0)),
    "neighbours": Functional(lambda x: x + 0.1 * x.roll(1, 0)),
    "dropout": Functional(lambda x: functional.dropout(x, 0.5)),
    "noise": Functional(lambda x: x + torch.randn_like(x)),
}


@readings
@pytest.mark.parametrize("name", MIXING)
def test_outputs_that_depend_on_other_rows_or_on_chance_are_refused(name, read):
    with pytest.raises(
        UnsupportedNetworkError, match="a row's outputs must not depend on other rows"
    ):
        read(net(MIXING[name]).initialize(), X, Y)


@pytest.mark.parametrize("n_rows", [3, 5, 90])
def test_they_are_refused_however_few_rows_there_are(n_rows):
    network = net(MIXING["functional batch norm"]).initialize()
    with pytest.raises(
        UnsupportedNetworkError, match="a row's outputs must not depend on other rows"
    ):
        read_head(network, X[:n_rows], np.arange(n_rows) % 3)


FINE = {
    "batch norm": nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3)),
    "layer norm": nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 3)),
    "dropout": nn.Sequential(nn.Dropout(), nn.Linear(4, 3)),
    "attention over columns": Functional(lambda x: x * x.softmax(dim=1)),
}


@readings
@pytest.mark.parametrize("name", FINE)
@pytest.mark.parametrize("batch_size", [1, 7, 128])
def test_layers_that_tell_rows_apart_are_read(name, batch_size, read):
    read(net(FINE[name], batch_size=batch_size).initialize(), X, Y)


# Numbers


def diverged(value=np.nan):
    network = net().initialize()
    with torch.no_grad():
        network.module_[0].weight.fill_(value)
    return network


@readings
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_diverged_network_is_said_to_be_one(read, value):
    with pytest.raises(
        ValueError, match="must be finite; .* diverged, or .* Lower its lr, or scale X"
    ):
        read(diverged(value), X, Y)


def test_a_loss_beyond_all_numbers_is_found():
    module = nn.Sequential(nn.Linear(4, 1)).double()
    network = net(module, NeuralNetRegressor, nn.MSELoss).initialize()
    with pytest.raises(ValueError, match="losses must be finite; .* scale X .and y"):
        read_head(network, X, REAL * 1e200)
