"""The curvature of a whole network: dense, or a Kronecker product for each layer."""

from __future__ import annotations

from contextlib import closing

import torch
from torch.func import grad, hessian, vmap

from ..._types import Batch
from ...networks import left_as_found
from ..curvature.dense import DenseCurvature
from ..curvature.kronecker import KroneckerCurvature
from ..protocols import Norm
from .gradients import NetworkGradients, Tensors
from .linear_gauss_newton import calls_noted, gauss_newton
from .parameters import Block


class DenseNetworkCurvature:
    """Cholesky factor of the damped Gauss-Newton matrix, on the network's device.

    Parameters
    ----------
    gradients : NetworkGradients
        The network.
    damping : float
        Added to the diagonal.
    """

    def __init__(self, gradients: NetworkGradients, damping: float) -> None:
        H = gauss_newton(gradients)
        H.diagonal().add_(damping)
        self._factor = torch.as_tensor(DenseCurvature(H.cpu().numpy()).factor).to(gradients.device)
        self._factors = {
            dtype: self._factor.to(dtype) for dtype in {torch.float64, gradients.dtype}
        }

    def solve(self, B: torch.Tensor) -> torch.Tensor:
        """Return ``H^-1 B`` for B of shape (n_params,) or (n_params, k)."""
        columns = B.reshape(len(B), -1)
        return torch.cholesky_solve(columns, self._factors[B.dtype]).reshape(B.shape)

    def coordinates(self, rows: torch.Tensor, norm: Norm) -> torch.Tensor:
        """Return ``L^-1 g_i`` or ``H^-1 g_i`` for gradients of shape (m, n_params)."""
        if norm == "parameter":
            return self.solve(rows.T).T
        return torch.linalg.solve_triangular(self._factors[rows.dtype], rows.T, upper=False).T

    def quadratic_form(self, delta: torch.Tensor) -> float:
        """Return ``delta^T H delta`` for delta of shape (n_params,), float64."""
        return float(((self._factor.T @ delta) ** 2).sum())


class DiagonalCurvature:
    """A diagonal matrix, with the methods of `KroneckerCurvature`.

    Parameters
    ----------
    spectrum : torch.Tensor of shape (n_params,)
        The diagonal, float64.
    """

    def __init__(self, spectrum: torch.Tensor) -> None:
        self.spectrum = spectrum

    def rotate(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the rows: the eigenvectors are the axes."""
        return rows

    def solve(self, B: torch.Tensor) -> torch.Tensor:
        """Return ``H^-1 B`` for B of shape (n_params,) or (n_params, k)."""
        return (B.T / self.spectrum).T


class LayerCurvature:
    """A Kronecker product for each Linear or convolution, a diagonal for all else; damped.

    For a Linear it is ``S (x) A``, with S the second moments of the loss's derivative with respect
    to its outputs (for pseudo-labels drawn from the model) and A those of its inputs (Martens &
    Grosse 2015). For a convolution it is the same for its patches, as if these were independent
    (Grosse & Martens 2016). It ranks rows and preconditions conjugate gradients; changes are not
    measured with it.

    Parameters
    ----------
    gradients : NetworkGradients
        The network.
    damping : float
        Added to every eigenvalue.
    random_state : int, default=0
        Seeds the pseudo-labels.

    Attributes
    ----------
    parts : list of KroneckerCurvature or DiagonalCurvature
        The curvature of each block of parameters.
    """

    def __init__(self, gradients: NetworkGradients, damping: float, random_state: int = 0) -> None:
        self._sizes = [block.size for block in gradients.blocks]
        sums = _FactorSums(gradients, random_state)
        self.parts: list[KroneckerCurvature | DiagonalCurvature] = []
        for block in gradients.blocks:
            if block.layer not in sums.layers:
                self.parts.append(DiagonalCurvature(block.flatten(sums.diagonals) + damping))
                continue
            s, Q = torch.linalg.eigh(sums.outputs[block.layer])
            a, V = torch.linalg.eigh(sums.features[block.layer])
            spectrum = torch.outer(s.clamp(min=0), a.clamp(min=0)) + damping
            self.parts.append(KroneckerCurvature(Q, V, spectrum))
        self._spectrum = torch.cat([part.spectrum.flatten() for part in self.parts])

    def solve(self, B: torch.Tensor) -> torch.Tensor:
        """Return ``H^-1 B`` for B of shape (n_params,) or (n_params, k)."""
        pieces = B.split(self._sizes)
        return torch.cat([part.solve(b) for part, b in zip(self.parts, pieces, strict=True)])

    def coordinates(self, rows: torch.Tensor, norm: Norm) -> torch.Tensor:
        """Return gradients of shape (m, n_params) in the eigenbasis, divided by root eigenvalues.

        For the norm "parameter" they are divided by the eigenvalues themselves; lengths are the
        same in every orthonormal basis.
        """
        pieces = rows.split(self._sizes, dim=1)
        rotated = [part.rotate(piece) for part, piece in zip(self.parts, pieces, strict=True)]
        power = 0.5 if norm == "loss" else 1.0
        return torch.cat(rotated, dim=1) * (self._spectrum**-power).to(rows.dtype)


class _FactorSums:
    """One pass over the rows for the factors of `LayerCurvature`, weighted by ``nu_i / N``.

    Attributes
    ----------
    layers : dict of str to torch.nn.Module
        The layers that have factors. A layer has none if it is not executed as a module, or on
        another number of rows than the network is given (such as frames of a video, folded into the
        batch).
    outputs, features : dict of str to torch.Tensor
        The factors by layer, in float64.
    diagonals : dict of str to torch.Tensor
        The diagonal for each parameter outside these layers, of its shape, in float64.
    """

    def __init__(self, gradients: NetworkGradients, random_state: int) -> None:
        self._gradients = gradients
        self._generator = torch.Generator(gradients.device).manual_seed(random_state)
        self.outputs: Tensors = {}
        self.features: Tensors = {}
        self.diagonals: Tensors = {}
        modules = dict(gradients.net.module_.named_modules())
        names = [block.layer for block in gradients.blocks if block.layer is not None]
        # The network is locked throughout, or hooks would record the calls of other threads.
        with (
            left_as_found(gradients.net),
            calls_noted(gradients.net.module_, names) as self._calls,
            closing(gradients.in_chunks(self._chunk)) as chunks,
        ):
            self.layers = {name: modules[name] for name in self._run_row_by_row()}
            for _, (outputs, features, diagonals) in chunks:
                _add(self.outputs, outputs)
                _add(self.features, features)
                _add(self.diagonals, diagonals)

    def _run_row_by_row(self) -> list[str]:
        """Return the layers that are executed on as many rows as the network is given."""
        gradients = self._gradients
        _, output = next(
            gradients.in_chunks(lambda x, rows: gradients.outputs(gradients.parameters, x), 2)
        )
        return [
            name
            for name, calls in self._calls.items()
            if all(len(inputs) == len(output) for inputs, _ in calls)
        ]

    def _chunk(self, x: Batch, rows: slice) -> tuple[Tensors, Tensors, Tensors]:
        gradients = self._gradients
        self._calls.clear()
        weights = gradients.weights[rows]
        parameters = {n: t.clone().requires_grad_() for n, t in gradients.parameters.items()}
        logits = gradients.outputs(parameters, x)
        noise = self._noise(logits.detach(), rows)
        calls = [(name, *call) for name in self.layers for call in self._calls[name]]
        deltas = torch.autograd.grad(
            logits, [output for _, _, output in calls], noise, allow_unused=True
        )
        # Separate sums for each chunk, since one that runs out of memory is tried again.
        outputs: Tensors = {}
        features: Tensors = {}
        for (name, inputs, _), delta in zip(calls, deltas, strict=True):
            if delta is None:
                continue
            block = next(b for b in gradients.blocks if b.layer == name)
            S, A = _moments(*by_position(self.layers[name], inputs, delta), weights, block)
            _add(outputs, {name: S})
            # Inputs of one row are averaged over its positions and calls.
            _add(features, {name: A / len(self._calls[name])})
        self._calls.clear()
        return outputs, features, self._squares(x, noise, weights)

    def _noise(self, logits: torch.Tensor, rows: slice) -> torch.Tensor:
        """Return ``C_i^(1/2) xi_i`` with standard normal xi, of the shape of the logits."""
        xi = torch.randn(
            logits.shape, generator=self._generator, device=logits.device, dtype=logits.dtype
        )
        if self._gradients.has_softmax_curvature:
            # (diag(sqrt m) - m sqrt(m)^T) times its transpose is diag(m) - m m^T.
            m = logits.softmax(dim=1)
            return m.sqrt() * xi - m * (m.sqrt() * xi).sum(dim=1, keepdim=True)
        C = vmap(hessian(self._gradients.loss))(logits, self._gradients.targets[rows])
        values, vectors = torch.linalg.eigh(C)
        return (vectors @ (values.clamp(min=0).sqrt() * xi)[..., None])[..., 0]

    def _squares(self, x: Batch, noise: torch.Tensor, weights: torch.Tensor) -> Tensors:
        """Return ``sum_i weights_i (J_i^T noise_i)^2`` for parameters that have no factors."""
        gradients = self._gradients
        outside = [
            name
            for block in gradients.blocks
            if block.layer not in self.layers
            for name in block.names
        ]
        if not outside:
            return {}
        rest = {name: gradients.parameters[name] for name in outside}

        def along(parameters: Tensors, row: Batch, xi: torch.Tensor) -> torch.Tensor:
            return (gradients.outputs_of_row(gradients.parameters | parameters, row) * xi).sum()

        by_name = vmap(grad(along), in_dims=(None, 0, 0))(rest, x, noise)
        return {
            name: torch.tensordot(weights, squares**2, 1).double()
            for name, squares in by_name.items()
        }


def by_position(
    layer: torch.nn.Module, inputs: torch.Tensor, delta: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return inputs, and derivatives with respect to outputs, with features in the last dimension.

    The inputs of a convolution are its patches, one for each position, in the weight's order.
    """
    if not isinstance(layer, torch.nn.Conv1d | torch.nn.Conv2d):
        return inputs, delta
    options: dict[str, tuple[int, ...]] = {}
    for name in ("kernel_size", "dilation", "padding", "stride"):
        option: tuple[int, ...] = getattr(layer, name)
        # A one-dimensional input is an image that is one pixel high.
        options[name] = option if len(option) == 2 else (int(name != "padding"), *option)
    pictures = inputs if inputs.ndim == 4 else inputs[:, :, None]
    patches = torch.nn.functional.unfold(pictures, **options)
    return patches.transpose(1, 2), delta.flatten(2).transpose(1, 2)


def _moments(
    inputs: torch.Tensor, delta: torch.Tensor, weights: torch.Tensor, block: Block
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weighted second moments of output derivatives and of inputs, in float64."""
    n_positions = delta[0].numel() // delta.shape[-1]
    repeated = weights.repeat_interleave(n_positions).double()[:, None]
    delta = delta.flatten(0, -2).double()
    inputs = block.with_constant(inputs.flatten(0, -2).double())
    return delta.T @ (repeated * delta), inputs.T @ (repeated * inputs) / n_positions


def _add(total: Tensors, terms: Tensors) -> None:
    for name, term in terms.items():
        total[name] = total.get(name, 0) + term
