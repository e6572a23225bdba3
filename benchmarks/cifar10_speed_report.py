"""What `cifar10_speed.csv` says, as tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import kendalltau

from ._common import markdown_table
from .cifar10_speed_table import FULL, N_CHOICES, SpeedCell
from .scores import LEVEL, Run, distinct, gain, mean_of

BASELINE = "random"
# Accuracy counts as reached this far below that of all images, as in the paper.
MARGIN = 0.013


def report(cells: Sequence[SpeedCell]) -> str:
    """Return the page."""
    parts = [
        "# CIFAR-10 by the speed protocol",
        "Made by `python -m benchmarks.cifar10 --protocol speed` from `cifar10_speed.csv`. Accuracy "
        "on images that no one looked at in training, in percent, each seen with its mirror image; "
        "mean over seeds. In brackets the gain over random images of the same class shares, paired "
        f"by seed, with its {LEVEL:.0%} interval and the number of seeds. A seed is that of a new "
        f"network; proxies and choices are of {N_CHOICES} seeds, so networks of further seeds are "
        "trained on the same choices again, and intervals of more seeds are mostly of networks.",
        f"Networks were trained on: {', '.join(sorted({cell.hardware for cell in cells}))}.",
    ]
    for split, title in (("test", "Test images"), ("validation", "Images to validate on")):
        here = [cell for cell in cells if cell.split == split]
        if here:
            parts.append(f"## {title}")
            parts += _tables(here)
    return "\n\n".join(parts)


def _tables(cells: Sequence[SpeedCell]) -> list[str]:
    standard = [cell for cell in cells if cell.design == "standard"]
    full = _by_epochs([cell for cell in standard if cell.pruner == FULL])
    parts = []
    if full:
        parts.append("All images: " + ", ".join(_said(n, run) for n, run in sorted(full.items())))
    n_epochs = float(max(full, key=lambda n: len(full[n]))) if full else 0.0
    pruned = [cell for cell in standard if cell.pruner != FULL]
    for title, is_steps in (("As many epochs", False), ("As many steps", True)):
        chosen = [cell for cell in pruned if _is_budget(cell, n_epochs, is_steps=is_steps)]
        if chosen:
            parts += [f"### {title} as on all images", _gains(chosen)]
    if others := _time_table(standard, full, n_epochs):
        parts += ["### Time to the accuracy of all images less 1.3 points", others]
    if search := _search(cells):
        parts += ["### Architectures ranked on a tenth of the images", search]
    return parts


def _is_budget(cell: SpeedCell, n_epochs: float, *, is_steps: bool) -> bool:
    aim = n_epochs / (1 - cell.prune_ratio) if is_steps else n_epochs
    return bool(np.isclose(cell.n_epochs, aim, rtol=1e-3))


def _by_epochs(cells: Sequence[SpeedCell]) -> dict[float, Run]:
    runs: dict[float, Run] = {}
    for cell in cells:
        runs.setdefault(cell.n_epochs, {})[cell.seed] = cell.accuracy
    return runs


def _said(n_epochs: float, run: Run) -> str:
    deviation = f" ± {100 * np.std(list(run.values()), ddof=1):.2f}" if len(run) > 1 else ""
    return f"{100 * mean_of(run):.2f}{deviation} after {n_epochs:g} epochs ({len(run)} seeds)"


def _gains(cells: Sequence[SpeedCell]) -> str:
    ratios = sorted({cell.prune_ratio for cell in cells})
    runs: dict[tuple[str, float], Run] = {}
    for cell in cells:
        runs.setdefault((cell.pruner, cell.prune_ratio), {})[cell.seed] = cell.accuracy
    rows = []
    for pruner in distinct(cell.pruner for cell in cells):
        row = [pruner]
        for ratio in ratios:
            run, baseline = runs.get((pruner, ratio), {}), runs.get((BASELINE, ratio), {})
            over = gain(run, baseline)
            text = f"{100 * mean_of(run):.2f}" if run else ""
            if pruner != BASELINE and over.n_seeds:
                half = f" ± {100 * over.half:.2f}" if np.isfinite(over.half) else ""
                text += f" ({100 * over.mean:+.2f}{half}, {over.n_seeds})"
            elif run:
                text += f" ({len(run)})"
            row.append(text)
        rows.append(row)
    return markdown_table(["pruner", *(f"{ratio:.0%}" for ratio in ratios)], rows)


def _time_table(cells: Sequence[SpeedCell], full: dict[float, Run], n_epochs: float) -> str:
    """Return the fewest passes over all images with which an accuracy is reached.

    Every number of epochs is a training of its own, with the learning rate brought down.
    """
    if n_epochs not in full:
        return ""
    aim = mean_of(full[n_epochs]) - MARGIN
    rows = []
    for pruner, ratio in distinct((cell.pruner, cell.prune_ratio) for cell in cells):
        if ratio not in (0.0, 0.4):
            continue
        chosen = [c for c in cells if (c.pruner, c.prune_ratio) == (pruner, ratio)]
        runs = _by_epochs(chosen)
        if len(runs) < 3:
            continue
        reached = [n for n, run in runs.items() if mean_of(run) >= aim]
        least = f"{min(reached) * (1 - ratio):.1f}" if reached else "not reached"
        half = [n for n in runs if np.isclose(n * (1 - ratio), n_epochs / 2, rtol=0.05)]
        at_half = f"{100 * mean_of(runs[half[0]]):.2f}" if half else ""
        listed = ", ".join(
            f"{n * (1 - ratio):.1f}: {100 * mean_of(run):.2f}" for n, run in sorted(runs.items())
        )
        rows.append([pruner, f"{ratio:.0%}", least, at_half, listed])
    header = ["pruner", "pruned", f"passes to {100 * aim:.2f}", "accuracy in half the time"]
    return markdown_table([*header, "accuracy by passes"], rows) if rows else ""


def _search(cells: Sequence[SpeedCell]) -> str:
    """Return how well rows rank architectures: Kendall's tau, and what the winner loses."""
    searched = [cell for cell in cells if cell.design != "standard"]
    full = {cell.design: cell for cell in searched if cell.pruner == FULL}
    if not full:
        return ""
    best = max(cell.accuracy for cell in full.values())
    rows = []
    for pruner in distinct(cell.pruner for cell in searched):
        found = {c.design: c for c in searched if c.pruner == pruner and c.design in full}
        names = sorted(found)
        tau = kendalltau(
            [found[name].accuracy for name in names], [full[name].accuracy for name in names]
        ).statistic
        winner = max(found, key=lambda name: found[name].accuracy)
        regret = best - full[winner].accuracy
        seconds = sum(cell.seconds for cell in found.values())
        rows.append(
            [pruner, f"{len(names)}", f"{tau:.2f}", f"{100 * regret:.2f}", f"{seconds:.0f}"]
        )
    return markdown_table(["trained on", "architectures", "tau", "points lost", "seconds"], rows)
