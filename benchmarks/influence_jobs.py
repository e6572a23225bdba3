"""The jobs of `benchmarks.influence`, and their exact solutions computed by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from skorch import NeuralNetClassifier
from torch import nn
from torch.func import functional_call, grad, jacrev, jvp, vjp, vmap

from sklearn_prune.influence import HeadObjective, NetworkGradients
from sklearn_prune.losses import SoftmaxCrossEntropy

from .data import load

DAMPING = 1e-2
N_GROUPS, GROUP_SHARE = 20, 0.1
# Numbers in one chunk of Jacobians; tangents pushed through a network at a time.
_CHUNK, _TANGENTS = 2**24, 128


@dataclass(frozen=True)
class Job:
    """A trained network, the parameters looked at, and the groups of rows that are dropped.

    groups : ndarray of shape (n_groups, n_samples)
        True where dropped.
    """

    name: str
    net: NeuralNetClassifier
    X: np.ndarray
    y: np.ndarray
    last_layer_only: bool
    groups: np.ndarray

    @property
    def layers(self) -> Any:
        """Patterns of the parameters."""
        return [f"{len(self.net.module_) - 1}.*"] if self.last_layer_only else "all"

    def few_rows(self, n: int = 64) -> Job:
        """The same network on its first rows only, to warm up with."""
        rows = slice(0, n)
        return Job(
            self.name, self.net, self.X[rows], self.y[rows], self.last_layer_only,
            self.groups[:2, rows],
        )  # fmt: skip


def trained(module: nn.Sequential, X: np.ndarray, y: np.ndarray, epochs: int) -> Any:
    net = NeuralNetClassifier(
        module.double(),
        criterion=nn.CrossEntropyLoss,
        lr=0.1,
        max_epochs=epochs,
        batch_size=256,
        train_split=None,
        verbose=0,
    )
    return net.fit(X, y)


def mlp(n_features: int, n_hidden: int, n_outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_features, n_hidden), nn.Tanh(), nn.Linear(n_hidden, n_outputs))


def peer_jobs(quick: bool) -> Iterator[Job]:
    """Yield a logistic head, an MLP's last layer and all its layers, on two sets of rows."""
    split = load("digits", None).subset(200 if quick else None)  # type: ignore[arg-type]
    X, y = split.X_train, split.y_train
    if quick:
        yield from _three("digits", X[:, 20:28], y, n_hidden=4, epochs=2, n_groups=3)
        return
    yield from _three("digits", X, y, n_hidden=32, epochs=50)
    design, y, _ = gaussian_classes(50_000, 64, 10)
    X = design[:, :-1].astype(np.float64)
    yield from _three("50,000 x 64", X, y, n_hidden=16, epochs=5)


def _three(
    name: str, X: np.ndarray, y: np.ndarray, n_hidden: int, epochs: int, n_groups: int = N_GROUPS
) -> Iterator[Job]:
    groups = np.random.default_rng(0).random((n_groups, len(X))) < GROUP_SHARE
    torch.manual_seed(0)
    linear = trained(nn.Sequential(nn.Linear(X.shape[1], 10)), X, y, epochs)
    yield Job(f"{name} head", linear, X, y, True, groups)
    network = trained(mlp(X.shape[1], n_hidden, 10), X, y, epochs)
    yield Job(f"{name} MLP, last layer", network, X, y, True, groups)
    yield Job(f"{name} MLP, all layers", network, X, y, False, groups)


def gaussian_classes(n: int, d: int, n_classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return float32 rows of classes that overlap, with a constant; the classes; their centres."""
    rng = np.random.default_rng(0)
    centres = 0.3 * rng.standard_normal((n_classes, d), dtype=np.float32)
    y = rng.integers(n_classes, size=n)
    design = np.ones((n, d + 1), dtype=np.float32)
    for start in range(0, n, 10_000):
        rows = slice(start, min(start + 10_000, n))
        noise = rng.standard_normal((len(y[rows]), d), dtype=np.float32)
        design[rows, :d] = centres[y[rows]] + noise
    return design, y, centres


def made_up_head(n: int, d: int, n_classes: int) -> tuple[HeadObjective, np.ndarray]:
    """Gaussian classes in float32, and parameters that tell some of them apart."""
    design, y, centres = gaussian_classes(n, d, n_classes)
    theta = np.zeros((n_classes, d + 1))
    theta[:, :d] = 0.1 * centres
    objective = HeadObjective(design, y, SoftmaxCrossEntropy(), 1e-4, n_outputs=n_classes)
    return objective.stationary_at(theta), theta


class ByHand:
    """The network as torch.func sees it, with parameters in the order of `NetworkGradients`."""

    def __init__(self, job: Job) -> None:
        self.X, self.y = torch.as_tensor(job.X), torch.as_tensor(job.y)
        self._module = job.net.module_
        self.layout = NetworkGradients(job.net, job.X[:2], job.y[:2], layers=job.layers)
        self._state = {n: t.detach() for n, t in self._module.named_parameters()}
        self.theta = self.layout.flatten(self.layout.parameters)
        self._groups = torch.as_tensor(job.groups, dtype=torch.float64)

    def logits(self, theta: torch.Tensor, X: torch.Tensor) -> torch.Tensor:
        return functional_call(self._module, self._state | self.layout.unflatten(theta), (X,))

    def row_loss(self, theta: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(self.logits(theta, x[None]), y[None])

    def chunks(self, numbers_a_row: int) -> Iterator[slice]:
        size = max(1, _CHUNK // numbers_a_row)
        return (slice(a, a + size) for a in range(0, len(self.X), size))

    def gradients(self, rows: slice) -> torch.Tensor:
        """Gradients of these rows, not centred, of shape (m, n_params)."""
        each = vmap(grad(self.row_loss), in_dims=(None, 0, 0))
        return each(self.theta, self.X[rows], self.y[rows])

    def group_sums(self) -> torch.Tensor:
        """Sums of centred gradients, of shape (n_params, n_groups)."""
        W = self._groups - self._groups.mean(dim=1, keepdim=True)
        total = torch.zeros(len(self.theta), len(W), dtype=torch.float64)
        for rows in self.chunks(len(self.theta)):
            total += self.gradients(rows).T @ W[:, rows].T
        return total

    def gauss_newton(self) -> torch.Tensor:
        p, total = len(self.theta), torch.zeros(2 * (len(self.theta),), dtype=torch.float64)
        each = vmap(jacrev(lambda t, x: self.logits(t, x[None])[0]), in_dims=(None, 0))
        for rows in self.chunks(10 * p):
            J = each(self.theta, self.X[rows])
            m = self.logits(self.theta, self.X[rows]).softmax(dim=1)
            CJ = m[..., None] * (J - (m[:, None] @ J))
            total += J.flatten(0, 1).T @ CJ.flatten(0, 1)
        return total / len(self.X)

    def hessian(self) -> torch.Tensor:
        """Hessian of the mean loss; on the last layer alone that is the Gauss-Newton matrix."""
        total = torch.zeros(2 * (len(self.theta),), dtype=torch.float64)
        for start in range(0, len(self.X), 2_000):
            X, y = self.X[start : start + 2_000], self.y[start : start + 2_000]

            def loss(theta: torch.Tensor, X: Any = X, y: Any = y) -> torch.Tensor:
                return nn.functional.cross_entropy(self.logits(theta, X), y, reduction="sum")

            def along(v: torch.Tensor, loss: Any = loss) -> torch.Tensor:
                return jvp(grad(loss), (self.theta,), (v,))[1]

            total += vmap(along, chunk_size=_TANGENTS)(torch.eye(len(total), dtype=total.dtype))
        return total / len(self.X)

    def product(self, rows: np.ndarray, V: torch.Tensor) -> torch.Tensor:
        """Mean Gauss-Newton matrix of these rows times V of shape (n_params, k)."""
        X = self.X[rows]
        f = partial(self._logits_of, X)
        logits, pull_back = vjp(f, self.theta)[:2]
        m = logits.softmax(dim=1).detach()

        def one(v: torch.Tensor) -> torch.Tensor:
            u = jvp(f, (self.theta,), (v,))[1]
            return pull_back(m * (u - (m * u).sum(dim=1, keepdim=True)) / len(X))[0]

        return vmap(one)(V.T).T

    def _logits_of(self, X: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        return self.logits(theta, X)

    def solve(self, matrix: torch.Tensor) -> np.ndarray:
        """Changes of shape (n_groups, n_params) for this curvature, which is not damped yet."""
        H = matrix + DAMPING * torch.eye(len(self.theta), dtype=torch.float64)
        return (torch.linalg.solve(H, self.group_sums()) / len(self.X)).T.numpy()


def by_hand(job: Job) -> np.ndarray:
    net = ByHand(job)
    return net.solve(net.gauss_newton())
