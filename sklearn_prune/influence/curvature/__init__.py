"""Hessians to solve with.

`dense` holds a Cholesky factor, `kronecker` the eigenvectors of a Kronecker product, which is near
the Hessian, and `conjugate_gradients` solves with products alone, preconditioned by the former.
All solve for columns: arrays of shape (n_params,) or (n_params, k).
"""
