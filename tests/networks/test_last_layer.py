import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.helper import SliceDict
from torch import nn

from sklearn_prune import InfluencePruner
from sklearn_prune.networks import UnsupportedNetworkError, fit_network, network_codes, read_head

RNG = np.random.default_rng(0)
X = RNG.standard_normal((50, 4)).astype(np.float32)
CODES = np.arange(50) % 3
BINARY = np.arange(50) % 2
REAL = RNG.standard_normal(50)


class Tail(nn.Module):
    """A hidden layer, a head, and whatever follows it."""

    def __init__(self, n_outputs=3, tail=None, bias=True, hidden=None):
        super().__init__()
        torch.manual_seed(3)
        self.hidden = hidden or nn.Sequential(nn.Linear(4, 5), nn.Tanh())
        self.head = nn.Linear(5, n_outputs, bias=bias)
        self.tail = tail or nn.Identity()

    def forward(self, X):
        return self.tail(self.head(self.hidden(X)))


class Squeezed(Tail):
    def forward(self, X):
        return super().forward(X).squeeze(1)


class Pair(Tail):
    def forward(self, X):
        return super().forward(X), X


class Twice(Tail):
    def forward(self, X):
        return self.head(self.hidden(X) + self.head(self.hidden(X)).sum())


class Sequence(Tail):
    def forward(self, X):
        return self.head(self.hidden(X)[:, None, :])[:, 0]


class Lookup(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.head = nn.Linear(8, 3)

    def forward(self, X):
        return self.head(self.embedding(X).flatten(1))


class Convolution(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv1d(1, 3, 4)

    def forward(self, X):
        return self.layer(X[:, None])[..., 0]


class Counting(Tail):
    """A module that counts its calls in buffers, one in place and one anew."""

    def __init__(self):
        super().__init__()
        self.register_buffer("in_place", torch.zeros(()))
        self.register_buffer("anew", torch.zeros(()))

    def forward(self, X):
        self.in_place += 1
        self.anew = self.anew + 1
        return super().forward(X)


def network(module=Tail, criterion=nn.CrossEntropyLoss, kind=NeuralNetClassifier, **params):
    params = {"max_epochs": 1, "verbose": 0, "train_split": None, "batch_size": 16, **params}
    return kind(module, criterion=criterion, **params)


def ready(*args, **params):
    """Return a network with weights but without training."""
    return network(*args, **params).initialize()


@pytest.fixture(scope="module")
def logits_head():
    return read_head(ready(), X, CODES)


@pytest.mark.parametrize(
    ("kind", "criterion", "tail"),
    [
        (NeuralNetClassifier, nn.CrossEntropyLoss, nn.LogSoftmax(dim=1)),
        (NeuralNetClassifier, nn.NLLLoss, nn.Softmax(dim=1)),
        (NeuralNet, nn.NLLLoss, nn.LogSoftmax(dim=1)),
        (NeuralNet, nn.CrossEntropyLoss, nn.Dropout()),
    ],
)
def test_softmax_inside_and_outside_the_module_give_the_same_head(
    kind, criterion, tail, logits_head
):
    head = read_head(ready(criterion=criterion, kind=kind, module__tail=tail), X, CODES)
    np.testing.assert_array_equal(head.design, logits_head.design)
    np.testing.assert_array_equal(head.theta, logits_head.theta)
    assert head.loss == logits_head.loss


@pytest.mark.parametrize("module", [Tail, Squeezed])
def test_sigmoid_inside_and_outside_the_module_give_the_same_head(module):
    outside = read_head(
        ready(module, nn.BCEWithLogitsLoss, NeuralNetBinaryClassifier, module__n_outputs=1),
        X,
        BINARY,
    )
    inside = read_head(
        ready(
            module,
            nn.BCELoss,
            NeuralNetBinaryClassifier,
            module__n_outputs=1,
            module__tail=nn.Sigmoid(),
        ),
        X,
        BINARY,
    )
    np.testing.assert_array_equal(inside.design, outside.design)
    np.testing.assert_array_equal(inside.theta, outside.theta)
    assert inside.loss == outside.loss
    assert inside.targets.shape == (50, 1)


@pytest.mark.parametrize("bias", [True, False])
def test_head_reproduces_the_networks_output(bias):
    net = ready(module__bias=bias)
    head = read_head(net, X, CODES)
    assert head.has_bias == bias
    assert head.design.shape == (50, 5 + bias)
    assert head.design.dtype == np.float32
    assert head.theta.dtype == np.float64
    np.testing.assert_allclose(head.design @ head.theta.T, net.forward(X), atol=1e-5)


def test_the_first_of_several_outputs_counts(logits_head):
    np.testing.assert_array_equal(read_head(ready(Pair), X, CODES).design, logits_head.design)


def test_double_input_to_a_single_network_is_cast(logits_head):
    head = read_head(ready(), X.astype(np.float64), CODES)
    np.testing.assert_array_equal(head.design, logits_head.design)


def test_csr_equals_dense():
    dense = X * (X > 0.5)
    net = ready()
    expected = read_head(net, dense, CODES).design
    for container in (sparse.csr_matrix, sparse.csr_array):
        np.testing.assert_array_equal(read_head(net, container(dense), CODES).design, expected)


def test_the_networks_own_data_handling_gives_the_same_rows(logits_head):
    def collate(samples):
        return torch.utils.data.default_collate(samples)

    net = ready(iterator_valid__collate_fn=collate)
    np.testing.assert_allclose(read_head(net, X, CODES).design, logits_head.design, atol=1e-6)
    dataset = torch.utils.data.TensorDataset(torch.as_tensor(X), torch.as_tensor(CODES))
    np.testing.assert_allclose(
        read_head(ready(), dataset, CODES).design, logits_head.design, atol=1e-6
    )


def test_integers_reach_an_embedding_as_integers():
    words = RNG.integers(10, size=(50, 2)).astype(np.int32)
    net = fit_network(network(Lookup), words, CODES, random_state=0)
    assert read_head(net, words, CODES).design.shape == (50, 9)


class Named(Tail):
    def forward(self, X):
        return self.head(input=self.hidden(X))


@pytest.mark.parametrize("layers", ["last", "all"])
def test_a_head_that_is_called_by_keyword_is_read(layers, logits_head):
    np.testing.assert_array_equal(read_head(ready(Named), X, CODES).design, logits_head.design)
    options = {"damping": 1e-2, "random_state": 0, "layers": layers}
    found = InfluencePruner(FrozenEstimator(ready(Named)), **options).fit(X, CODES)
    expected = InfluencePruner(FrozenEstimator(ready()), **options).fit(X, CODES)
    np.testing.assert_allclose(found.influence_norms_, expected.influence_norms_, rtol=1e-4)


@pytest.mark.parametrize("layers", ["last", "all", ["hidden.*"]])
@pytest.mark.parametrize("by_skorch", [True, False])
def test_a_compiled_network_is_read_as_it_is_without(by_skorch, layers):
    """By the eager backend, which needs no compiler of C++."""
    compiled = (
        ready(compile=True, compile__backend="eager")
        if by_skorch
        else ready(torch.compile(Tail(), backend="eager"))
    )
    options = {"damping": 1e-2, "random_state": 0, "layers": layers}
    found = InfluencePruner(FrozenEstimator(compiled), **options).fit(X, CODES)
    expected = InfluencePruner(FrozenEstimator(ready()), **options).fit(X, CODES)
    np.testing.assert_array_equal(found.get_support(), expected.get_support())
    assert hasattr(compiled.module_, "_orig_mod")


class TakesSlices(Tail):
    """A module that is given all inputs as one dict."""

    def forward(self, **inputs):
        return super().forward(torch.cat([inputs["a"], inputs["b"]], dim=1))


@pytest.mark.parametrize("layers", ["last", "all"])
def test_a_slice_dict_is_read_as_the_array_of_its_columns(layers):
    options = {"damping": 1e-2, "random_state": 0, "layers": layers}
    if layers == "all":
        # Held beside is what is in a table, and a dict is none.
        options["distribution_weight"] = 0
    rows = SliceDict(a=X[:, :1], b=X[:, 1:])
    found = InfluencePruner(network(TakesSlices, max_epochs=2), **options).fit(rows, CODES)
    expected = InfluencePruner(network(max_epochs=2), **options).fit(X, CODES)
    np.testing.assert_array_equal(found.get_support(), expected.get_support())
    assert isinstance(found.transform(rows), SliceDict)


# What is left alone


def hidden_with_state():
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Dropout())


def test_reading_changes_nothing_in_the_network():
    net = network(module__hidden=hidden_with_state()).fit(X, CODES.astype(np.int64))
    module = net.module_.train()
    module.hidden[2].eval()
    module.hidden[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    flags = [m.training for m in module.modules()]
    grads = [None if p.grad is None else p.grad.clone() for p in module.parameters()]
    rng_state = torch.get_rng_state()
    read_head(net, X, CODES)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert [m.training for m in module.modules()] == flags
    for parameter, grad in zip(module.parameters(), grads, strict=True):
        assert grad is None and parameter.grad is None or torch.equal(parameter.grad, grad)
    assert not module.hidden[0].weight.requires_grad
    assert torch.equal(torch.get_rng_state(), rng_state)
    assert not any(m._forward_hooks for m in module.modules())


def test_buffers_that_a_module_changes_even_in_evaluation_mode_are_put_back():
    net = ready(Counting)
    read_head(net, X, CODES)
    assert net.module_.in_place == 0
    assert net.module_.anew == 0


def test_an_error_leaves_no_hooks_behind():
    net = ready(module__tail=nn.ReLU())
    with pytest.raises(UnsupportedNetworkError):
        read_head(net, X, CODES)
    assert not any(m._forward_hooks for m in net.module_.modules())
    assert net.module_.training


# The codes of a network that is trained already


@pytest.mark.parametrize(
    ("n_outputs", "classes", "codes"),
    [
        (1, [1, 2], [0, 1]),
        (2, [1, 2], [0, 1]),
        (3, [0, 2], [0, 2]),
        (3, [1.0, 2.0], [1, 2]),
        (2, ["a", "b"], [0, 1]),
        (3, [3, 5, 9], [0, 1, 2]),
    ],
)
def test_outputs_are_matched_with_classes(n_outputs, classes, codes):
    positions = np.arange(50) % len(classes)
    found = network_codes(ready(module__n_outputs=n_outputs), X, positions, np.array(classes))
    np.testing.assert_array_equal(found, np.array(codes)[positions])


@pytest.mark.parametrize("classes", [["a", "b"], [2, 3], [-1, 1], [False, True]])
def test_outputs_that_cannot_be_matched_are_refused(classes):
    with pytest.raises(ValueError, match="3 outputs and y has 2 classes, .* codes 0 to 2"):
        network_codes(ready(), X, BINARY, np.array(classes))


# Fitting


def parameters(net):
    return torch.cat([p.detach().ravel() for p in net.module_.parameters()])


def test_an_unfitted_network_is_cloned_and_fitted_on_all_rows():
    estimator = network(train_split=NeuralNetClassifier(Tail).train_split)
    net = fit_network(estimator, X, CODES, random_state=0)
    assert net is not estimator
    assert not estimator.initialized_
    assert net.train_split is None
    assert "valid_loss" not in net.history[-1]


def test_same_seed_same_network_and_the_users_generator_is_left_alone():
    estimator = network(Lookup)
    words = RNG.integers(10, size=(50, 2))
    torch.manual_seed(1)
    first = fit_network(estimator, words, CODES, random_state=5)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    second = fit_network(estimator, words, CODES, random_state=5)
    assert torch.equal(parameters(first), parameters(second))
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(
        parameters(first), parameters(fit_network(estimator, words, CODES, random_state=6))
    )


def test_a_fitted_network_is_refitted_unless_frozen():
    net = network().fit(X, CODES.astype(np.int64))
    before = parameters(net).clone()
    assert fit_network(net, X, CODES, random_state=0) is not net
    assert fit_network(FrozenEstimator(net), X, CODES) is net
    assert torch.equal(parameters(net), before)


def test_a_frozen_network_that_was_never_fitted_is_refused():
    with pytest.raises(NotFittedError):
        fit_network(FrozenEstimator(network()), X, CODES)


@pytest.mark.parametrize(
    ("kind", "criterion", "module", "y"),
    [
        (NeuralNetRegressor, nn.MSELoss, Tail, REAL),
        (NeuralNetRegressor, nn.MSELoss, Squeezed, REAL),
        (NeuralNetRegressor, nn.MSELoss, Squeezed, REAL[:, None]),
        (NeuralNetBinaryClassifier, nn.BCEWithLogitsLoss, Tail, BINARY),
        (NeuralNet, nn.BCEWithLogitsLoss, Tail, BINARY),
        (NeuralNet, nn.BCEWithLogitsLoss, Squeezed, BINARY),
    ],
)
def test_targets_get_the_shape_and_dtype_of_the_output(kind, criterion, module, y, recwarn):
    estimator = network(module, criterion, kind, module__n_outputs=1)
    net = fit_network(estimator, X.astype(np.float64), y, random_state=0)
    assert read_head(net, X, y).targets.shape == (50, 1)
    assert not [w for w in recwarn if "target size" in str(w.message)]


def test_csr_is_fitted_as_dense_is():
    dense = (X * (X > 0.5)).astype(np.float64)
    expected = parameters(fit_network(network(), dense, CODES, random_state=0))
    for container in (sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix):
        net = fit_network(network(), container(dense), CODES, random_state=0)
        torch.testing.assert_close(parameters(net), expected)


def test_several_targets():
    y = RNG.standard_normal((50, 2))
    estimator = network(criterion=nn.MSELoss, kind=NeuralNetRegressor, module__n_outputs=2)
    head = read_head(fit_network(estimator, X, y, random_state=0), X, y)
    np.testing.assert_array_equal(head.targets, y)


def test_a_module_that_a_callback_completes_is_fitted():
    from skorch.callbacks import Callback

    class SetWidth(Callback):
        def on_train_begin(self, net, X=None, y=None, **kwargs):
            net.set_params(module__hidden=nn.Linear(X.shape[1], 5))

    estimator = network(module__hidden=nn.Linear(99, 5), callbacks=[SetWidth()])
    assert read_head(fit_network(estimator, X, CODES, random_state=0), X, CODES).has_bias


# What cannot be read, found before any training


@pytest.mark.parametrize(
    ("estimator", "y", "message"),
    [
        (network(module__tail=nn.ReLU()), CODES, "other layers or operations follow"),
        (network(module__tail=nn.MaxPool1d(3)), CODES, "other layers or operations follow"),
        (network(module__tail=nn.Softmax(dim=1)), CODES, "is given the softmax.*needs its ident"),
        (network(criterion=nn.NLLLoss), CODES, "is given the identity.*needs its softmax"),
        (network(Convolution), CODES, "No torch.nn.Linear was executed.*of Conv1d, Convolution"),
        (network(Twice, module__n_outputs=5), CODES, "called 2 times"),
        (network(Sequence), CODES, r"input of shape \(8, 1, 5\)"),
        (network(), np.arange(50) // 10, "3 outputs for 5 classes"),
        (
            network(criterion=nn.MSELoss, kind=NeuralNetRegressor),
            REAL,
            "3 outputs and y has 1 columns",
        ),
        (network(criterion__ignore_index=2), CODES, "ignores the class 2 of 16 rows"),
        (
            network(Tail, nn.BCEWithLogitsLoss, NeuralNet, module__n_outputs=1),
            BINARY + 1,
            "targets from 0 to 1; 25 values of y are outside, the first is 2",
        ),
        (network(iterator_valid__shuffle=True), CODES, "shuffles the rows"),
        (LogisticRegression(), CODES, "a LogisticRegression; a skorch NeuralNet is needed"),
    ],
)
def test_what_cannot_be_read_is_refused_before_training(estimator, y, message, monkeypatch):
    monkeypatch.setattr(NeuralNet, "fit_loop", None)
    with pytest.raises(UnsupportedNetworkError, match=message):
        fit_network(estimator, X, y, random_state=0)


def test_an_iterator_that_leaves_rows_out_is_refused():
    with pytest.raises(UnsupportedNetworkError, match="gave 48 of 50 rows"):
        read_head(ready(iterator_valid__drop_last=True), X, CODES)


def test_a_last_layer_that_depends_on_the_batch_is_refused():
    class Switching(Tail):
        def __init__(self):
            super().__init__()
            self.other = nn.Linear(5, 3)

        def forward(self, X):
            return (self.head if len(X) == 16 else self.other)(self.hidden(X))

    with pytest.raises(UnsupportedNetworkError, match="Different batches end in different"):
        read_head(ready(Switching), X, CODES)


def test_what_is_no_array_of_numbers_is_left_to_skorch():
    class Named(Tail):
        def forward(self, a):
            return super().forward(a)

    head = read_head(ready(Named), {"a": X}, CODES)
    assert head.design.shape == (50, 6)
