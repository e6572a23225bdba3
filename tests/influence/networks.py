"""Small networks in float64, fitted for a few epochs."""

from __future__ import annotations

import numpy as np
import torch
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn


class TwoInputs(nn.Module):
    """A module that takes a dict of arrays, as skorch passes it on."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(2, 3), nn.Linear(2, 3)

    def forward(self, a, b):
        return self.left(a) * torch.tanh(self.right(b))


class Normed(nn.Module):
    """Batch norm, dropout and a convolution before the last layer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 2, 2)
        self.norm = nn.BatchNorm1d(2)
        self.dropout = nn.Dropout(0.5)
        self.last = nn.Linear(6, 3)

    def forward(self, x):
        x = self.dropout(torch.tanh(self.norm(self.conv(x[:, None]))))
        return self.last(x.flatten(1))


class OwnWeights(nn.CrossEntropyLoss):
    """A cross-entropy that weighs the classes itself and takes the plain mean."""

    def forward(self, outputs, target):
        losses = nn.functional.cross_entropy(outputs, target, reduction="none")
        return (self.weight[target] * losses).mean()


class Wrapped(nn.Module):
    """A criterion on class codes that is no subclass of torch's."""

    def __init__(self, criterion):
        super().__init__()
        self.criterion = criterion

    def forward(self, outputs, target):
        return self.criterion(outputs, target)


class ErrorOfSum(nn.Module):
    """The squared error of the sum of the outputs, for one column of targets."""

    def forward(self, outputs, target):
        return (outputs.sum(dim=1, keepdim=True) - target).square().mean()


CLASS_WEIGHT = torch.tensor([0.2, 1.0, 5.0]).double()
# Of three classes, named by what is special about them.
CRITERIA = {
    "class weights": nn.CrossEntropyLoss(CLASS_WEIGHT),
    "own weights": OwnWeights(CLASS_WEIGHT),
    "no subclass": Wrapped(OwnWeights(CLASS_WEIGHT)),
}


def mlp(n_outputs, *tail):
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, n_outputs), *tail)


KINDS = {
    "softmax": (NeuralNetClassifier, lambda: mlp(3), nn.CrossEntropyLoss),
    "probabilities": (NeuralNetClassifier, lambda: mlp(3, nn.Softmax(dim=1)), nn.NLLLoss),
    "binary": (NeuralNetBinaryClassifier, lambda: mlp(1), nn.BCEWithLogitsLoss),
    "regression": (NeuralNetRegressor, lambda: mlp(2), nn.MSELoss),
    "convolution": (NeuralNetClassifier, Normed, nn.CrossEntropyLoss),
}


def fitted(kind, *, n=30, max_epochs=3, dtype=torch.float64, seed=0, **options):
    """Return a fitted network of this kind, its rows and its targets; options replace its own."""
    torch.manual_seed(seed)
    net_class, make_module, criterion = KINDS[kind]
    options = {"criterion": criterion} | options
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4)).astype(str(dtype).split(".")[1])
    if kind == "regression":
        y = rng.standard_normal((n, 2)).astype(X.dtype)
    elif kind == "binary":
        y = rng.integers(2, size=n).astype(X.dtype)
    else:
        y = rng.integers(3, size=n)
    net = net_class(
        make_module().to(dtype),
        max_epochs=max_epochs,
        lr=0.1,
        batch_size=8,
        train_split=None,
        verbose=0,
        **options,
    )
    return net.fit(X, y), X, y
