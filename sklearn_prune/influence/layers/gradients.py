"""Per-sample gradients and products with the Gauss-Newton matrix, for any layers of a network."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from operator import itemgetter
from typing import TypeAlias, TypeVar

import numpy as np
import torch
from skorch import NeuralNet
from torch.func import functional_call, grad, hessian, jacrev, jvp, vjp, vmap

from ..._types import Array, Batch, Rows
from ...losses import HeadLoss, SoftmaxCrossEntropy
from ...networks import (
    Inference,
    UnsupportedNetworkError,
    batches,
    criterion_loss,
    head_targets,
    left_as_found,
    map_tensors,
    merged,
    read_criterion,
    require_criterion_trained,
    require_own_outputs,
    require_row_by_row,
    takes_codes,
    tensors_of,
    uncompiled,
)
from ...utils import part_done
from .parameters import choose_parameters, parameter_blocks

T = TypeVar("T")
Tensors: TypeAlias = dict[str, torch.Tensor]
"""Tensors by the name of the parameter that they belong to."""

# Bytes that the gradients of one chunk of rows may take, with the copies needed to compute them.
MEMORY_BUDGET = 2**28
_COPIES = 4
# Columns of a product that are passed through the network at a time.
_COLUMNS = 16


class NetworkGradients:
    r"""A fitted network's loss as a function of chosen parameters, one row of data at a time.

    With ``f_i`` the outputs for row i and ``J_i = df_i / dtheta``, the gradient of the row's loss
    is ``J_i^T r_i`` and the generalized Gauss-Newton matrix of all rows
    ``(1/N) sum_i nu_i J_i^T C_i J_i``, with ``r_i`` and ``C_i`` the loss's first and second
    derivatives with respect to the outputs. If a network ends in a softmax or sigmoid, its outputs
    are the inputs of that.

    The network is read in evaluation mode, on its own device, and left as it was. Rows are
    taken in chunks, and no array of shape (n_samples, n_params) is made. A chunk that does not fit
    in the memory of a GPU is halved, and so are all that follow.

    Parameters
    ----------
    net : skorch.NeuralNet
        A fitted network. Parameters of half precision are cast to float32.
    X : ndarray or CSR matrix of shape (n_samples, ...)
        Rows, as skorch takes them.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Class codes or numbers.
    layers : "all" or list of str, default="all"
        Which parameters; see `choose_parameters`.
    sample_weight : ndarray of shape (n_samples,), default=None
        Weights ``nu_i``; None means 1. Row weights of the criterion, as `read_criterion` finds
        them, multiply them.
    memory_budget : int, default=2**28
        Bytes that per-sample gradients and their copies may take.
    verbose : int, default=0
        1 prints a line when a chunk had to be halved.

    Attributes
    ----------
    has_softmax_curvature : bool
        Whether ``C_i = diag(m) - m m^T`` with ``m = softmax(f_i)``, for every row.

    Raises
    ------
    UnsupportedNetworkError
        If a row's outputs depend on other rows (batch norm without running statistics), if the
        trained loss is not the criterion, or if `torch.func.vmap` cannot run the module. It runs
        the module once for all rows of a chunk, as if for a single row. That fails for in-place
        changes of values that do not come from the same row, for branches on a tensor's value
        (``if x.sum() > 0``, ``.item()``), and for operations without a batching rule (cuDNN's LSTM
        and GRU, custom autograd functions without ``vmap``).
    """

    def __init__(
        self,
        net: NeuralNet,
        X: Rows,
        y: Array,
        *,
        layers: str | Sequence[str] = "all",
        sample_weight: Array | None = None,
        memory_budget: int = MEMORY_BUDGET,
        verbose: int = 0,
    ) -> None:
        net = uncompiled(net)
        self.net, self.X, self.verbose = net, X, verbose
        self.device = torch.device(net.device)
        self._inference = Inference(net, partial(criterion_loss, net))
        # While another thread runs the module, its parameters are out of place.
        with left_as_found(net):
            names = choose_parameters(net.module_, layers)
            self._state = self._cast_state(net.module_)
            self.blocks = parameter_blocks(net.module_, names)
        self.dtype = next(t.dtype for n, t in self._state.items() if n == "module." + names[0])
        self.n_params = sum(block.size for block in self.blocks)
        self._shapes = {name: self._state["module." + name].shape for name in names}
        self._budget = memory_budget // (_COPIES * self.dtype.itemsize)
        self._halvings = 0
        self._inspect(np.asarray(y), sample_weight)

    def _inspect(self, y: Array, sample_weight: Array | None) -> None:
        """Run the first rows for the shapes of outputs and targets; set targets and weights."""
        require_own_outputs(self.net, self.X)
        criterion = read_criterion(self.net, y)
        with left_as_found(self.net), torch.no_grad():
            x, _ = next(iter(batches(self.net, self.X)))
            output = self._logits(self.parameters, map_tensors(lambda t: t[:2], self._cast(x)))
        self._tail = output.shape[1:]
        self.n_outputs = int(np.prod(self._tail))
        targets = head_targets(self.net, criterion.loss, y, self.n_outputs)
        require_row_by_row(criterion, targets, self.n_outputs)
        require_criterion_trained(self.net, self.X, y, criterion.loss)
        self.targets = self._cast_targets(y, criterion.loss)
        self.has_softmax_curvature = (
            isinstance(criterion.loss, SoftmaxCrossEntropy) and criterion.loss.class_weight is None
        )
        self.n_samples = len(self.targets)
        weights = np.ones(self.n_samples) if sample_weight is None else sample_weight
        self.sample_weight = np.asarray(weights, dtype=np.float64)
        if criterion.sample_weight is not None:
            # In the mean over a single row the class weight cancels.
            self.sample_weight = self.sample_weight * criterion.sample_weight
        self.weight_sum = float(self.sample_weight.sum())
        self.weights = torch.as_tensor(self.sample_weight / self.weight_sum).to(
            self.device, self.dtype
        )

    def __getstate__(self) -> dict[str, object]:
        # skorch pickles its module separately, so that the unpickled copies would be two modules.
        return {name: value for name, value in vars(self).items() if name != "_inference"}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._inference = Inference(self.net, partial(criterion_loss, self.net))

    @property
    def parameters(self) -> Tensors:
        """The chosen parameters by name, detached, in the dtype that is computed in."""
        return {name: self._state["module." + name] for name in self._shapes}

    def flatten(self, tensors: Tensors, n_leading: int = 0) -> torch.Tensor:
        """Return tensors by name as one vector, after `n_leading` dimensions that are kept."""
        return torch.cat([block.flatten(tensors, n_leading) for block in self.blocks], dim=-1)

    def unflatten(self, vector: torch.Tensor) -> Tensors:
        """Return a vector, or an array (k, n_params) of them, as tensors by name."""
        tensors = {}
        leading = vector.shape[:-1]
        for block, part in zip(
            self.blocks, vector.split([b.size for b in self.blocks], dim=-1), strict=True
        ):
            part = part.reshape(*leading, *block.shape)
            if len(block.names) == 2:
                tensors[block.names[1]] = part[..., -1]
                part = part[..., :-1]
            tensors[block.names[0]] = part.reshape(*leading, *self._shapes[block.names[0]])
        return {name: tensors[name] for name in self._shapes}

    def per_sample(self) -> Generator[tuple[slice, torch.Tensor], None, None]:
        """Yield slices of m rows with their gradients ``J_i^T r_i``, of shape (m, n_params).

        Not weighted, not centred, not divided by N; on the network's device. Close a generator that
        is not read to its end, since it locks the network until then.
        """
        gradient = grad(self._loss_of_row)

        def gradients(x: Batch, rows: slice) -> torch.Tensor:
            by_name = vmap(gradient, in_dims=(None, 0, 0))(self.parameters, x, self.targets[rows])
            return self.flatten(by_name, 1)

        return self.in_chunks(gradients, self.rows_within(self.n_params))

    def losses(self) -> Array:
        """Return the loss of every row, not weighted, float64 of shape (n_samples,)."""

        def losses(x: Batch, rows: slice) -> torch.Tensor:
            return vmap(self.loss)(self.outputs(self.parameters, x), self.targets[rows])

        with closing(self.in_chunks(losses)) as chunks:
            return np.concatenate([chunk.double().cpu().numpy() for _, chunk in chunks])

    def weighted_sum(self, W: torch.Tensor) -> torch.Tensor:
        """Return ``sum_i W_i grad l_i`` in float64, of shape (n_params, k), for W of (n, k)."""
        W = W.to(self.device, self.dtype)

        def sums(x: Batch, rows: slice) -> torch.Tensor:
            logits, pull_back = self._linearized(x)
            residual = grad(lambda z: vmap(self.loss)(z, self.targets[rows]).sum())(logits)
            columns = vmap(lambda w: pull_back(w[:, None] * residual), chunk_size=_COLUMNS)(
                W[rows].T
            )
            return self.flatten(columns, 1)

        return self._total(sums, W.shape[1]).T

    def gauss_newton_product(
        self, V: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return ``sum_i weights_i J_i^T C_i J_i V`` in float64, for V of shape (n_params, k).

        `weights` are ``nu_i / N`` by default; no damping is added.
        """
        weights = self.weights if weights is None else weights
        tangents = self.unflatten(V.T.to(self.device, self.dtype))

        def products(x: Batch, rows: slice) -> torch.Tensor:
            targets = self.targets[rows]
            logits, pull_back = self._linearized(x)
            slope = grad(lambda z: vmap(self.loss)(z, targets).sum())

            def product(tangent: Tensors) -> Tensors:
                U = jvp(lambda p: self.outputs(p, x), (self.parameters,), (tangent,))[1]
                CU = jvp(slope, (logits,), (U,))[1]
                return pull_back(weights[rows, None] * CU)

            return self.flatten(vmap(product, chunk_size=_COLUMNS)(tangents), 1)

        return self._total(products, V.shape[1]).T

    def gauss_newton(self) -> torch.Tensor:
        """Return ``(1/N) sum_i nu_i J_i^T C_i J_i``, float64, of shape (n_params, n_params).

        No damping is added.
        """
        jacobian = jacrev(self.outputs_of_row)
        curvature = hessian(self.loss)

        def moment(x: Batch, rows: slice) -> torch.Tensor:
            J = self.flatten(vmap(jacobian, in_dims=(None, 0))(self.parameters, x), 2)
            logits = self.outputs(self.parameters, x)
            C = vmap(curvature)(logits, self.targets[rows]) * self.weights[rows, None, None]
            # In float64 from here on, since differences of these sums matter.
            J, CJ = J.double(), (C @ J).double()
            return J.flatten(0, 1).T @ CJ.flatten(0, 1)

        total = self._total(moment, self.n_params, self.rows_within(self.n_params * self.n_outputs))
        return (total + total.T) / 2

    def rows_within(self, n_numbers: int) -> int:
        """Return how many rows of ``n_numbers`` numbers each fit in the memory budget."""
        return max(1, self._budget // n_numbers)

    def _total(
        self,
        function: Callable[[Batch, slice], torch.Tensor],
        n_vectors: int,
        size: int | None = None,
    ) -> torch.Tensor:
        """Return the sum over chunks, float64 of shape (n_vectors, n_params)."""
        total = torch.zeros(n_vectors, self.n_params, dtype=torch.float64, device=self.device)
        with closing(self.in_chunks(function, size)) as chunks:
            for _, chunk in chunks:
                total += chunk
        return total

    def _linearized(self, x: Batch) -> tuple[torch.Tensor, Callable[[torch.Tensor], Tensors]]:
        """Return the outputs, and the map from gradients in them to those in the parameters."""
        logits, pull_back, *_ = vjp(lambda p: self.outputs(p, x), self.parameters)
        return logits, lambda slope: pull_back(slope)[0]

    def in_chunks(
        self,
        function: Callable[[Batch, slice], T],
        size: int | None = None,
    ) -> Generator[tuple[slice, T], None, None]:
        """Yield slices of at most `size` rows with the function's result for them.

        If a GPU runs out of memory, the chunk is halved and tried again. Close a generator that is
        not read to its end, since it locks the network until then.

        Raises
        ------
        MemoryError
            If a single row does not fit in the memory of the GPU.
        UnsupportedNetworkError
            If `torch.func.vmap` cannot run the module.
        """
        with left_as_found(self.net):
            start = 0
            for batch in merged(batches(self.net, self.X)):
                x = self._cast(batch)
                n_rows = len(tensors_of(x)[0])
                position = 0
                while position < n_rows:
                    limit = n_rows if size is None else min(size, n_rows)
                    limit = max(1, limit >> self._halvings)
                    stop = min(position + limit, n_rows)
                    rows = slice(start + position, start + stop)
                    part = map_tensors(itemgetter(slice(position, stop)), x)
                    try:
                        result = function(part, rows)
                    except torch.cuda.OutOfMemoryError:
                        self._halve(limit)
                        continue
                    except RuntimeError as error:
                        # TorchScript, which torch.func is partly written in, wraps a Ctrl-C.
                        if "\nRuntimeError: KeyboardInterrupt" in str(error):
                            raise KeyboardInterrupt from error
                        raise _cannot_be_vmapped(error) from error
                    part_done("chunk")
                    yield rows, result
                    position = stop
                start += n_rows

    def _halve(self, n_rows: int) -> None:
        if n_rows == 1:
            raise MemoryError(
                f"The GPU's memory is too small for one row's gradient of {self.n_params} "
                "parameters; choose fewer layers, or set the network's device to 'cpu'."
            )
        self._halvings += 1
        torch.cuda.empty_cache()
        if self.verbose:
            print(f"[influence] out of GPU memory at {n_rows} rows; continuing with {n_rows // 2}")

    def _cast_state(self, module: torch.nn.Module) -> Tensors:
        """Return parameters and buffers of the module, those of half precision in float32."""
        tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        halves = (torch.float16, torch.bfloat16)
        return {
            f"module.{name}": t.detach().float() if t.dtype in halves else t.detach()
            for name, t in tensors.items()
        }

    def _cast(self, x: Batch) -> Batch:
        def cast(t: torch.Tensor) -> torch.Tensor:
            return t.to(self.device, self.dtype if t.is_floating_point() else t.dtype)

        return map_tensors(cast, x)

    def _cast_targets(self, y: Array, loss: HeadLoss) -> torch.Tensor:
        """Return targets as the criterion takes them: codes, or a row of the outputs' shape.

        A criterion that torch differentiates may take another number of columns than outputs.
        """
        if takes_codes(loss, y, self.n_outputs):
            return torch.as_tensor(y.astype(np.int64)).to(self.device)
        targets = torch.as_tensor(y.reshape(len(y), -1)).to(self.device, self.dtype)
        if targets.shape[1] != self.n_outputs:
            return targets
        return targets.reshape(len(y), *self._tail)

    def _logits(self, parameters: Tensors, x: Batch) -> torch.Tensor:
        state = self._state | {"module." + name: t for name, t in parameters.items()}
        return functional_call(self._inference, state, (x,))

    def outputs(self, parameters: Tensors, x: Batch) -> torch.Tensor:
        """Return the outputs of a chunk, of shape (m, n_outputs)."""
        logits = self._logits(parameters, x)
        return logits.reshape(len(logits), -1)

    def outputs_of_row(self, parameters: Tensors, x: Batch) -> torch.Tensor:
        """Return the outputs of one row, of shape (n_outputs,)."""
        return self.outputs(parameters, map_tensors(lambda t: t[None], x))[0]

    def loss(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss of one row for its outputs of shape (n_outputs,)."""
        return self._inference.loss(logits.reshape(1, *self._tail), target[None])

    def _loss_of_row(self, parameters: Tensors, x: Batch, target: torch.Tensor) -> torch.Tensor:
        return self.loss(self.outputs_of_row(parameters, x), target)


def _cannot_be_vmapped(error: RuntimeError) -> UnsupportedNetworkError:
    first_line = str(error).strip().splitlines()[0]
    return UnsupportedNetworkError(
        "Gradients of single rows need a module that torch.func.vmap can run: no branches on a "
        "tensor's value, no .item(), no in-place operation on values of other rows, no cuDNN LSTM "
        f"or GRU. It stopped with: {first_line} Rewrite that, or set layers='last'."
    )
