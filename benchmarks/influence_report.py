"""Tables and the figure of `benchmarks.influence`, made from the csv files it wrote.

python -m benchmarks.influence_report        # anew from benchmarks/results
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ._common import RESULTS, Figure, markdown_table, read_figures
from .influence_peers import ALL

LAST_LAYER = ("head", "last layer")
# A method with at most this error counts as exact; some round to float32 on the way.
EXACT = 1e-6
SIZE = "1,000,000 x 128 x 10"
Measured = dict[str, dict[str, dict[str, float]]]


def by_job(figures: Sequence[Figure]) -> Measured:
    """Values by job, method and metric, in their first order."""
    measured: Measured = {}
    for figure in figures:
        of_method = measured.setdefault(figure.job, {}).setdefault(figure.method, {})
        of_method[figure.metric] = figure.value
    return measured


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"


def peers_tables(measured: Measured) -> Iterator[str]:
    for job, methods in measured.items():
        rows = []
        for name, at in methods.items():
            if "time_ratio" not in at:
                rows.append([name, stopped(at), "", "", "", ""])
                continue
            rows.append(
                [
                    name,
                    f"{at['time_ratio']:.3g}",
                    took(at),
                    f"{at.get('peak_memory_mb', np.nan):,.0f}",
                    number(at["relative_error"]),
                    number(at.get("relative_error_of_hessian")),
                ]
            )
        header = ["method", "time / ours", "s", "peak memory, MB", "error"]
        yield f"### {job}\n\n" + markdown_table([*header, "error, its own Hessian"], rows)
        absent = [peer.name for peer in ALL if peer.name not in methods]
        if absent:
            yield f"Not run on this job: {', '.join(absent)}."


def took(at: dict[str, float]) -> str:
    if "processor_seconds" in at:
        return f"{at['processor_seconds']:.3g}"
    return f"{at['seconds']:.3g} (wall clock)"


def stopped(at: dict[str, float]) -> str:
    if "stopped_after_s" in at:
        return f"stopped after {at['stopped_after_s']:g} s"
    if "stopped_at_mb" in at:
        return f"stopped at {at['stopped_at_mb']:,.0f} MB"
    return "failed"


def own_error(at: dict[str, float]) -> float:
    """Against the matrix that the method solves with."""
    return at.get("relative_error_of_hessian", at["relative_error"])


def others(methods: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Whatever is not this package and was not stopped."""
    return {name: at for name, at in methods.items() if "time_ratio" in at and "ours" not in name}


def targets(measured: Measured, size: dict[str, dict[str, float]]) -> Iterator[list[str]]:
    """Yield (job, rule, reached, met)."""
    for job, methods in measured.items():
        ours = methods["ours"]
        if job.endswith(LAST_LAYER):
            error = ours["relative_error"]
            yield [job, "error at most 1e-10", number(error), yes(error <= 1e-10)]
            exact = {n: at for n, at in others(methods).items() if own_error(at) <= EXACT}
            fastest = min(exact, key=lambda name: exact[name]["time_ratio"])
            ratio = exact[fastest]["time_ratio"]
            rule = "fastest exact other takes at least 4 times as long"
            yield [job, rule, f"{ratio:.3g} ({fastest})", yes(ratio >= 4)]
            continue
        for name in ("pyDVL, CG", "pyDVL, block CG"):
            at = methods.get(name)
            if at is None:
                continue
            if "time_ratio" not in at:
                yield [job, f"faster than {name}", f"it was {stopped(at)}", "yes"]
                continue
            ratio = at["time_ratio"]
            yield [job, f"faster than {name}", f"{ratio:.3g} times", yes(ratio > 1)]
            error, theirs = ours["relative_error"], own_error(at)
            rule = f"a tenth of the error of {name}"
            yield [job, rule, f"{error:.2g} against {theirs:.2g}", yes(error <= theirs / 10)]
    if size:
        peak = size["process"]["peak_memory_mb"]
        yield [SIZE, "peak memory at most 3072 MB", f"{peak:,.0f} MB", yes(peak <= 3072)]
        forward = size["ten forward passes"]["seconds"]
        for name in ("influence, kronecker", "influence, dense"):
            ratio = size[name]["seconds"] / forward
            rule = f"{name}: within 2 of ten forward passes"
            yield [SIZE, rule, f"{ratio:.3g}", yes(ratio <= 2)]


def yes(is_met: bool) -> str:
    return "yes" if is_met else "no"


def retraining_table(figures: Sequence[Figure]) -> str:
    by_share: dict[tuple[str, float], dict[str, str]] = {}
    for figure in figures:
        share = figure.prune_ratio or 0.0
        key = f"{figure.method} {figure.metric}"
        by_share.setdefault((figure.job, share), {})[key] = f"{figure.value:.3g}"
    rows = []
    for (job, share), at in by_share.items():
        cells = [
            f"{at[f'{way} median_relative_error']} ({at[f'{way} correlation']})"
            if f"{way} correlation" in at
            else ""
            for way in ("first_order", "kept_hessian", "exact_hessian")
        ]
        cells.append(at.get("exact_hessian direction", ""))
        rows.append([job, "one row" if share < 0.01 else f"{100 * share:g} %", *cells])
    header = ["job", "dropped", "first order", "kept Hessian", "exact Hessian", "its direction"]
    return markdown_table(header, rows)


def size_table(measured: Measured) -> str:
    rows = [
        [job, method, metric.replace("_", " "), f"{value:.4g}"]
        for job, methods in measured.items()
        for method, at in methods.items()
        for metric, value in at.items()
    ]
    return markdown_table(["job", "what", "measure", "value"], rows)


PEERS = """\
Changes of 20 random groups of a tenth of the rows. Every method ran in a process of its own, on one
thread, taking turns with this package: the ratio is the median over rounds of its seconds by ours,
both of the processor unless said otherwise.
Peak memory is what the first call took above what the process held. Errors are relative, the median
over groups, against float64 answers: of the damped Gauss-Newton matrix and, for methods that solve
with the Hessian, which on all layers is another matrix and need not be positive definite, of the
damped Hessian. kronfluence returns influences on rows; its error is that of these."""
RETRAINING = "Median relative error of the forecast change, in parentheses the correlation."


def markdown(folder: Path) -> str:
    parts = {
        part: read_figures(folder, f"influence_{part}.csv")
        for part in ("peers", "retraining", "scale", "wide")
    }
    peers, scale, wide = (by_job(parts[part]) for part in ("peers", "scale", "wide"))
    sections = []
    rows = list(targets(peers, scale.get(SIZE, {})))
    if rows:
        table = markdown_table(["job", "what must be reached", "reached", "met"], rows)
        sections.append(f"## What must be reached\n\n{table}")
    if peers:
        sections += ["## Peers\n\n" + PEERS, *peers_tables(peers)]
    if parts["retraining"]:
        table = retraining_table(parts["retraining"])
        sections.append(f"## Retraining\n\n{RETRAINING}\n\n{table}")
    for title, figures in (("Scale", scale), ("Wide", wide)):
        if figures:
            sections.append(f"## {title}\n\n{size_table(figures)}")
    return "\n\n".join(sections)


def write_report(folder: Path) -> None:
    """Write influence.md and influence_peers.png from whatever parts the folder holds."""
    (folder / "influence.md").write_text(markdown(folder) + "\n", encoding="utf-8")
    peers = by_job(read_figures(folder, "influence_peers.csv"))
    if peers:
        draw(peers, folder / "influence_peers.png")


def draw(measured: Measured, path: Path) -> None:
    """Time ratio against relative error: a marker a method, a colour a job."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(name for methods in measured.values() for name in methods))
    markers = dict(zip(names, "*PoXsv^<>dDphH1234", strict=False))
    figure, axis = plt.subplots(figsize=(11, 6.5), layout="constrained")
    for position, (job, methods) in enumerate(measured.items()):
        colour = f"C{position}"
        axis.plot([], [], "s", color=colour, label=job)
        for name, at in methods.items():
            if "time_ratio" in at:
                # A log axis cannot show an error of zero.
                error = max(own_error(at), 1e-16)
                size = 14 if name.startswith("ours") else 8
                marker: Any = markers[name]
                axis.plot(error, at["time_ratio"], marker, color=colour, ms=size, alpha=0.8)
    for name in names:
        axis.plot([], [], markers[name], color="grey", label=name)
    axis.axhline(1, color="grey", lw=0.5)
    axis.set(xscale="log", yscale="log", ylabel="seconds, ours = 1")
    axis.set_xlabel("relative error, against the matrix that the method solves with")
    axis.set_title("First-order changes of 20 groups of rows, one thread")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    write_report(RESULTS)
