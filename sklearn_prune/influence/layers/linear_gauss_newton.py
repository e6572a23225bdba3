"""The Gauss-Newton matrix of networks whose chosen parameters all belong to Linear layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import combinations_with_replacement

import torch
from torch.func import hessian, vmap

from ..._types import Batch
from ...networks import left_as_found
from .gradients import NetworkGradients, Tensors

# For each Linear, its inputs and outputs: one pair for each call.
Calls = dict[str, list[tuple[torch.Tensor, torch.Tensor]]]


@contextmanager
def calls_noted(module: torch.nn.Module, layers: list[str]) -> Iterator[Calls]:
    """Yield a dict to which hooks on these layers add the input and output of every call."""
    calls: Calls = {}
    modules = dict(module.named_modules())

    def note(name: str) -> Callable[..., None]:
        def hook(
            layer: torch.nn.Module,
            args: tuple[torch.Tensor, ...],
            named: Tensors,
            output: torch.Tensor,
        ) -> None:
            features = args[0] if args else named["input"]
            calls.setdefault(name, []).append((features.detach(), output))

        return hook

    handles = [modules[name].register_forward_hook(note(name), with_kwargs=True) for name in layers]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def gauss_newton(gradients: NetworkGradients) -> torch.Tensor:
    """Return the Gauss-Newton matrix: by blocks of Linear layers if these give the right one.

    Otherwise it is `NetworkGradients.gauss_newton`.
    """
    H = linear_gauss_newton(gradients)
    return H if H is not None and _agrees(gradients, H) else gradients.gauss_newton()


def _agrees(gradients: NetworkGradients, H: torch.Tensor) -> bool:
    """Return whether H is right along a random direction.

    It is not if the module also uses a layer's weight elsewhere.
    """
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(len(H), 1, generator=generator, dtype=torch.float64).to(H.device)
    exact = gradients.gauss_newton_product(v)
    tolerance = torch.finfo(gradients.dtype).eps ** 0.5
    return bool((H @ v - exact).norm() <= tolerance * exact.norm())


def linear_gauss_newton(gradients: NetworkGradients) -> torch.Tensor | None:
    r"""Return ``(1/N) sum_i nu_i J_i^T C_i J_i`` of Linear layers, float64, not damped; or None.

    Let ``a_il`` be row i's input of layer l, with a constant 1 if it has a bias, and ``D_il``
    (n_outputs x h) the derivative of the network's outputs with respect to those of the layer. Then
    ``J_il = D_il (x) a_il^T``, and the block of the layers l and m is

    ``(1/N) sum_i nu_i (D_il^T C_i D_im) (x) (a_il a_im^T)``

    This takes n_outputs times fewer multiplications than products of the ``J_i``, and on the
    diagonal, where both factors are symmetric, four times fewer again.

    Returns None unless the chosen parameters are those of Linear layers that the network calls
    once, on one vector per row.
    """
    blocks = gradients.blocks
    layers = [block.layer for block in blocks if block.layer is not None]
    if len(layers) < len(blocks):
        return None
    pairs = [
        _Pair(gradients, a, b) for a, b in combinations_with_replacement(range(len(blocks)), 2)
    ]
    # The network is locked throughout, or hooks would record the calls of other threads.
    with left_as_found(gradients.net), calls_noted(gradients.net.module_, layers) as calls:

        def moments(x: Batch, rows: slice) -> _Moments | None:
            calls.clear()
            return _moments(gradients, calls, x, rows)

        size = gradients.rows_within(max(pair.numbers_a_row for pair in pairs))
        with closing(gradients.in_chunks(moments, size)) as chunks:
            for _, chunk in chunks:
                if chunk is None:
                    return None
                for pair in pairs:
                    pair.add(chunk)
    return _assembled(pairs, gradients.n_params, gradients.device)


@dataclass(frozen=True)
class _Moments:
    """A chunk of rows, in float64: inputs (m, d) and slopes (m, K, h) by layer, C_i (m, K, K)."""

    inputs: list[torch.Tensor]
    slopes: list[torch.Tensor]
    curvature: torch.Tensor


def _moments(gradients: NetworkGradients, calls: Calls, x: Batch, rows: slice) -> _Moments | None:
    parameters = {n: t.clone().requires_grad_() for n, t in gradients.parameters.items()}
    logits = gradients.outputs(parameters, x)
    by_layer = [calls.get(block.layer or "", []) for block in gradients.blocks]
    if any(len(c) != 1 or c[0][0].ndim != 2 or len(c[0][0]) != len(logits) for c in by_layer):
        return None
    features, outputs = zip(*(layer_calls[0] for layer_calls in by_layer), strict=True)
    slopes = [
        torch.autograd.grad(logits[:, k].sum(), outputs, retain_graph=True, materialize_grads=True)
        for k in range(gradients.n_outputs)
    ]
    C = vmap(hessian(gradients.loss))(logits.detach(), gradients.targets[rows])
    return _Moments(
        [b.with_constant(a.double()) for a, b in zip(features, gradients.blocks, strict=True)],
        [torch.stack(by_output, dim=1).double() for by_output in zip(*slopes, strict=True)],
        (C * gradients.weights[rows, None, None]).double(),
    )


class _Pair:
    """The block of two layers; for a layer with itself, half of each symmetric factor is stored.

    Sums have the shape (n_pairs of outputs, d_l, d_m).
    """

    def __init__(self, gradients: NetworkGradients, first: int, second: int) -> None:
        starts = [0]
        for block in gradients.blocks:
            starts.append(starts[-1] + block.size)
        self.rows, self.columns = (slice(starts[i], starts[i + 1]) for i in (first, second))
        self._first, self._second = first, second
        (self._h, self._d), (self._g, self._c) = (
            gradients.blocks[i].shape for i in (first, second)
        )
        self.is_diagonal = first == second
        n_pairs = self._h * (self._h + 1) // 2 if self.is_diagonal else self._h * self._g
        self._upper = torch.triu_indices(self._h, self._h, device=gradients.device)
        self._sums = torch.zeros(
            n_pairs, self._d, self._c, dtype=torch.float64, device=gradients.device
        )
        self.numbers_a_row = max(self._h * self._g, self._c, gradients.n_outputs**2)

    def add(self, chunk: _Moments) -> None:
        D, E = chunk.slopes[self._first], chunk.slopes[self._second]
        A, B = chunk.inputs[self._first], chunk.inputs[self._second]
        M = D.mT @ (chunk.curvature @ E)
        M = (M[:, self._upper[0], self._upper[1]] if self.is_diagonal else M.flatten(1)).T
        for j in range(self._d):
            start = j if self.is_diagonal else 0
            self._sums[:, j, start:].addmm_(M, A[:, j, None] * B[:, start:])

    def matrix(self) -> torch.Tensor:
        sums = self._sums
        if self.is_diagonal:
            sums = sums.triu() + sums.triu(1).mT
            position = torch.zeros(self._h, self._h, dtype=torch.long, device=sums.device)
            a, b = self._upper
            position[a, b] = position[b, a] = torch.arange(len(sums), device=sums.device)
            sums = sums[position.flatten()]
        by_output = sums.reshape(self._h, self._g, self._d, self._c)
        return by_output.transpose(1, 2).reshape(self._h * self._d, self._g * self._c)


def _assembled(pairs: list[_Pair], n_params: int, device: torch.device) -> torch.Tensor:
    H = torch.empty(n_params, n_params, dtype=torch.float64, device=device)
    for pair in pairs:
        block = pair.matrix()
        H[pair.rows, pair.columns] = block
        if not pair.is_diagonal:
            H[pair.columns, pair.rows] = block.T
    return H
