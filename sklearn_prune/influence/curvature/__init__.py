"""Hessians to solve with: dense, a Kronecker product, or products alone."""
