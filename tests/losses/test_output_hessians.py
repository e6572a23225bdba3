import numpy as np

from tests.influence.heads import N_OUTPUTS, matrices


def test_product_and_sum_agree_with_the_matrices(sample):
    name, loss, outputs, targets = sample
    rng = np.random.default_rng(1)
    U, weights = rng.standard_normal(outputs.shape), rng.uniform(size=len(outputs))
    hessians = loss.hessians(outputs, targets)
    C = matrices(hessians, N_OUTPUTS[name])
    product = np.einsum("ijk,ik->ij", C, U)
    np.testing.assert_allclose(hessians.product(U), product, rtol=1e-12, atol=1e-13)
    total = np.einsum("i,ijk->jk", weights, C)
    np.testing.assert_allclose(hessians.weighted_sum(weights), total, rtol=1e-12, atol=1e-12)
    some = np.array([3, 17, 5])
    np.testing.assert_array_equal(matrices(hessians[some], N_OUTPUTS[name]), C[some])
    assert hessians.astype(np.float32).product(U.astype(np.float32)).dtype == np.float32


def test_what_a_loss_says_of_its_hessians_is_so(sample):
    name, loss, outputs, targets = sample
    hessians = loss.hessians(outputs, targets)
    C = matrices(hessians, N_OUTPUTS[name])
    assert loss.couples_outputs == bool((C * (1 - np.eye(N_OUTPUTS[name]))).any())
    assert np.linalg.eigvalsh(C).min() > -1e-13
    if hessians.rows_sum_to_zero:
        assert np.abs(C.sum(axis=2)).max() < 1e-14
