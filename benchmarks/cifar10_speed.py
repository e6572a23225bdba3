"""The speed protocol: a small convolutional network, trained on CIFAR-10 in a few epochs.

The recipe is that of Jordan ("94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024,
arXiv:2404.00498), written anew from its description: a first convolution that whitens patches and
stays as it is, convolutions that start as the identity, batch normalisation without a scale, label
smoothing, Nesterov momentum, weights averaged by a look-ahead, flips that alternate from one epoch
to the next. On a GPU it computes in float16, on a processor with instructions for it in bfloat16;
parameters are float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .cifar10_images import DEVIATION, MEAN, N_CLASSES, Images
from .cifar10_networks import FAST_BFLOAT16, device

# Size of the whitened patches, images that they are taken from, and what is added to variances.
_PATCH, _N_WHITENED, _ADDED_VARIANCE = 2, 5_000, 5e-4
# Logits are scaled down, so that label smoothing and the learning rate suit each other.
_LOGIT_SCALE = 1 / 9
# Images of one forward pass without gradients.
_READ_AT_ONCE = 2_000


@dataclass(frozen=True)
class Design:
    """A network's architecture: three groups of convolutions, each begun by a pooling.

    widths : channels of each group.
    depth : convolutions in a group.
    kernel : height and width of a convolution.
    pooling : "max" or "mean".
    skips : whether the outputs of all but a group's first convolution are added to their inputs.
    """

    widths: tuple[int, int, int] = (64, 256, 256)
    depth: int = 2
    kernel: int = 3
    pooling: str = "max"
    skips: bool = False


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    lr : peak of the learning rate, for the mean loss of a batch. Divided by ``slowdown``.
    weight_decay : share of a weight that a step at the peak takes away. Divided by ``slowdown``.
    bias_factor : how many times as fast the biases of normalisations learn.
    shift : pixels by which an image is moved at most.
    start, peak_at, end : the learning rate rises linearly from ``start * lr`` to ``lr``, reached
        after this share of the steps, and falls linearly to ``end * lr``.
    whitening_share : share of the steps in which the bias of the whitening layer learns.
    averaged_every : steps from one look-ahead to the next. A training of no more steps than that
        changes nothing.
    averaging : weight of the average in a look-ahead at the end; before, times the cube of the
        share of the steps done.
    """

    batch_size: int = 1024
    lr: float = 11.5
    momentum: float = 0.85
    weight_decay: float = 0.0153
    bias_factor: float = 64.0
    label_smoothing: float = 0.2
    shift: int = 2
    start: float = 0.2
    peak_at: float = 0.23
    end: float = 0.07
    whitening_share: float = 0.3
    averaged_every: int = 5
    averaging: float = 0.95**5

    @property
    def slowdown(self) -> float:
        """How many times as far steps are taken to go with the momentum as without.

        By its author's count; of a constant gradient, it is ``1 / (1 - momentum)`` times.
        """
        return 1 + 1 / (1 - self.momentum)


class Normalisation(nn.BatchNorm2d):
    """Batch normalisation that learns no scale and forgets fast."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=1e-12, momentum=0.4)
        self.weight.requires_grad_(False)


def _identity_convolution(n_in: int, n_out: int, kernel: int) -> nn.Conv2d:
    layer = nn.Conv2d(n_in, n_out, kernel, padding="same", bias=False)
    nn.init.dirac_(layer.weight.data[:n_in])
    return layer


class Group(nn.Module):
    """Convolution, pooling, normalisation, GELU; then more convolutions of the same width."""

    def __init__(self, n_in: int, width: int, design: Design) -> None:
        super().__init__()
        pool = nn.MaxPool2d(2) if design.pooling == "max" else nn.AvgPool2d(2)
        first = _identity_convolution(n_in, width, design.kernel)
        self.first = nn.Sequential(first, pool, Normalisation(width), nn.GELU())
        self.others = nn.ModuleList(
            nn.Sequential(
                _identity_convolution(width, width, design.kernel), Normalisation(width), nn.GELU()
            )
            for _ in range(design.depth - 1)
        )
        self.skips = design.skips

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        X = self.first(X)
        for layer in self.others:
            X = X + layer(X) if self.skips else layer(X)
        return X


class SpeedNet(nn.Module):
    """Whitened patches, three groups of convolutions, each channel's largest value, a Linear."""

    filters: torch.Tensor
    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, design: Design) -> None:
        super().__init__()
        n_whitened = 2 * 3 * _PATCH**2
        self.whitening_bias = nn.Parameter(torch.zeros(n_whitened))
        widths = (n_whitened, *design.widths)
        self.groups = nn.Sequential(
            *(Group(n_in, n_out, design) for n_in, n_out in zip(widths, widths[1:], strict=False))
        )
        self.head = nn.Linear(widths[-1], N_CLASSES, bias=False)
        self.register_buffer("filters", torch.zeros(n_whitened, 3, _PATCH, _PATCH))
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None])

    def normalised(self, X: torch.Tensor) -> torch.Tensor:
        """Return images given as bytes in float32, each colour with mean 0 and variance 1."""
        return (X.float() / 255 - self.mean) / self.deviation

    @torch.no_grad()
    def whiten(self, X: torch.Tensor) -> None:
        """Set the first layer to whiten these images' patches, and to its negative.

        With ``P.T @ P / n = V diag(v) V.T``, where P has a row for each of n patches, the filters
        are the rows of ``diag(v + c)^(-1/2) V.T``. Patches are not centred, since images are.
        """
        patches = F.unfold(self.normalised(X), _PATCH).transpose(1, 2).reshape(-1, 3 * _PATCH**2)
        second_moments = patches.double().T @ patches.double() / len(patches)
        variances, axes = torch.linalg.eigh(second_moments)
        scaled = (axes / torch.sqrt(variances + _ADDED_VARIANCE)).T.float()
        filters = scaled.flip(0).reshape(-1, 3, _PATCH, _PATCH)
        self.filters.copy_(torch.cat([filters, -filters]))

    def features(self, X: torch.Tensor) -> torch.Tensor:
        """Return the inputs of the last layer, of shape (n, width)."""
        X = self.normalised(X).contiguous(memory_format=torch.channels_last)
        X = F.gelu(F.conv2d(X, self.filters, self.whitening_bias))
        return self.groups(X).amax((2, 3))

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(X)) * _LOGIT_SCALE


def hardware() -> str:
    """Name the device that networks are trained on."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    n_threads = torch.get_num_threads()
    return f"{n_threads} thread{'s' if n_threads > 1 else ''}"


def reduced_precision() -> torch.autocast:
    is_cuda = device() == "cuda"
    dtype = torch.float16 if is_cuda else torch.bfloat16
    return torch.autocast(device(), dtype, enabled=is_cuda or FAST_BFLOAT16)


class ImageSet:
    """Images as bytes and labels, on the device."""

    def __init__(self, X: np.ndarray | torch.Tensor, y: np.ndarray | torch.Tensor) -> None:
        self.X = torch.as_tensor(X, device=device())
        self.y = torch.as_tensor(y, dtype=torch.int64, device=device())

    def __len__(self) -> int:
        return len(self.y)

    def rows(self, positions: np.ndarray) -> ImageSet:
        taken = torch.as_tensor(positions, device=self.X.device)
        return ImageSet(self.X[taken], self.y[taken])


def splits(images: Images, *, is_validation: bool) -> tuple[ImageSet, ImageSet]:
    """Return images to train and to test on; for validation, both are training images."""
    if not is_validation:
        return ImageSet(images.X_train, images.y_train), ImageSet(images.X_test, images.y_test)
    n = len(images.y_train) * 4 // 5
    return (
        ImageSet(images.X_train[:n], images.y_train[:n]),
        ImageSet(images.X_train[n:], images.y_train[n:]),
    )


def epochs_of(
    train: ImageSet, shift: int, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield all images again and again: shuffled and moved at random; flipped every other time.

    Half of them, drawn at random, are flipped in the first epoch, the others in the second.
    """
    n, size = len(train), train.X.shape[-1]
    where = train.X.device
    rng = torch.Generator(where).manual_seed(seed)
    padded = F.pad(train.X.float(), (shift,) * 4, mode="reflect").to(torch.uint8)
    is_flipped = torch.rand(n, generator=rng, device=where) < 0.5
    offsets = torch.arange(size, device=where)
    while True:
        order = torch.randperm(n, generator=rng, device=where)
        top, left = torch.randint(0, 2 * shift + 1, (2, n, 1), generator=rng, device=where)
        columns = left + torch.where(is_flipped[:, None], offsets.flip(0), offsets)
        rows = top + offsets
        X = padded[order[:, None, None], :, rows[order][:, :, None], columns[order][:, None, :]]
        yield X.permute(0, 3, 1, 2), train.y[order]
        is_flipped = ~is_flipped


def batches_of(
    train: ImageSet, batch_size: int, shift: int, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield batches without end; what is left of an epoch begins the next one's first batch."""
    held: tuple[torch.Tensor, torch.Tensor] | None = None
    for X, y in epochs_of(train, shift, seed):
        if held is not None:
            X, y = torch.cat([held[0], X]), torch.cat([held[1], y])
        n_whole = len(y) // batch_size * batch_size
        yield from zip(X[:n_whole].split(batch_size), y[:n_whole].split(batch_size), strict=True)
        held = X[n_whole:], y[n_whole:]


@dataclass(frozen=True)
class Trained:
    """A trained network, the seconds that training and watching took, and the number of steps."""

    net: SpeedNet
    seconds: float
    n_steps: int


def train(
    images: ImageSet,
    n_epochs: float,
    seed: int,
    *,
    design: Design = Design(),  # noqa: B008 - immutable
    recipe: Recipe = Recipe(),  # noqa: B008
    watch: Callable[[SpeedNet, float], None] | None = None,
    n_watched: int = 0,
) -> Trained:
    """Train a new network.

    n_epochs : passes over these images, also a fraction.
    watch : called with the network and the learning rate for the mean loss of a batch, after
        ``n_watched`` evenly spaced steps, the last of all included.
    """
    torch.manual_seed(seed)
    where = images.X.device
    net = SpeedNet(design).to(where)
    # Its overload is missing in torch's types.
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    # Trying every way to compute a convolution takes seconds, and pays for one architecture only.
    torch.backends.cudnn.benchmark = design == Design()
    started = _now(where)
    net.whiten(images.X[:_N_WHITENED])
    batch_size = min(recipe.batch_size, len(images))
    n_steps = max(1, round(n_epochs * len(images) / batch_size))
    watched = {-(-n_steps * j // n_watched) for j in range(1, n_watched + 1)}
    optimizer = _optimizer(net, recipe)
    base_rates = [group["lr"] for group in optimizer.param_groups]
    averaged = [tensor.clone() for tensor in _moving(net)]
    batches = batches_of(images, batch_size, recipe.shift, seed)
    for step, (X, y) in zip(range(n_steps), batches, strict=False):
        net.whitening_bias.requires_grad_(step < recipe.whitening_share * n_steps)
        share = _share_of_rate(recipe, step / n_steps)
        for group, rate in zip(optimizer.param_groups, base_rates, strict=True):
            group["lr"] = share * rate
        _step(net, optimizer, X, y, recipe.label_smoothing)
        n_done = step + 1
        if n_done % recipe.averaged_every == 0 or n_done == n_steps:
            _look_ahead(net, averaged, recipe, n_done / n_steps)
        if watch is not None and n_done in watched:
            net.eval()
            watch(net, share * base_rates[0] * batch_size)
            net.train()
    net.eval()
    return Trained(net, _now(where) - started, n_steps)


def _step(
    net: SpeedNet,
    optimizer: torch.optim.SGD,
    X: torch.Tensor,
    y: torch.Tensor,
    label_smoothing: float,
) -> None:
    """Take a step on the sum of the losses."""
    with reduced_precision():
        logits = net(X)
    loss = F.cross_entropy(logits.float(), y, label_smoothing=label_smoothing, reduction="sum")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def _optimizer(net: SpeedNet, recipe: Recipe) -> torch.optim.SGD:
    """Return SGD on the sum of the losses; normalisations' biases learn faster.

    Decay is divided by the rate, since SGD multiplies it by that.
    """
    decay = recipe.weight_decay / recipe.slowdown
    rate = recipe.lr * (1 / recipe.slowdown) / recipe.batch_size
    biases = [p for name, p in net.named_parameters() if p.requires_grad and _is_bias(name)]
    others = [p for name, p in net.named_parameters() if p.requires_grad and not _is_bias(name)]
    fast = rate * recipe.bias_factor
    return torch.optim.SGD(
        [
            {"params": others, "lr": rate, "weight_decay": decay / rate},
            {"params": biases, "lr": fast, "weight_decay": decay / fast},
        ],
        momentum=recipe.momentum,
        nesterov=True,
        fused=net.mean.is_cuda,
    )


def _is_bias(name: str) -> bool:
    return name.startswith("groups") and name.endswith("bias")


def _share_of_rate(recipe: Recipe, done: float) -> float:
    points = (0.0, recipe.peak_at, 1.0)
    return float(np.interp(done, points, (recipe.start, 1.0, recipe.end)))


def _moving(net: SpeedNet) -> list[torch.Tensor]:
    """Return the parameters, and the means and variances of normalisations.

    Constants are among them; an average of equal numbers leaves them as they are.
    """
    return [tensor for tensor in net.state_dict().values() if tensor.is_floating_point()]


@torch.no_grad()
def _look_ahead(net: SpeedNet, averaged: list[torch.Tensor], recipe: Recipe, done: float) -> None:
    """Move the average towards the network, and the network to the average.

    ``average += (1 - averaging done³) (network - average)``, except at the end (``done = 1``), when
    the average stays as it is.
    """
    if done < 1:
        torch._foreach_lerp_(averaged, _moving(net), 1 - recipe.averaging * done**3)
    torch._foreach_copy_(_moving(net), averaged)


def _now(where: torch.device) -> float:
    if where.type == "cuda":
        torch.cuda.synchronize()
    return perf_counter()


@torch.no_grad()
def read(
    net: SpeedNet, X: torch.Tensor, *, mirrored: bool = False
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield features and logits of a batch at a time, float32.

    mirrored : logits are the mean of those of an image and of its mirror image.
    """
    for part in X.split(_READ_AT_ONCE):
        with reduced_precision():
            features = net.features(part)
            logits = net.head(features).float() * _LOGIT_SCALE
            if mirrored:
                logits = (logits + net(part.flip(-1)).float()) / 2
        yield features.float(), logits


def accuracy(net: SpeedNet, images: ImageSet) -> float:
    """Return the share of images that the network names right, each seen with its mirror image."""
    logits = torch.cat([part for _, part in read(net, images.X, mirrored=True)])
    return float((logits.argmax(1) == images.y).double().mean())
