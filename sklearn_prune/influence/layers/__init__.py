"""Influence on any layers of a network.

`parameters` chooses them, and `gradients` differentiates the loss of single rows in them. Of the
Gauss-Newton matrix `linear_gauss_newton` computes all, and `network_curvature` a factor that can be
solved with. Start at `network_influence`, which predicts what dropping rows does.
"""
