"""What ``import sklearn_prune`` offers."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import sklearn_prune

REACHED = """
import sys, sklearn_prune
print(*[name for name in sys.argv[1:] if hasattr(sklearn_prune, name)])
"""


def test_submodules_are_reachable_without_an_import_of_their_own():
    # In a process of its own, as other tests import them.
    modules = {module.name for module in pkgutil.iter_modules(sklearn_prune.__path__)}
    # The demo is a command.
    public = sorted({name for name in modules if not name.startswith("_")} - {"demo"})
    command = [sys.executable, "-c", REACHED, *public]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == public


def test_every_public_name_exists():
    for name in sklearn_prune.__all__:
        assert hasattr(sklearn_prune, name)
