"""Influence on any layers of a network.

Start at `network_influence`, which predicts the effect of dropping rows. `parameters` chooses the
parameters, and `gradients` differentiates the loss of single rows with respect to them.
`network_curvature` factors the Gauss-Newton matrix, or an approximation of it, to solve with;
`linear_gauss_newton` computes that matrix for Linear layers.
"""
