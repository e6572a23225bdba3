"""Influence on more than the last layer of a network."""
