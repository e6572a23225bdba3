"""Networks whose predictions after each epoch are written down beforehand."""

from __future__ import annotations

import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback


class Script(Callback):
    """Overwrites the weights at the end of each epoch, before anything else reads them."""

    def __init__(self, weights):
        self.weights = weights

    def on_epoch_end(self, net, **kwargs):
        weight = self.weights[len(net.history) - 1]
        with torch.no_grad():
            net.module_.weight.copy_(torch.as_tensor(weight))


def scripted(p_own, y, **options):
    """Return (net, X, y): after epoch t, row i's own class of two has probability p_own[t][i].

    Row i is the i-th unit vector, so that column i of the weight is what the network says of it.
    """
    p_own, y = np.asarray(p_own), np.asarray(y)
    logits = np.log(p_own / (1 - p_own))
    weights = np.zeros((len(p_own), 2, len(y)))
    weights[:, y, np.arange(len(y))] = logits
    module = torch.nn.Linear(len(y), 2, bias=False).double()
    settings = {"max_epochs": len(p_own), "lr": 0.5, "batch_size": 2, "verbose": 0, **options}
    net = NeuralNetClassifier(
        module, criterion=torch.nn.CrossEntropyLoss, callbacks=[Script(weights)], **settings
    )
    return net, np.eye(len(y)), y


def kept(pruner, X, y):
    return pruner.fit(X, y).get_support(indices=True).tolist()
