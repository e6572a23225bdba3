import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn
from torch.nn import functional

from sklearn_prune.influence import NetworkGradients
from sklearn_prune.networks import UnsupportedNetworkError, read_head
from tests.influence.networks import CRITERIA, KINDS, ErrorOfSum, TwoInputs, fitted, mlp

each_kind = pytest.mark.parametrize("kind", sorted(KINDS))


def torch_loss(kind, logits, target):
    """Return the loss of one row of logits, in torch's own words."""
    if kind == "binary":
        return functional.binary_cross_entropy_with_logits(
            logits[0], torch.tensor(target, dtype=logits.dtype)
        )
    if kind == "regression":
        return functional.mse_loss(logits, torch.as_tensor(target))
    return functional.cross_entropy(logits, torch.tensor(target))


def row_logits(net, kind, x):
    module = net.module_[:-1] if kind == "probabilities" else net.module_
    return module(torch.as_tensor(x)[None])[0]


def autograd_rows(net, kind, X, y, gradients):
    """Return gradients and Jacobians of every row, by a loop over rows and outputs."""
    net.module_.eval()
    named = dict(net.module_.named_parameters())
    order = [name for block in gradients.blocks for name in block.names]

    def flat(scalar):
        found = torch.autograd.grad(scalar, [named[n] for n in order], retain_graph=True)
        return gradients.flatten(dict(zip(order, found, strict=True))).numpy()

    G, J, C = [], [], []
    for x, target in zip(X, y, strict=True):
        logits = row_logits(net, kind, x)
        G.append(flat(torch_loss(kind, logits, target)))
        J.append([flat(f) for f in logits])
        hessian = torch.autograd.functional.hessian(
            lambda z, t=target: torch_loss(kind, z, t), logits.detach()
        )
        C.append(hessian.numpy())
    return np.array(G), np.array(J), np.array(C)


@each_kind
def test_gradients_and_gauss_newton_are_those_of_a_loop_over_rows(kind):
    net, X, y = fitted(kind)
    weights = np.random.default_rng(1).uniform(0.5, 2, len(X))
    # A budget of a few rows: chunks end inside batches.
    gradients = NetworkGradients(net, X, y, sample_weight=weights, memory_budget=4096)
    G, J, C = autograd_rows(net, kind, X, y, gradients)
    rows = list(gradients.per_sample())
    assert len(rows) > 3
    np.testing.assert_allclose(np.concatenate([g for _, g in rows]), G, atol=1e-12)
    assert [r.start for r, _ in rows] == list(np.cumsum([0] + [len(g) for _, g in rows])[:-1])
    W, V = np.random.default_rng(2).standard_normal((2, len(X) + G.shape[1], 3))
    W, V = torch.as_tensor(W[: len(X)]), torch.as_tensor(V[: G.shape[1]])
    np.testing.assert_allclose(gradients.weighted_sum(W), G.T @ W.numpy(), atol=1e-11)
    H = np.einsum("n,nkp,nkl,nlq->pq", weights / weights.sum(), J, C, J)
    np.testing.assert_allclose(gradients.gauss_newton(), H, atol=1e-12)
    np.testing.assert_allclose(gradients.gauss_newton_product(V), H @ V.numpy(), atol=1e-11)
    kept = torch.as_tensor((np.arange(len(X)) < 10) / 10)
    first = np.einsum("nkp,nkl,nlq->pq", J[:10], C[:10], J[:10]) / 10
    product = gradients.gauss_newton_product(V, kept)
    np.testing.assert_allclose(product, first @ V.numpy(), atol=1e-11)


@each_kind
def test_losses_are_those_of_skorch(kind):
    net, X, y = fitted(kind)
    losses = NetworkGradients(net, X, y).losses()
    net.module_.eval()
    with torch.no_grad():
        expected = [
            float(torch_loss(kind, row_logits(net, kind, x), t)) for x, t in zip(X, y, strict=True)
        ]
    np.testing.assert_allclose(losses, expected, rtol=1e-10)


def test_of_squared_error_on_a_linear_network_gauss_newton_is_the_hessian():
    net, X, y = fitted("regression")
    gradients = NetworkGradients(net, X, y, layers=["2.*"])
    hidden = torch.tanh(net.module_[0](torch.as_tensor(X))).detach()

    def mean_loss(theta):
        theta = theta.reshape(2, 6)
        return functional.mse_loss(hidden @ theta[:, :-1].T + theta[:, -1], torch.as_tensor(y))

    theta = gradients.flatten(gradients.parameters)
    expected = torch.autograd.functional.hessian(mean_loss, theta)
    np.testing.assert_allclose(gradients.gauss_newton(), expected, atol=1e-12)


def test_a_vector_comes_apart_into_tensors_and_back():
    net, X, y = fitted("convolution")
    gradients = NetworkGradients(net, X, y)
    vectors = torch.randn(3, gradients.n_params, dtype=torch.float64)
    tensors = gradients.unflatten(vectors)
    assert {n: t.shape[1:] for n, t in tensors.items()} == {
        n: p.shape for n, p in net.module_.named_parameters()
    }
    np.testing.assert_array_equal(gradients.flatten(tensors, 1), vectors)


def test_class_weights_are_weights_of_the_rows():
    net, X, y = fitted("softmax", criterion__weight=torch.tensor([1.0, 2.0, 4.0]).double())
    gradients = NetworkGradients(net, X, y)
    np.testing.assert_array_equal(gradients.sample_weight, np.array([1.0, 2.0, 4.0])[y])
    parameters = list(net.module_.parameters())
    loss = net.criterion_(net.module_(torch.as_tensor(X)), torch.as_tensor(y))
    expected = torch.autograd.grad(loss, parameters)
    names = [name for name, _ in net.module_.named_parameters()]
    total = gradients.weighted_sum(torch.as_tensor(gradients.sample_weight)[:, None])[:, 0]
    np.testing.assert_allclose(
        total / gradients.weight_sum,
        gradients.flatten(dict(zip(names, expected, strict=True))),
        atol=1e-12,
    )


@pytest.mark.parametrize("criterion", CRITERIA.values(), ids=CRITERIA)
def test_rows_are_weighed_as_in_the_loss_that_is_trained(criterion):
    net, X, y = fitted("softmax", criterion=criterion)
    gradients = NetworkGradients(net, X, y)
    X, y, parameters = torch.as_tensor(X), torch.as_tensor(y), dict(net.module_.named_parameters())

    def autograd(rows):
        loss = criterion(net.module_(X[rows]), y[rows])
        slopes = torch.autograd.grad(loss, list(parameters.values()))
        return gradients.flatten(dict(zip(parameters, slopes, strict=True)))

    G = torch.cat([g for _, g in gradients.per_sample()])
    expected = torch.stack([autograd(slice(i, i + 1)) for i in range(len(y))])
    np.testing.assert_allclose(G, expected, atol=1e-12)
    weights = torch.as_tensor(gradients.sample_weight)
    np.testing.assert_allclose(weights @ G / weights.sum(), autograd(slice(None)), atol=1e-12)


def test_a_criterion_may_take_fewer_columns_than_outputs():
    net, X, y = fitted("regression")
    y = y[:, :1]
    net.set_params(criterion=ErrorOfSum())
    losses = NetworkGradients(net, X, y).losses()
    expected = (net.predict(X).sum(axis=1) - y[:, 0]) ** 2
    np.testing.assert_allclose(losses, expected, rtol=1e-10)
    np.testing.assert_allclose(losses, read_head(net, X, y).losses(), rtol=1e-10)


def test_a_dict_of_arrays_is_read():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    X = {"a": rng.standard_normal((12, 2)), "b": rng.standard_normal((12, 2))}
    y = rng.integers(3, size=12)
    net = NeuralNetClassifier(
        TwoInputs().double(), criterion=nn.CrossEntropyLoss, train_split=None, verbose=0
    ).fit(X, y)
    gradients = NetworkGradients(net, X, y, memory_budget=4096)
    G = torch.cat([g for _, g in gradients.per_sample()])
    total = gradients.weighted_sum(torch.ones(12, 1, dtype=torch.float64))[:, 0]
    np.testing.assert_allclose(G.sum(dim=0), total, atol=1e-12)
    assert G.shape == (12, 18)


def test_the_network_is_left_as_it_was():
    net, X, y = fitted("convolution")
    net.module_.train()
    before = {k: v.clone() for k, v in net.module_.state_dict().items()}
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    gradients = NetworkGradients(net, X, y)
    list(gradients.per_sample())
    gradients.gauss_newton_product(torch.ones(gradients.n_params, 1, dtype=torch.float64))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(before[k], v) for k, v in net.module_.state_dict().items())
    assert net.module_.training and net.module_.norm.training
    assert all(p.requires_grad for p in net.module_.parameters())


def test_half_precision_is_computed_in_single():
    net, X, y = fitted("softmax", dtype=torch.float32)
    expected = torch.cat([g for _, g in NetworkGradients(net, X, y).per_sample()])
    net.module_.bfloat16()
    gradients = NetworkGradients(net, X, y)
    found = torch.cat([g for _, g in gradients.per_sample()])
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert next(net.module_.parameters()).dtype == torch.bfloat16


class TestOutOfMemory:
    @staticmethod
    def scarce(gradients, monkeypatch, limit):
        """Let every chunk of more than `limit` rows fail as on a full GPU."""
        loss, tried = gradients.outputs, []

        def outputs(parameters, x):
            tried.append(len(x))
            if len(x) > limit:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
            return loss(parameters, x)

        monkeypatch.setattr(gradients, "outputs", outputs)
        return tried

    def test_the_chunk_is_halved_until_it_fits(self, monkeypatch, capsys):
        net, X, y = fitted("softmax")
        gradients = NetworkGradients(net, X, y, verbose=1)
        W = torch.ones(len(X), 1, dtype=torch.float64)
        expected = gradients.weighted_sum(W)
        tried = self.scarce(gradients, monkeypatch, 8)
        np.testing.assert_allclose(gradients.weighted_sum(W), expected, atol=1e-12)
        assert tried[:3] == [30, 15, 7]
        tried.clear()
        gradients.weighted_sum(W)
        assert max(tried) == 7
        assert "out of GPU memory at 30 rows; continuing with 15" in capsys.readouterr().out

    def test_a_single_row_that_does_not_fit_is_an_error_with_remedies(self, monkeypatch):
        net, X, y = fitted("softmax")
        gradients = NetworkGradients(net, X, y)
        self.scarce(gradients, monkeypatch, 0)
        with pytest.raises(MemoryError, match="43 parameters; choose fewer layers.*'cpu'"):
            gradients.losses()


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x):
        return self.linear(x) if x.max().item() < 1e9 else -self.linear(x)


def untrained(module):
    net = NeuralNetClassifier(
        module.double(), criterion=nn.CrossEntropyLoss, train_split=None, verbose=0
    ).initialize()
    return net, np.random.default_rng(0).standard_normal((10, 4)), np.arange(10) % 3


def test_what_cannot_be_vmapped_is_refused_with_a_remedy_that_helps():
    net, X, y = untrained(Branching())
    with pytest.raises(UnsupportedNetworkError, match="layers='last'"):
        list(NetworkGradients(net, X, y).per_sample())
    assert read_head(net, X, y).design.shape == (10, 5)


def test_an_interrupt_within_torchscript_is_one(monkeypatch):
    def forward(self, x):
        # So says TorchScript if a KeyboardInterrupt passes through it.
        raise RuntimeError(
            "The following operation failed in the TorchScript interpreter.\n"
            "Traceback of TorchScript (most recent call last):\n"
            "RuntimeError: KeyboardInterrupt: <EMPTY MESSAGE>"
        )

    gradients = NetworkGradients(*fitted("softmax"))
    monkeypatch.setattr(nn.Linear, "forward", forward)
    with pytest.raises(KeyboardInterrupt):
        list(gradients.per_sample())


def test_batch_statistics_are_refused_with_a_remedy_that_helps():
    module = nn.Sequential(nn.BatchNorm1d(4, track_running_stats=False), mlp(3))
    with pytest.raises(UnsupportedNetworkError, match="track_running_stats=True") as refused:
        NetworkGradients(*untrained(module))
    assert "layers='last'" not in str(refused.value)


def test_a_loss_that_depends_on_the_number_of_rows_is_refused():
    net, X, y = fitted("softmax", criterion__reduction="sum")
    with pytest.raises(UnsupportedNetworkError, match="reduction='mean'; it is 'sum'. Set"):
        NetworkGradients(net, X, y)


def test_outputs_that_do_not_match_the_target_are_refused():
    net, X, y = fitted("regression")
    with pytest.raises(UnsupportedNetworkError, match="2 outputs and y has 1 columns"):
        NetworkGradients(net, X, y[:, 0])
