"""Modules with a hidden layer and a head, networks of them, and rows to read."""

import numpy as np
import torch
from skorch import NeuralNetClassifier
from torch import nn

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
