"""What `cifar10_speed.csv` says, as tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import kendalltau

from ._common import markdown_table
from .cifar10_speed_jobs import (
    DESIGNS,
    FULL,
    MAIN_RATIO,
    N_CHOICES,
    N_EPOCHS,
    OURS,
    PROXY_SHARE,
    SEARCH_EPOCHS,
    SEARCH_EPOCHS_PRUNED,
    SEARCH_RATIO,
    TRANSFERS,
    SpeedCell,
    best_rules,
    main_budget,
    passes,
)
from .scores import LEVEL, Run, distinct, gain, mean_of

BASELINE = "random"
# Accuracy counts as reached this far below that of all images, as in the paper.
MARGIN = 0.013
# The most promising architectures of a search, which are trained on all images before one wins; as
# many as in `benchmarks.search_on_kept`.
N_FINALISTS = 4


def report(cells: Sequence[SpeedCell]) -> str:
    """Return the page."""
    parts = [
        "# CIFAR-10 by the speed protocol",
        "Made by `python -m benchmarks.cifar10 --protocol speed --table` from `cifar10_speed.csv`. "
        "Accuracy in percent, each image seen with its mirror image; mean over seeds. In brackets "
        "the gain over random images of the same class shares, paired by seed, with its "
        f"{LEVEL:.0%} interval, and the number of seeds. A seed is that of a new network. Proxies "
        f"and choices are of {N_CHOICES} seeds, so further networks are trained on the same "
        "choices again, and an interval over more seeds counts these as new. Scores come from a "
        "proxy, trained for a quarter of the epochs. What is missing was not trained.",
        f"Networks were trained on: {', '.join(sorted({cell.hardware for cell in cells}))}.",
    ]
    rules = best_rules(cells)
    if rules:
        said = "; ".join(f"{ratio:.0%}: `{rules[ratio]}`" for ratio in sorted(rules))
        parts.append(
            f"`{OURS}` is at each ratio the best of the rules below by accuracy on validation "
            f"images, a fifth of the training images ({said}). All are InfluencePruner on a "
            "proxy's features. With `hard`, its `sample_priority` is the square of the error; with "
            "`hardest`, three quarters of what goes in each class are its images of the least "
            "error; with `hardest of all`, seven eighths of what goes are those of the least "
            "error, of any class. With `sure`, the priority is p √(p (1 − p)), where p is the "
            "probability of the own class. With `spread`, priorities are equal, and only the "
            "images nearest to k-means centres of their class compete, 1.5 for each one kept; "
            "k-means weighs images by the priority of `sure`."
        )
        parts += ["### On validation images", _validated(cells)]
    return "\n\n".join(parts + _tables([cell for cell in cells if cell.split == "test"]))


def _validated(cells: Sequence[SpeedCell]) -> str:
    here = [cell for cell in cells if cell.split == "validation"]
    ratios = sorted({cell.prune_ratio for cell in here})
    rows = []
    for pruner in distinct(cell.pruner for cell in here):
        row = [pruner]
        for ratio in ratios:
            run = [c.accuracy for c in here if (c.pruner, c.prune_ratio) == (pruner, ratio)]
            row.append(f"{100 * np.mean(run):.2f} ({len(run)})" if run else "")
        rows.append(row)
    header = (f"{ratio:.0%}, as many {main_budget(ratio)}" for ratio in ratios)
    return markdown_table(["pruner", *header], rows)


def _tables(cells: Sequence[SpeedCell]) -> list[str]:
    standard = [cell for cell in cells if cell.design == "standard"]
    full = _by_epochs([cell for cell in standard if cell.pruner == FULL])
    parts = []
    if full:
        said = ", ".join(_said(n, run) for n, run in sorted(full.items()))
        parts.append(f"All images, ± a standard deviation of the seeds: {said}")
    pruned = [cell for cell in standard if cell.pruner != FULL]
    for budget in ("epochs", "steps"):
        chosen = [cell for cell in pruned if _is_budget(cell, budget)]
        if chosen:
            parts += [f"### As many {budget} as on all images", _gains(chosen)]
    if others := _time_table(standard, full):
        parts += [
            f"### Time to the accuracy of all images less {100 * MARGIN:.1f} points",
            "Time is counted in passes over all images: ten passes over six tenths of them are "
            f"six. The proxy's {PROXY_SHARE * N_EPOCHS:g} passes and the choice come on top.",
            others,
        ]
    if transfer := _transfer(cells):
        parts += ["### Other networks on images that the proxy chose", transfer]
    if search := _search(cells):
        parts += ["### Architectures ranked on a tenth of the images", search]
    return parts


def _is_budget(cell: SpeedCell, budget: str) -> bool:
    return bool(np.isclose(cell.n_epochs, passes(budget, cell.prune_ratio), rtol=1e-3))


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
            row.append(_with_gain(run, {} if pruner == BASELINE else baseline))
        rows.append(row)
    return markdown_table(["pruner", *(f"{ratio:.0%}" for ratio in ratios)], rows)


def _with_gain(run: Run, baseline: Run) -> str:
    if not run:
        return ""
    over = gain(run, baseline)
    mean = f"{100 * mean_of(run):.2f}"
    if not over.n_seeds:
        return f"{mean} ({len(run)})"
    half = f" ± {100 * over.half:.2f}" if np.isfinite(over.half) else ""
    return f"{mean} ({100 * over.mean:+.2f}{half}, {over.n_seeds})"


def _time_table(cells: Sequence[SpeedCell], full: dict[float, Run]) -> str:
    """Return the fewest passes measured, counted in all images, with which an accuracy is reached.

    Every number of epochs is a training of its own, with the learning rate brought down.
    """
    if N_EPOCHS not in full:
        return ""
    aim = mean_of(full[N_EPOCHS]) - MARGIN
    rows = []
    for pruner, ratio in distinct((cell.pruner, cell.prune_ratio) for cell in cells):
        runs = _by_epochs([c for c in cells if (c.pruner, c.prune_ratio) == (pruner, ratio)])
        if ratio not in (0.0, MAIN_RATIO) or len(runs) < 3:
            continue
        means = {n * (1 - ratio): mean_of(run) for n, run in sorted(runs.items())}
        reached = (f"{n:.1f}" for n, mean in means.items() if mean >= aim)
        at_half = (
            f"{100 * mean:.2f}"
            for n, mean in means.items()
            if np.isclose(n, N_EPOCHS / 2, rtol=0.05)
        )
        listed = ", ".join(f"{n:.1f}: {100 * mean:.2f}" for n, mean in means.items())
        shown = [next(reached, "not reached"), next(at_half, ""), listed]
        rows.append([pruner, f"{ratio:.0%}", *shown])
    header = ["pruner", "pruned", f"passes to {100 * aim:.2f}", "accuracy in half the time"]
    return markdown_table([*header, "accuracy by passes"], rows) if rows else ""


def _transfer(cells: Sequence[SpeedCell]) -> str:
    """Return the accuracy of two other networks, and the mean of the searched ones."""
    rows = []
    by_key = {(c.pruner, c.design, c.prune_ratio, c.n_epochs): c.accuracy for c in cells}
    for pruner in distinct(cell.pruner for cell in cells if cell.design != "standard"):
        ratio = 0.0 if pruner == FULL else MAIN_RATIO
        shown = [by_key.get((pruner, name, ratio, N_EPOCHS), np.nan) for name in TRANSFERS]
        tenth = [
            cell.accuracy
            for cell in cells
            if (cell.pruner, cell.prune_ratio) == (pruner, SEARCH_RATIO)
            and cell.design != "standard"
        ]
        row = [f"{100 * score:.2f}" if np.isfinite(score) else "" for score in shown]
        rows.append([pruner, *row, f"{100 * np.mean(tenth):.2f}" if tenth else ""])
    header = [
        *(f"{name}, {MAIN_RATIO:.0%} pruned" for name in TRANSFERS),
        f"mean of {len(DESIGNS) - 1} networks, {SEARCH_RATIO:.0%} pruned",
    ]
    return markdown_table(["trained on", *header], rows) if rows else ""


def _search(cells: Sequence[SpeedCell]) -> str:
    """Return how well images rank architectures as all images do.

    tau : Kendall's, between accuracies after training on these and on all images.
    points lost : the best accuracy with all images, less that of the winner on these images; or,
        with finalists, of the best of the first few, which are trained on all images as well.
    """
    budgets = ((0.0, SEARCH_EPOCHS), (SEARCH_RATIO, SEARCH_EPOCHS_PRUNED))
    searched = [
        cell
        for cell in cells
        if cell.design != "standard" and (cell.prune_ratio, cell.n_epochs) in budgets
    ]
    full = {cell.design: cell for cell in searched if cell.pruner == FULL}
    if not full:
        return ""
    searched = [cell for cell in searched if cell.design in full]
    best = max(cell.accuracy for cell in full.values())
    rows = []
    for pruner in distinct(cell.pruner for cell in searched):
        pruned = [cell for cell in searched if cell.pruner == pruner]
        unpruned = [full[cell.design] for cell in pruned]
        tau = kendalltau(
            [cell.accuracy for cell in pruned], [cell.accuracy for cell in unpruned]
        ).statistic
        ranked = sorted(pruned, key=lambda cell: -cell.accuracy)
        finalists = [full[cell.design] for cell in ranked[:N_FINALISTS]]
        seconds = sum(cell.seconds for cell in pruned)
        in_finals = 0.0 if pruner == FULL else sum(cell.seconds for cell in finalists)
        rows.append(
            [
                pruner,
                f"{len(pruned)}",
                f"{tau:.2f}",
                f"{100 * (best - finalists[0].accuracy):.2f}",
                f"{seconds:.0f}",
                f"{100 * (best - max(cell.accuracy for cell in finalists)):.2f}",
                f"{seconds + in_finals:.0f}",
            ]
        )
    header = ["trained on", "architectures", "tau", "points lost", "seconds"]
    header += [f"points lost, {N_FINALISTS} finalists", "seconds with these"]
    return markdown_table(header, rows)
