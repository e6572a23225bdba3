"""LiSSA, the estimator of the paper's inverse-Hessian-vector products (Agarwal et al. 2017).

Each recursion of depth T estimates ``H^-1 v`` for the damped mean Hessian H of the loss:

    h_0 = v,   h_t = v + h_(t-1) - H_t h_(t-1) / scale,   H^-1 v ~ h_T / scale

with H_t the damped mean Hessian of a random batch, which is unbiased for H, and scale above the
largest eigenvalue of every H_t. The division by scale at the end is what a Neumann series asks for;
the mean over recursions must not be divided by anything else.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

Product = Callable[[np.ndarray, torch.Tensor], torch.Tensor]


def lissa(
    product: Product,
    B: torch.Tensor,
    n_samples: int,
    *,
    damping: float,
    scale: float,
    depth: int,
    n_recursions: int = 1,
    batch_size: int = 64,
    seed: int = 0,
) -> torch.Tensor:
    """Return an estimate of ``(H + damping I)^-1 B`` for B of shape (n_params, k).

    product : ``(rows, V) -> mean Hessian of these rows times V``, not damped.
    """
    rng = np.random.default_rng(seed)
    total = torch.zeros_like(B)
    for _ in range(n_recursions):
        h = B
        for _ in range(depth):
            rows = rng.choice(n_samples, min(batch_size, n_samples), replace=False)
            h = B + h - (product(rows, h) + damping * h) / scale
        total += h / scale
    return total / n_recursions


def largest_eigenvalue(product: Product, n_params: int, n_samples: int, n_iter: int = 30) -> float:
    """Return the largest eigenvalue of the mean Hessian of all rows, by power iteration."""
    v = torch.ones(n_params, 1, dtype=torch.float64)
    value, rows = 0.0, np.arange(n_samples)
    for _ in range(n_iter):
        v = product(rows, v / v.norm())
        value = float(v.norm())
    return value
