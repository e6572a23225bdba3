"""The pruners to beat."""

from ._random import RandomPruner

__all__ = ["RandomPruner"]
