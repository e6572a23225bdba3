"""Hessians to solve with.

`dense` holds a Cholesky factor, `kronecker` the eigenvectors of a Kronecker product that
approximates the Hessian, and `conjugate_gradients` solves with products alone, preconditioned by
the Kronecker product. All solve for columns: arrays of shape (n_params,) or (n_params, k).
"""
