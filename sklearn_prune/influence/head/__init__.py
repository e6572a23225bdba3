"""Influence on a last layer: its objective, its refit, what dropping rows does to it."""
