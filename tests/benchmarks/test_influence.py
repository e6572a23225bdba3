"""The influence benchmark runs, peers solve the job they are given, and LiSSA converges."""

from __future__ import annotations

import pickle
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from benchmarks import influence, influence_report
from benchmarks import influence_alone as alone
from benchmarks import influence_peers as peers
from benchmarks._common import Figure, read_figures, write_figures
from benchmarks.influence_jobs import ByHand, by_hand, peer_jobs
from benchmarks.influence_lissa import largest_eigenvalue, lissa
from benchmarks.influence_methods import Method, by_lissa, methods, network_changes, ours


@pytest.fixture(scope="module")
def jobs():
    return list(peer_jobs(quick=True))


@pytest.mark.parametrize("part", sorted(influence.PARTS))
def test_every_part_runs_and_writes_what_it_measured(part, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(alone, "N_ROUNDS", 1)
    monkeypatch.setattr(influence, "SHARES", (0.1,))
    influence.main(["--quick", "--part", part, "--out", str(tmp_path)])
    written = read_figures(tmp_path)
    assert written
    assert all(np.isfinite(figure.value) for figure in written)
    assert written[0].job in capsys.readouterr().out
    assert written[0].job in (tmp_path / "influence.md").read_text(encoding="utf-8")


def test_exact_peers_agree_with_ours_and_lissa_does_not_yet(jobs):
    (*_, job) = jobs
    exact = by_hand(job)
    np.testing.assert_allclose(ours(job), exact, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(network_changes(job, "kronecker"), exact, rtol=1e-4, atol=1e-8)
    assert not np.allclose(by_lissa(job), exact, rtol=1e-6)


@pytest.mark.parametrize("peer", peers.ALL, ids=lambda peer: peer.name)
def test_a_peer_returns_changes_or_influences_of_every_group(peer, jobs):
    if not find_spec(peer.package):
        pytest.skip(f"{peer.package} is not installed")
    for job in jobs:
        net = ByHand(job)
        n_columns = len(job.X) if peer.on_rows else len(net.theta)
        solution = peer.solve(job)
        assert solution.shape == (len(job.groups), n_columns)
        if peer.name.endswith(("direct", "explicit", "dense")):
            matrix = net.gauss_newton() if peer.matrix == "Gauss-Newton" else net.hessian()
            exact = net.solve(matrix)
            np.testing.assert_allclose(solution, exact, rtol=1e-4, atol=1e-5 * np.abs(exact).max())


def test_by_hand_products_are_those_of_the_dense_matrix(jobs):
    net = ByHand(jobs[-1])
    V = torch.randn(len(net.theta), 3, dtype=torch.float64)
    product = net.product(np.arange(len(jobs[-1].X)), V)
    np.testing.assert_allclose(product, net.gauss_newton() @ V, atol=1e-12)


def test_on_a_last_layer_the_hessian_is_the_gauss_newton_matrix(jobs):
    for job in jobs[:2]:
        net = ByHand(job)
        np.testing.assert_allclose(net.hessian(), net.gauss_newton(), atol=1e-13)
    all_layers = ByHand(jobs[2])
    assert not np.allclose(all_layers.hessian(), all_layers.gauss_newton())


def test_errors_are_relative_to_the_exact_changes_or_to_their_influences_on_rows(jobs):
    for job in jobs:
        answers, G = influence.Answers(job), ByHand(job).gradients(slice(None)).numpy()
        on_rows = Method(ours, on_rows=True)
        exact = by_hand(job)
        assert answers.errors(1.5 * exact, Method(ours)) == {"relative_error": pytest.approx(0.5)}
        solution = 1.5 * len(job.X) * exact @ G.T
        assert answers.errors(solution, on_rows) == {"relative_error": pytest.approx(0.5)}
        errors = answers.errors(exact, Method(ours, matrix="Hessian"))
        assert errors["relative_error"] < 1e-12
        assert ("relative_error_of_hessian" in errors) == (not job.last_layer_only)


def test_a_method_is_measured_in_a_process_of_its_own_or_stopped(jobs, tmp_path):
    job, path = jobs[0], tmp_path / "job.pickle"
    path.write_bytes(pickle.dumps(job))
    figures, solution = alone.in_a_process(path, "torch.func by hand", 100.0)
    assert {"processor_seconds", "time_ratio"} <= set(figures)
    np.testing.assert_allclose(solution, by_hand(job), rtol=1e-10)
    assert alone.in_a_process(path, "LiSSA", 0.01)[0] == {"stopped_after_s": 0.01}


def test_the_report_says_which_methods_were_stopped_and_which_targets_are_met(tmp_path):
    def figures(method, **values):
        return [Figure("small head", method, None, None, *pair) for pair in values.items()]

    write_figures(
        tmp_path,
        "influence_peers",
        [
            *figures("ours", time_ratio=1.0, processor_seconds=0.1, relative_error=1e-14),
            *figures("captum, naive", time_ratio=5.0, processor_seconds=0.5, relative_error=1e-8),
            *figures("dattri, EK-FAC", time_ratio=0.5, seconds=0.05, relative_error=0.9),
            *figures("pyDVL, CG", stopped_after_s=90.0),
        ],
    )
    influence_report.write_report(tmp_path)
    text = (tmp_path / "influence.md").read_text(encoding="utf-8")
    assert "| pyDVL, CG | stopped after 90 s |" in text
    assert "5 (captum, naive) | yes |" in text
    assert "Not run on this job: pyDVL, direct" in text
    assert "| dattri, EK-FAC | 0.5 | 0.05 (wall clock) |" in text
    assert (tmp_path / "influence_peers.png").exists()


def test_every_method_of_a_job_says_what_it_solves_with(jobs):
    assert "ours, CG" in methods(jobs[-1])
    assert {m.matrix for m in methods(jobs[0]).values()} <= {"Gauss-Newton", "Hessian", "Kronecker"}


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
