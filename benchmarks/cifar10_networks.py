"""Convolutional networks for 32 x 32 images, and how they are trained.

ResNet (He et al. 2016) in its usual form for CIFAR-10: a 3 x 3 convolution first, four stages of
64 to 512 channels, an average, a Linear. The others are for what a kept set is worth to a network
that did not choose it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, LRScheduler
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from .cifar10_images import DEVIATION, MEAN, N_CLASSES, Images

Batch = tuple[torch.Tensor, torch.Tensor]

# A crop moves an image by at most this many pixels.
PADDING = 4
# Without such instructions a processor takes longer for bfloat16 than for float32.
FAST_BFLOAT16 = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()


def _conv(n_in: int, n_out: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(n_in, n_out, size, stride, padding=size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(n_out))


class Residual(nn.Module):
    """``after(x + body(x))``, x projected where the shapes differ."""

    def __init__(
        self, body: nn.Module, n_in: int, n_out: int, stride: int, after: nn.Module
    ) -> None:
        super().__init__()
        self.body, self.after = body, after
        same = n_in == n_out and stride == 1
        self.shortcut = nn.Identity() if same else _conv(n_in, n_out, 1, stride)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.after(self.shortcut(X) + self.body(X))


def _basic(n_in: int, width: int, stride: int) -> Residual:
    body = nn.Sequential(_conv(n_in, width, stride=stride), nn.ReLU(), _conv(width, width))
    return Residual(body, n_in, width, stride, nn.ReLU())


def _bottleneck(n_in: int, width: int, stride: int) -> Residual:
    body = nn.Sequential(
        _conv(n_in, width, 1),
        nn.ReLU(),
        _conv(width, width, stride=stride),
        nn.ReLU(),
        _conv(width, 4 * width, 1),
    )
    return Residual(body, n_in, 4 * width, stride, nn.ReLU())


class Classifier(nn.Module):
    """Normalise images given as bytes, extract features, and end in a Linear.

    On a GPU, and on a processor with instructions for it, the features are computed in bfloat16;
    the Linear in float32.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, features: nn.Module, n_features: int) -> None:
        super().__init__()
        self.features = features
        self.head = nn.Linear(n_features, N_CLASSES)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None])

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        X = (X.to(self.mean.dtype) / 255 - self.mean) / self.deviation
        with torch.autocast(X.device.type, torch.bfloat16, enabled=X.is_cuda or FAST_BFLOAT16):
            features = self.features(X.contiguous(memory_format=torch.channels_last))
        return self.head(features.float().mean((2, 3)))


def resnet18() -> Classifier:
    return _resnet(_basic, (2, 2, 2, 2), 1)


def resnet50() -> Classifier:
    return _resnet(_bottleneck, (3, 4, 6, 3), 4)


def _resnet(
    block: Callable[[int, int, int], Residual], depths: tuple[int, ...], expansion: int
) -> Classifier:
    layers: list[nn.Module] = [_conv(3, 64), nn.ReLU()]
    n_in = 64
    for stage, depth in enumerate(depths):
        width = 64 * 2**stage
        for position in range(depth):
            layers.append(block(n_in, width, 2 if stage and position == 0 else 1))
            n_in = width * expansion
    return Classifier(nn.Sequential(*layers), n_in)


def vgg11() -> Classifier:
    return _plain(64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512)


def small() -> Classifier:
    """Four convolutions, which a processor trains on 5,000 images in about a minute."""
    return _plain(32, 0, 64, 0, 128, 0, 128)


def _plain(*widths: int) -> Classifier:
    """Convolutions of these widths; 0 is a pooling."""
    layers: list[nn.Module] = []
    n_in = 3
    for width in widths:
        layers += [_conv(n_in, width), nn.ReLU()] if width else [nn.MaxPool2d(2)]
        n_in = width or n_in
    return Classifier(nn.Sequential(*layers), n_in)


def convmixer() -> Classifier:
    """ConvMixer-256/8 with patches of 2 (Trockman and Kolter 2022)."""
    width = 256
    layers: list[nn.Module] = [nn.Conv2d(3, width, 2, 2), nn.GELU(), nn.BatchNorm2d(width)]
    for _ in range(8):
        spatial = nn.Sequential(
            nn.Conv2d(width, width, 5, padding=2, groups=width), nn.GELU(), nn.BatchNorm2d(width)
        )
        layers += [Residual(spatial, width, width, 1, nn.Identity())]
        layers += [nn.Conv2d(width, width, 1), nn.GELU(), nn.BatchNorm2d(width)]
    return Classifier(nn.Sequential(*layers), width)


def tiny() -> Classifier:
    """Three convolutions, for trials on a processor."""
    layers = [_conv(3, 8, stride=2), nn.ReLU(), _conv(8, 16, stride=2), nn.ReLU(), _conv(16, 16)]
    return Classifier(nn.Sequential(*layers), 16)


ARCHITECTURES: dict[str, Callable[[], Classifier]] = {
    f.__name__: f for f in (resnet18, resnet50, vgg11, convmixer, small, tiny)
}


@dataclass(frozen=True)
class Protocol:
    """How a network is trained: SGD with Nesterov momentum 0.9.

    n_epochs : on all images.
    schedule : "cosine", from lr down to zero, or "one-cycle", up to lr and down again.
    kept_epochs : on the images that a pruner kept; None is as many as on all.
    test_every : epochs from one test to the next. The last epoch always ends in one.
    """

    n_epochs: int
    lr: float
    weight_decay: float
    batch_size: int
    schedule: str
    kept_epochs: int | None = None
    test_every: int = 1

    def epochs(self, is_pruned: bool) -> int:
        return self.kept_epochs or self.n_epochs if is_pruned else self.n_epochs


PROTOCOLS = {
    # He et al. and what the pruning literature reports.
    "literature": Protocol(200, 0.1, 5e-4, 128, "cosine"),
    "fast": Protocol(30, 0.4, 5e-4, 512, "one-cycle"),
    # For a processor and the network `small`. Few images take few steps an epoch, so they get more.
    "cpu": Protocol(12, 0.3, 5e-4, 64, "one-cycle", kept_epochs=20, test_every=10),
}


class DeviceImages(Dataset[Batch]):
    """Images as bytes and labels, on the device; a batch is taken from them at once."""

    def __init__(self, X: np.ndarray, y: np.ndarray | None = None) -> None:
        self.X = torch.as_tensor(X, device=device())
        self.y = torch.as_tensor(np.zeros(len(X), np.int64) if y is None else y, device=device())

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, position: int) -> Batch:
        return self.X[position], self.y[position]

    def __getitems__(self, positions: list[int]) -> Batch:
        taken = torch.tensor(positions, device=self.X.device)
        return self.X[taken], self.y[taken]


def unchanged(batch: Batch) -> Batch:
    """Return a batch of DeviceImages as it is."""
    return batch


def augmented(batch: Batch) -> Batch:
    """Crop and flip each image of a batch of DeviceImages at random."""
    X, y = batch
    n, size = len(X), X.shape[-1]
    X = F.pad(X, (PADDING,) * 4)
    top, left = torch.randint(0, 2 * PADDING + 1, (2, n, 1))
    rows = top + torch.arange(size)
    columns = left + torch.arange(size)
    flipped = torch.rand(n, 1) < 0.5
    columns = torch.where(flipped, columns.flip(1), columns)
    image, row, column = (
        part.to(X.device) for part in (torch.arange(n)[:, None, None], rows[:, :, None], columns)
    )
    return X[image, :, row, column[:, None, :]].permute(0, 3, 1, 2), y


def _unseen() -> AbstractContextManager[None]:
    """Put torch's random state back: a DataLoader draws from it, even one that shuffles nothing."""
    return torch.random.fork_rng(devices=[])


class TestScore(Callback):
    """Accuracy on the test images, and seconds of training until then, after every so many epochs.

    What other callbacks do at the end of an epoch takes no time if they come after this one.
    """

    __test__ = False

    def __init__(self, X: np.ndarray, y: np.ndarray, every: int = 1) -> None:
        self.X, self.y, self.every = X, y, every
        self.accuracies: list[float] = []
        self.seconds: list[float] = []

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self._spent = 0.0

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        self._started = perf_counter()

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self._spent += perf_counter() - self._started
        n_done = len(net.history)
        if n_done % self.every and n_done < net.max_epochs:
            return
        with _unseen():
            self.accuracies.append(float(np.mean(net.predict(self.X) == self.y)))
        self.seconds.append(self._spent)


class Watch(Callback):
    """Record a network's predictions during training, and copies of it at given epochs.

    Read with the parameters of the end of an epoch for all images, as they are: iterator_valid
    does not augment.

    Attributes
    ----------
    probability : of its own class for each image, float32 of shape (n_epochs, n_images).
    margin : what it is ahead of the likeliest other class, as large.
    states : the module's state at the given epochs, counted from 1.
    """

    def __init__(self, X: np.ndarray, y: np.ndarray, epochs: Collection[int]) -> None:
        self.X, self.y, self.epochs = X, y, epochs
        self.states: list[dict[str, torch.Tensor]] = []
        self._probability: list[np.ndarray] = []
        self._margin: list[np.ndarray] = []

    @property
    def probability(self) -> np.ndarray:
        return np.array(self._probability)

    @property
    def margin(self) -> np.ndarray:
        return np.array(self._margin)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        with _unseen():
            p = net.predict_proba(self.X)
        rows = np.arange(len(p))
        own = p[rows, self.y]
        p[rows, self.y] = -1
        self._probability.append(own)
        self._margin.append(own - p.max(axis=1))
        if len(net.history) in self.epochs:
            state = net.module_.state_dict()
            self.states.append({name: tensor.cpu().clone() for name, tensor in state.items()})


def classifier(
    architecture: str,
    protocol: Protocol,
    n_rows: int,
    n_epochs: int,
    *,
    callbacks: list[Any] | None = None,
    device: str = "cpu",
) -> NeuralNetClassifier:
    """Return a skorch network to be fitted on ``n_rows`` images, bytes of shape (n, 3, 32, 32)."""
    batch_size = min(protocol.batch_size, n_rows)
    n_steps = n_epochs * -(-n_rows // batch_size)
    if protocol.schedule == "cosine":
        schedule = LRScheduler(
            torch.optim.lr_scheduler.CosineAnnealingLR, T_max=n_steps, step_every="batch"
        )
    else:
        schedule = LRScheduler(
            torch.optim.lr_scheduler.OneCycleLR,
            max_lr=protocol.lr,
            total_steps=n_steps + 1,
            step_every="batch",
        )
    return NeuralNetClassifier(
        ARCHITECTURES[architecture],
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        lr=protocol.lr,
        optimizer__momentum=0.9,
        optimizer__nesterov=True,
        optimizer__weight_decay=protocol.weight_decay,
        max_epochs=n_epochs,
        batch_size=batch_size,
        dataset=DeviceImages,
        iterator_train__shuffle=True,
        iterator_train__collate_fn=augmented,
        iterator_valid__collate_fn=unchanged,
        iterator_valid__batch_size=1000,
        train_split=None,
        callbacks=[schedule, *(callbacks or [])],
        classes=list(range(N_CLASSES)),
        device=device,
        verbose=0,
    )


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def train(
    images: Images,
    rows: np.ndarray,
    architecture: str,
    protocol: Protocol,
    seed: int,
    *others: Callback,
) -> TestScore:
    """Train a new network on these training images and return how it did on the test images."""
    torch.manual_seed(seed)
    n_epochs = protocol.epochs(is_pruned=len(rows) < len(images.y_train))
    test = TestScore(images.X_test, images.y_test, protocol.test_every)
    callbacks = [(type(callback).__name__, callback) for callback in (test, *others)]
    net = classifier(
        architecture, protocol, len(rows), n_epochs, callbacks=callbacks, device=device()
    )
    net.fit(images.X_train[rows], images.y_train[rows])
    return test
