"""Influence on a last layer (the head), on features that stay fixed.

Start at `head_influence`, which predicts the effect of dropping rows and refits the head to
compare. `objective` is what the head minimises, and `refit` finds its minimum. `gradients` stores
every row's gradient as two thin factors; `coordinates` turns them into the operator Z that a
selection works on (`wide_coordinates` without a dense Hessian).
"""
