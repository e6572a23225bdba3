"""Influence on a last layer, whose features stay fixed.

`objective` is what the head minimises and `refit` finds the minimum. `gradients` keeps every row's
gradient as two thin factors; `coordinates` turns them into the operator Z that selections match
(`wide_coordinates` without a dense Hessian). Start at `head_influence`, which predicts what
dropping rows does, and refits the head to compare.
"""
