"""Selections of few rows, solved to proven optimality."""
