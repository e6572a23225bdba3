"""The influence benchmark runs, and LiSSA converges to what it estimates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import influence, tables
from benchmarks.lissa import largest_eigenvalue, lissa


@pytest.mark.parametrize("part", sorted(influence.PARTS))
def test_every_part_runs_and_writes_what_it_measured(part, tmp_path, capsys):
    influence.main(["--quick", "--part", part, "--out", str(tmp_path)])
    written = tables.read_figures(tmp_path)
    assert written
    assert all(np.isfinite(figure.value) for figure in written)
    assert written[0].job in capsys.readouterr().out


def test_exact_peers_agree_with_ours_and_lissa_does_not_yet():
    (*_, job) = influence.peer_jobs(True)
    exact = influence.by_hand(job)
    np.testing.assert_allclose(influence.ours(job), exact, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(
        influence.network_changes(job, "kronecker"), exact, rtol=1e-4, atol=1e-8
    )
    assert not np.allclose(influence.by_lissa(job, depth=20), exact, rtol=1e-6)


def test_by_hand_products_are_those_of_the_dense_matrix():
    (*_, job) = influence.peer_jobs(True)
    net = influence.ByHand(job)
    V = torch.randn(len(net.theta), 3, dtype=torch.float64)
    product = net.product(np.arange(len(job.X)), V)
    np.testing.assert_allclose(product, net.gauss_newton() @ V, atol=1e-12)


def test_the_mean_of_lissas_recursions_converges_to_the_solution():
    rng = np.random.default_rng(0)
    A = torch.as_tensor(rng.standard_normal((40, 6)))
    H = A.T @ A / 40

    def product(rows, V):
        return A[rows].T @ (A[rows] @ V) / len(rows)

    B = torch.as_tensor(rng.standard_normal((6, 2)))
    exact = torch.linalg.solve(H + 0.1 * torch.eye(6), B)
    top = largest_eigenvalue(product, 6, 40)
    assert top == pytest.approx(float(torch.linalg.eigvalsh(H)[-1]), rel=1e-3)
    errors = [
        float((estimate - exact).norm() / exact.norm())
        for estimate in (
            lissa(product, B, 40, damping=0.1, scale=4 * top, depth=400, batch_size=8,
                  n_recursions=n)
            for n in (1, 64)
        )
    ]  # fmt: skip
    assert errors[1] < 0.4 * errors[0]
    assert errors[1] < 0.05
