import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier
from skorch.helper import SliceDict
from torch import nn

from sklearn_prune import InfluencePruner
from sklearn_prune.networks import UnsupportedNetworkError, fit_network, network_codes, read_head
from tests.networks.modules import (
    BINARY,
    CODES,
    RNG,
    Counting,
    Lookup,
    Pair,
    Squeezed,
    Tail,
    X,
    network,
    ready,
)


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
