"""How many generated cases are tried: few in CI, as many as one likes by hand."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings


def fuzz_settings(n_examples):
    """Return hypothesis settings; SKLEARN_PRUNE_FUZZ replaces the number of examples."""
    return settings(
        max_examples=int(os.environ.get("SKLEARN_PRUNE_FUZZ", n_examples)),
        deadline=None,
        derandomize="SKLEARN_PRUNE_FUZZ" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )
