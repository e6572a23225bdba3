"""Tables and the figure of `benchmarks.selection`, made from the csv files it wrote.

python -m benchmarks.selection_report        # anew from benchmarks/results
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from ._common import RESULTS, environment, markdown_table, with_release

RIVALS = ("herding", "exchange", "annealing")


@dataclass(frozen=True)
class Measured:
    """One measured number.

    budget : seconds that the method was given; None where it was not limited.
    detail : what else distinguishes two runs, as the cooling of an annealing.
    metric : "value" is ``||Z^T w||`` in mean row norms.
    """

    part: str
    job: str
    method: str
    prune_ratio: float
    n: int
    k: int
    budget: float | None
    seed: int
    detail: str
    metric: str
    value: float

    def __str__(self) -> str:
        budget = "" if self.budget is None else f"in {self.budget:g} s"
        size = f"{self.n} x {self.k}"
        words = (self.part, self.job, size, self.method, budget, self.detail, self.metric)
        return " ".join(word for word in words if word) + f": {self.value:.4g}"


def write(folder: Path, part: str, measured: Iterable[Measured]) -> None:
    """Write selection_PART.csv, one line a number, and selection.json, where they were measured."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"selection_{part}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Measured))
        for one in measured:
            cells = asdict(one).values()
            writer.writerow(f"{cell:.6g}" if isinstance(cell, float) else cell for cell in cells)
    described = {**environment(), "threads": "rivals, exact, plain_milp: 1; scale: 2"}
    try:
        described["numba"] = version("numba")
    except PackageNotFoundError:
        described["numba"] = None
    text = json.dumps(described, indent=2)
    (folder / "selection.json").write_text(text + "\n", encoding="utf-8")


def read(folder: Path) -> list[Measured]:
    measured = []
    for path in sorted(folder.glob("selection_*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                cells: dict[str, Any] = dict(line)
                for name in ("prune_ratio", "value"):
                    cells[name] = float(line[name])
                for name in ("n", "k", "seed"):
                    cells[name] = int(line[name])
                cells["budget"] = float(line["budget"]) if line["budget"] else None
                measured.append(Measured(**cells))
    return measured


def pick(measured: Iterable[Measured], **wanted: object) -> list[Measured]:
    return [
        one for one in measured if all(getattr(one, name) == is_ for name, is_ in wanted.items())
    ]


def least(measured: Iterable[Measured], **wanted: object) -> float:
    """The smallest of these values; nan where there are none."""
    return min((one.value for one in pick(measured, **wanted)), default=np.nan)


def distinct(measured: Iterable[Measured], name: str) -> list[Any]:
    """Different entries of a column, in their first order."""
    return list(dict.fromkeys(getattr(one, name) for one in measured))


@dataclass(frozen=True)
class Comparison:
    """One job and one time: everybody's value in mean row norms, and the solver's own seconds."""

    job: str
    n: int
    k: int
    budget: float
    method: str
    random: float
    rivals: dict[str, float]
    ours: float
    seconds: float

    @property
    def ratio(self) -> float:
        return self.ours / min(value for value in self.rivals.values() if not np.isnan(value))


def comparisons(measured: Sequence[Measured]) -> Iterator[Comparison]:
    values = pick(measured, part="rivals", metric="value")
    for job in distinct(values, "job"):
        of_job = pick(values, job=job)
        for budget in distinct(pick(of_job, method="annealing"), "budget"):
            # A rival may stop early and keep its better result.
            by_budget = [one for one in of_job if (one.budget or np.inf) <= budget]
            for method in ("ours", "ours, dense"):
                for ours in pick(of_job, method=method, budget=budget):
                    seconds = least(
                        measured, part="rivals", metric="seconds", job=job, budget=budget,
                        method=method,
                    )  # fmt: skip
                    yield Comparison(
                        job,
                        ours.n,
                        ours.k,
                        budget,
                        method,
                        least(of_job, method="random"),
                        {rival: least(by_budget, method=rival) for rival in RIVALS},
                        least(by_budget, method=method),
                        seconds,
                    )


def rivals_table(measured: Sequence[Measured]) -> str:
    rows = [
        [
            f"{c.job}, {c.n:,} x {c.k:,}",
            f"{c.budget:g}",
            f"{c.random:.3g}",
            *(f"{c.rivals[rival]:.3g}" for rival in RIVALS),
            f"{c.ours:.3g}" + (" (dense)" if "dense" in c.method else ""),
            f"{c.seconds:.3g}",
            f"{c.ratio:.2f}",
            percent(c.ours / c.random),
        ]
        for c in comparisons(measured)
    ]
    header = ["rows", "s", "random", *RIVALS, "ours", "ours, s", "ours / best other"]
    return markdown_table([*header, "ours / random"], rows)


def percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def scale_table(measured: Sequence[Measured]) -> str:
    of_scale = pick(measured, part="scale")
    rows = []
    for n in distinct(of_scale, "n"):
        at = {one.metric: one.value for one in pick(of_scale, n=n)}
        rows.append(
            [
                f"{n:,}",
                f"{at['seconds']:.2f}",
                f"{at['peak_memory_above_Z_mb']:,.0f}",
                f"{at['memory_before_mb']:,.0f}",
                f"{at['value']:.2f}",
                percent(at["share_of_random"]),
            ]
        )
    header = ["n", "s", "peak memory above Z, MB", "of that before solving, MB"]
    table = markdown_table([*header, "mean row norms", "of random"], rows)
    return table if len(rows) < 2 else f"{table}\n\n{scale_fit(of_scale).text}"


@dataclass(frozen=True)
class ScaleFit:
    """``seconds = start + slope n`` by least squares of relative errors; ``n^power`` beside it."""

    start: float
    slope: float
    power: float

    @property
    def text(self) -> str:
        return (
            f"Least squares of relative errors: {self.start:.2f} s + {1e6 * self.slope:.1f} s for "
            f"each million rows. As a power of n, seconds grow with exponent {self.power:.2f}."
        )


def scale_fit(measured: Sequence[Measured]) -> ScaleFit:
    seconds = pick(measured, part="scale", metric="seconds")
    n, t = (np.array([getattr(one, name) for one in seconds], float) for name in ("n", "value"))
    start, slope = np.linalg.lstsq(np.c_[1 / t, n / t], np.ones(len(n)), rcond=None)[0]
    return ScaleFit(float(start), float(slope), float(np.polyfit(np.log(n), np.log(t), 1)[0]))


def exact_table(measured: Sequence[Measured]) -> str:
    of_exact, rows = pick(measured, part="exact", job="gaussian"), []
    for low, high in ((8, 16), (17, 24), (25, 32), (8, 32)):
        inside = [one for one in of_exact if low <= one.n <= high]
        seconds = [one.value for one in pick(inside, metric="seconds")]
        proven = [one.value for one in pick(inside, metric="proven")]
        if seconds:
            rows.append(
                [
                    f"{low} to {high}",
                    "1 to 8",
                    str(len(seconds)),
                    percent(float(np.mean(proven))),
                    f"{np.median(seconds):.2g}",
                    f"{np.quantile(seconds, 0.95):.2g}",
                    f"{max(seconds):.2g}",
                    "",
                ]
            )
    beyond = pick(measured, part="exact", job="gaussian, beyond")
    for n, k in dict.fromkeys((one.n, one.k) for one in beyond):
        at = {one.metric: one.value for one in pick(beyond, n=n, k=k)}
        seconds_at = f"{at['seconds']:.2g}"
        proven_at = percent(at["proven"])
        bounded = f"{at['bound']:.2g} <= {at['value']:.2g}"
        rows.append([str(n), str(k), "1", proven_at, *[seconds_at] * 3, bounded])
    header = ["n", "k", "problems", "proven optimal", "median s", "95 % s", "most s"]
    return markdown_table([*header, "bound <= value"], rows)


def milp_table(measured: Sequence[Measured]) -> str:
    of_milp, rows = pick(measured, part="plain_milp"), []
    for n, k in dict.fromkeys((one.n, one.k) for one in of_milp):
        plain, ours = (
            {one.metric: one.value for one in pick(of_milp, n=n, k=k, method=method)}
            for method in ("plain milp", "ours")
        )
        plain_value = f"{plain['value']:.3g}" if np.isfinite(plain["value"]) else "nothing"
        rows.append(
            [
                f"{n:,}",
                str(k),
                plain_value,
                f"{plain['bound']:.2g}",
                f"{plain['seconds']:.3g}",
                f"{ours['value']:.3g}",
                f"{ours['seconds']:.2g}",
            ]
        )
    header = ["n", "k", "plain milp, mean row norms", "its bound", "s", "ours", "ours, s"]
    return markdown_table(header, rows)


def target_table(measured: Sequence[Measured]) -> str:
    rows = [
        [rule, f"{bound:g}", f"{value:.3g}", "yes" if value <= bound else "no"]
        for rule, bound, value in _targets(measured)
        if not np.isnan(value)
    ]
    return markdown_table(["at most", "that is", "reached", "met"], rows)


def _targets(measured: Sequence[Measured]) -> Iterator[tuple[str, float, float]]:
    """Yield (rule, bound, value)."""
    for c in comparisons(measured):
        if c.method == "ours":
            yield f"{c.job}, {c.budget:g} s: ours / best other", 1.0, c.ratio
    ours = pick(measured, part="rivals", metric="value", method="ours")
    yield "gaussian64, 3 s: mean row norms", 0.9, least(ours, job="gaussian64", budget=3.0)
    yield "gaussian16, 10 s: mean row norms", 0.15, least(ours, job="gaussian16", budget=10.0)
    cifar = pick(measured, part="rivals", job="cifar10", metric="value")
    share = least(cifar, method="ours, 2 threads", budget=10.0) / least(cifar, method="random")
    yield "cifar10, 10 s on two threads: share of random", 0.05, share
    million = pick(measured, part="scale", n=1_000_000)
    yield "a million rows: s", 60.0, least(million, metric="seconds")
    yield (
        "a million rows: MB above Z",
        2048.0,
        least(million, metric="peak_memory_above_Z_mb"),
    )
    yield "a million rows: mean row norms", 1.0, least(million, metric="value")


def tables(measured: Sequence[Measured]) -> dict[str, str]:
    """Title and table; no empty ones."""
    titles = {
        "Equal wall time, one thread: mean row norms": rivals_table,
        "Scale: 64 coordinates, four quotas, two threads": scale_table,
        "Proven optimality": exact_table,
        "All columns in one milp": milp_table,
        "What must be reached": target_table,
    }
    made = {title: table(measured) for title, table in titles.items()}
    return {title: table for title, table in made.items() if table.count("\n") > 1}


def markdown(measured: Sequence[Measured]) -> str:
    """The tables, each under its title."""
    parts = [f"## {title}\n\n{table}" for title, table in tables(measured).items()]
    return with_release("selection", "\n\n".join(parts))


def write_report(folder: Path) -> None:
    """Write selection.md and selection.png from whatever parts the folder holds."""
    measured = read(folder)
    (folder / "selection.md").write_text(markdown(measured) + "\n", encoding="utf-8")
    draw(measured, folder / "selection.png")


def draw(measured: Sequence[Measured], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
    for axis, panel in zip(
        axes.flat, (draw_rivals, draw_scale, draw_exact, draw_milp), strict=True
    ):
        panel(axis, measured)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_rivals(axis: Any, measured: Sequence[Measured]) -> None:
    """Share of random at the longest time, one line a job."""
    last = {(c.job, c.method): c for c in comparisons(measured)}
    lines = [c for (_, method), c in last.items() if method == "ours"]
    markers = {"herding": "v", "exchange": "s", "annealing": "o"}
    for rival, marker in markers.items():
        shares = [c.rivals[rival] / c.random for c in lines]
        axis.plot(shares, range(len(lines)), marker, label=rival, alpha=0.8)
    axis.plot([c.ours / c.random for c in lines], range(len(lines)), "k*", label="ours", ms=10)
    axis.set(xscale="log", xlabel="share of random rows' change", yticks=range(len(lines)))
    axis.set_yticklabels([f"{c.job}\n{c.n:,} x {c.k:,}" for c in lines])
    axis.invert_yaxis()
    if lines:
        axis.set_title(f"After {lines[0].budget:g} s on one thread, 90 % dropped")
        axis.legend()


def draw_scale(axis: Any, measured: Sequence[Measured]) -> None:
    of_scale = pick(measured, part="scale")
    seconds = pick(of_scale, metric="seconds")
    axis.set(xscale="log", yscale="log", xlabel="rows", ylabel="seconds")
    axis.set_title("64 coordinates, four quotas, two threads")
    if len(seconds) < 2:
        return
    n = np.array([one.n for one in seconds], dtype=float)
    fit = scale_fit(of_scale)
    axis.plot(n, [one.value for one in seconds], "k*-", label="ours")
    label = f"{fit.start:.2f} s + {1e6 * fit.slope:.1f} s per million rows"
    axis.plot(n, fit.start + fit.slope * n, "--", label=label)
    axis.legend()


def draw_exact(axis: Any, measured: Sequence[Measured]) -> None:
    of_exact = pick(measured, part="exact")
    proven = {
        (one.job, one.n, one.k, one.seed): one.value for one in pick(of_exact, metric="proven")
    }
    for is_proven, marker, label in ((1.0, "o", "proven"), (0.0, "x", "not proven")):
        chosen = [
            one
            for one in pick(of_exact, metric="seconds")
            if proven[one.job, one.n, one.k, one.seed] == is_proven
        ]
        if chosen:
            colours = [one.k for one in chosen]
            drawn = axis.scatter(
                [one.n for one in chosen],
                [one.value for one in chosen],
                c=colours,
                marker=marker,
                label=label,
                vmin=1,
                vmax=8,
                alpha=0.8,
            )
            if is_proven:
                axis.figure.colorbar(drawn, ax=axis, label="coordinates")
    axis.set(yscale="log", xlabel="rows", ylabel="seconds", title="Proven optimality")
    if proven:
        axis.legend()


def draw_milp(axis: Any, measured: Sequence[Measured]) -> None:
    values = pick(measured, part="plain_milp", metric="value")
    for method, style in (("plain milp", "o--"), ("ours", "k*-")):
        for k in distinct(values, "k"):
            line = pick(values, method=method, k=k)
            n, value = [one.n for one in line], [one.value for one in line]
            axis.plot(n, value, style, label=f"{method}, k = {k}", alpha=1 if k == 8 else 0.5)
    limit = max((one.budget or 0 for one in values), default=0)
    axis.set(xscale="log", yscale="log", xlabel="rows", ylabel="mean row norms")
    axis.set_title(f"All columns in one milp, {limit:g} s")
    if values:
        axis.legend()


if __name__ == "__main__":
    write_report(RESULTS)
