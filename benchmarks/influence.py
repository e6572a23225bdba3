"""Influence against other ways to compute it, against retraining, and at size.

    python -m benchmarks.influence                    # peers and retraining, then the report
    python -m benchmarks.influence --part scale       # 1,000,000 rows x 128 features, 10 classes
    python -m benchmarks.influence --part wide        # 50,000 x 2,048 features, 1,000 classes
    python -m benchmarks.influence --quick            # tiny jobs, to try the script; writes nothing

- peers: the first-order changes of 20 random groups of rows, by this package and by others on the
  same trained networks: torch.func by hand (the same formula, dense), LiSSA, and the packages of
  `influence_peers.py` that are installed. Each method has a process of its own on one thread, where
  it takes turns with this package (`influence_alone.py`): a ratio is the median over rounds of its
  seconds by ours, both of the processor, so that others on the machine matter little. Peak memory
  is what the first call took above what the process held. The error is that of the changes against
  the float64 answer of a dense Gauss-Newton matrix; where the method solves with the Hessian, also
  against that of the Hessian. A method that takes more than ``--limit`` seconds or 8 GB is stopped,
  and that is recorded.
- retraining: changes that are forecast, against training again on the rows that are left. Heads are
  refitted; all layers of a small network are trained on by L-BFGS from where all rows led. There a
  third forecast is the Newton step on the kept rows with the network's exact Hessian, which at such
  a minimum is positive definite, and "direction" is its median cosine with the observed change: it
  says whether a forecast fails because the Gauss-Newton matrix leaves out the network's own second
  derivative, or because training leads to another minimum.
- scale, wide: seconds and peak memory of this process. Run each alone.

`benchmarks.influence_report` makes influence.md and influence_peers.png from what was written.
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, hessian

from sklearn_prune.influence import (
    DenseHeadInfluence,
    HeadObjective,
    NetworkGradients,
    NetworkInfluence,
    WideHeadInfluence,
    head_coordinates,
    head_influence,
    refit_head,
)
from sklearn_prune.losses import SoftmaxCrossEntropy
from sklearn_prune.networks import read_head

from . import influence_alone as alone
from . import influence_report
from ._common import (
    Figure,
    argument_parser,
    limit_threads,
    markdown_table,
    output_folder,
    peak_resident_mb,
    read_figures,
    report,
    write_figures,
)
from .data import load
from .influence_jobs import DAMPING, N_GROUPS, ByHand, Job, made_up_head, mlp, peer_jobs, trained
from .influence_methods import Method, methods
from .influence_peers import DISTRIBUTIONS

SHARES = (0.01, 0.1, 0.4, 0.9)
CURVATURES = {"dense": DenseHeadInfluence, "kronecker": WideHeadInfluence}


def peers(args: argparse.Namespace) -> Iterator[Figure]:
    for job in peer_jobs(args.quick):
        if args.job not in job.name:
            continue
        answers = Answers(job)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "job.pickle"
            path.write_bytes(pickle.dumps(job))
            for name, method in methods(job).items():
                if args.quick:
                    figures, found = alone.measured(job, method)
                else:
                    figures, found = alone.in_a_process(path, name, args.limit)
                if len(found):
                    figures |= answers.errors(found, method)
                for metric, value in figures.items():
                    report(f"{job.name}, {name}, {metric}: {value:.3g}")
                    yield Figure(job.name, name, None, None, metric, value)


class Answers:
    """What a job's changes are, for either curvature."""

    def __init__(self, job: Job) -> None:
        self._job, self._net = job, ByHand(job)

    @cached_property
    def gauss_newton(self) -> np.ndarray:
        return self._net.solve(self._net.gauss_newton())

    @cached_property
    def hessian(self) -> np.ndarray:
        return self._net.solve(self._net.hessian())

    def errors(self, found: np.ndarray, method: Method) -> dict[str, float]:
        errors = {"relative_error": self._relative(found, self.gauss_newton, method.on_rows)}
        if method.matrix == "Hessian" and not self._job.last_layer_only:
            own = self._relative(found, self.hessian, method.on_rows)
            errors["relative_error_of_hessian"] = own
        return errors

    def _relative(self, found: np.ndarray, exact: np.ndarray, on_rows: bool) -> float:
        """The median over groups; of influences on all rows where these were found."""
        if on_rows:
            n, step = len(self._job.X), 5_000
            G = (self._net.gradients(slice(a, a + step)).numpy() for a in range(0, n, step))
            exact = n * np.concatenate([exact @ g.T for g in G], axis=1)
        lengths = np.linalg.norm(exact, axis=1)
        return float(np.median(np.linalg.norm(found - exact, axis=1) / lengths))


Forecast = Callable[[np.ndarray], dict[str, float]]


def head_forecast(objective: HeadObjective) -> Forecast:
    influence = head_influence(objective, refit_head(objective).theta)

    def forecast(drop: np.ndarray) -> dict[str, float]:
        found = influence.forecast(drop)
        return {
            "first_order": found.first_order,
            "kept_hessian": found.kept_hessian,
            "observed": found.refitted,
        }

    return forecast


def minimise(net: Any, X: np.ndarray, y: np.ndarray, max_iter: int) -> None:
    """Train the module on from where it is, by L-BFGS on the damped loss of these rows."""
    module, X_t, y_t = net.module_, torch.as_tensor(X), torch.as_tensor(y)
    parameters = list(module.parameters())
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=max_iter, tolerance_grad=1e-9, tolerance_change=0, history_size=50,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(module(X_t), y_t)
        loss = loss + DAMPING / 2 * sum((p**2).sum() for p in parameters)
        loss.backward()
        return loss

    optimizer.step(closure)
    optimizer.zero_grad()


def network_forecast(net: Any, X: np.ndarray, y: np.ndarray, max_iter: int) -> Forecast:
    minimise(net, X, y, max_iter)
    influence = NetworkInfluence(NetworkGradients(net, X, y), DAMPING)
    layout = influence.gradients
    start = {name: tensor.clone() for name, tensor in net.module_.state_dict().items()}
    theta = layout.flatten(layout.parameters).clone()
    everything = torch.as_tensor(X), torch.as_tensor(y)

    def objective(theta: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        logits = functional_call(net.module_, layout.unflatten(theta), (everything[0][kept],))
        loss = nn.functional.cross_entropy(logits, everything[1][kept])
        return loss + DAMPING / 2 * (theta**2).sum()

    def forecast(drop: np.ndarray) -> dict[str, float]:
        found, kept = influence.forecast(drop), torch.as_tensor(~drop)
        newton = -torch.linalg.solve(hessian(objective)(theta, kept), grad(objective)(theta, kept))
        minimise(net, X[~drop], y[~drop], max_iter)
        moved = layout.flatten(layout.parameters) - theta
        net.module_.load_state_dict(start)
        return {
            "first_order": found.first_order,
            "kept_hessian": found.kept_hessian,
            "exact_hessian": influence.measure(newton.numpy()),
            "direction": float(nn.functional.cosine_similarity(newton, moved, dim=0)),
            "observed": influence.measure(moved.numpy()),
        }

    return forecast


def retraining_jobs(args: argparse.Namespace) -> Iterator[tuple[str, int, Forecast]]:
    split = load("digits", args.data_dir).subset(150 if args.quick else None)
    X, y = split.X_train, split.y_train
    if args.quick:
        X = X[:, 20:26]

    def objective(X: np.ndarray, y: np.ndarray) -> HeadObjective:
        design = np.c_[X, np.ones(len(X))]
        return HeadObjective(design, y, SoftmaxCrossEntropy(), DAMPING)

    yield "digits head", len(X), head_forecast(objective(X, y))
    torch.manual_seed(0)
    net = trained(mlp(X.shape[1], 8, 10), X, y, 2 if args.quick else 30)
    hidden = read_head(net, X, y).design[:, :-1]
    yield "digits MLP, last layer", len(X), head_forecast(objective(hidden, y))
    few = slice(0, 60 if args.quick else 500)
    yield (
        "digits MLP, all layers",
        len(X[few]),
        network_forecast(net, X[few], y[few], 30 if args.quick else 3000),
    )
    if args.quick:
        return
    adult = load("adult", args.data_dir)
    codes = np.unique(adult.y_train, return_inverse=True)[1]
    yield "adult head", len(codes), head_forecast(objective(adult.X_train, codes))


def retraining(args: argparse.Namespace) -> Iterator[Figure]:
    for name, n_samples, forecast in retraining_jobs(args):
        n_groups = 3 if args.quick else N_GROUPS
        for share in (1 / n_samples, *SHARES):
            rng = np.random.default_rng(0)
            found = []
            # Single rows vary more than groups, so draw twice as many.
            for _ in range(n_groups if args.quick or share > 1 / n_samples else 2 * n_groups):
                drop = np.zeros(n_samples, dtype=bool)
                n_drop = max(1, round(share * n_samples))
                drop[rng.choice(n_samples, n_drop, replace=False)] = True
                found.append(forecast(drop))
            observed = np.array([f["observed"] for f in found])
            for way in [way for way in found[0] if way not in ("observed", "direction")]:
                predicted = np.array([f[way] for f in found])
                error = float(np.median(np.abs(predicted - observed) / observed))
                correlation = float(np.corrcoef(predicted, observed)[0, 1])
                report(f"{name}, {share:.2%}, {way}: r = {correlation:.4f}, error {error:.2g}")
                yield Figure(name, way, share, 0, "correlation", correlation)
                yield Figure(name, way, share, 0, "median_relative_error", error)
            if "direction" in found[0]:
                cosine = float(np.median([f["direction"] for f in found]))
                yield Figure(name, "exact_hessian", share, 0, "direction", cosine)


def scale(args: argparse.Namespace) -> Iterator[Figure]:
    """Curvature and the length of every row, against ten plain forward passes."""
    n = 20_000 if args.quick else 1_000_000
    objective, theta = made_up_head(n, 128, 10)
    weight = torch.as_tensor(theta, dtype=torch.float32)
    start = perf_counter()
    for _ in range(10):
        torch.log_softmax(torch.as_tensor(objective.design) @ weight.T, dim=1)
    forward = perf_counter() - start
    seconds = {"ten forward passes": forward}
    for curvature, kind in CURVATURES.items():
        start = perf_counter()
        kind(objective, theta).row_norms()
        seconds[f"influence, {curvature}"] = perf_counter() - start
    yield from at_size("1,000,000 x 128 x 10", seconds)


def wide(args: argparse.Namespace) -> Iterator[Figure]:
    """A head of two million parameters: lengths, coordinates, one change of 40 % of the rows."""
    n, d, n_classes = (400, 30, 20) if args.quick else (50_000, 2_048, 1_000)
    objective, theta = made_up_head(n, d, n_classes)
    seconds = {}

    def timed(name: str, run: Callable[[], Any]) -> Any:
        start = perf_counter()
        result = run()
        seconds[name] = perf_counter() - start
        report(f"{name}: {seconds[name]:.1f} s")
        return result

    influence: Any = timed("influence", lambda: WideHeadInfluence(objective, theta))
    timed("row lengths", influence.row_norms)
    drop = np.random.default_rng(1).random(n) < 0.4
    timed("one change", lambda: influence.first_order_step(drop))
    found = timed("coordinates", lambda: head_coordinates(influence))
    yield Figure("wide", "coordinates", None, None, "energy_share", found.energy_share)
    yield Figure("wide", "coordinates", None, None, "relative_error", found.relative_error)
    yield from at_size("50,000 x 2,048 x 1,000", seconds)


def at_size(job: str, seconds: dict[str, float]) -> Iterator[Figure]:
    for what, took in seconds.items():
        report(f"{job}, {what}: {took:.1f} s")
        yield Figure(job, what, None, None, "seconds", took)
    yield Figure(job, "process", None, None, "peak_memory_mb", peak_resident_mb())


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Figure]]] = {
    "peers": peers,
    "retraining": retraining,
    "scale": scale,
    "wide": wide,
}


def table(figures: Sequence[Figure]) -> str:
    rows = [
        [f.job, f.method, "" if f.prune_ratio is None else f"{f.prune_ratio:.2%}", f.metric]
        + [f"{f.value:.4g}"]
        for f in figures
    ]
    return markdown_table(["job", "method", "rows dropped", "measure", "value"], rows)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argument_parser("python -m benchmarks.influence", __doc__)
    parser.add_argument("--part", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="tiny jobs; writes no results")
    parser.add_argument(
        "--limit", type=float, default=600.0, help="seconds that one method may take on a job"
    )
    parser.add_argument(
        "--job", default="", help="peers: only jobs whose name holds this; figures of others stay"
    )
    args = parser.parse_args(argv)
    # On jobs this small, one thread is faster than several.
    limit_threads(1)
    folder = None if args.quick and args.out is None else output_folder(args)
    for part in ["peers", "retraining"] if args.part == "all" else [args.part]:
        figures: list[Figure] = []
        name = f"influence_{part}"
        before = read_figures(folder, f"{name}.csv") if folder and args.job else []
        try:
            for figure in PARTS[part](args):
                figures.append(figure)
                # Written as it goes, since a run may take an hour.
                if folder:
                    others = [f for f in before if args.job not in f.job]
                    write_figures(folder, name, others + figures, DISTRIBUTIONS)
        except FileNotFoundError as error:
            parser.exit(2, f"{error}\n")
        if folder:
            influence_report.write_report(folder)
        print(table(figures))


if __name__ == "__main__":
    main()
