"""Influence against other ways to compute it, against retraining, and at size.

    python -m benchmarks.influence                    # peers and retraining, then a table
    python -m benchmarks.influence --part scale       # 1,000,000 rows x 128 features, 10 classes
    python -m benchmarks.influence --part wide        # 50,000 x 2,048 features, 1,000 classes
    python -m benchmarks.influence --quick            # tiny jobs, to try the script; writes nothing

- peers: the first-order changes of 20 random groups of rows, by this package and by others on the
  same trained network in one run, taking turns: torch.func by hand (the same formula, dense),
  LiSSA, and curvlinops where it is installed. Seconds are the median of three rounds on one
  thread, those of this package are 1 in the ratio; the error is that of the changes against the
  dense float64 answer.
- retraining: changes that are forecast, against training again on the rows that are left. Heads are
  refitted; all layers of a small network are trained on by L-BFGS from where all rows led.
  There the Gauss-Newton matrix leaves out the network's own second derivative, and with this
  damping that is what counts: forecasts of all layers are poor, even for single rows.
- scale, wide: seconds and peak memory of this process. Run each alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from time import perf_counter
from typing import Any

import numpy as np
import torch
from skorch import NeuralNetClassifier
from torch import nn
from torch.func import functional_call, grad, jacrev, jvp, vjp, vmap

from sklearn_prune.influence import (
    HeadInfluence,
    HeadObjective,
    NetworkGradients,
    NetworkInfluence,
    SoftmaxCrossEntropy,
    WideHeadInfluence,
    head_coordinates,
    head_influence,
    read_head,
    refit_head,
)

from ._common import (
    Figure,
    argument_parser,
    limit_threads,
    markdown_table,
    output_folder,
    write_figures,
)
from .core import peak_resident_mb, report
from .data import load
from .lissa import largest_eigenvalue, lissa

DAMPING = 1e-2
N_GROUPS, GROUP_SHARE = 20, 0.1
SHARES = (0.01, 0.1, 0.4, 0.9)
LISSA_DEPTH = 500
CURVATURES: tuple[Any, ...] = ("dense", "kronecker")


@dataclass(frozen=True)
class Job:
    """A trained network, the parameters looked at, and the groups of rows that are dropped."""

    name: str
    net: NeuralNetClassifier
    X: np.ndarray
    y: np.ndarray
    last_layer_only: bool
    groups: np.ndarray

    @property
    def layers(self) -> Any:
        """Patterns of the parameters."""
        return [f"{len(self.net.module_) - 1}.*"] if self.last_layer_only else "all"


def trained(module: nn.Sequential, X: np.ndarray, y: np.ndarray, epochs: int) -> Any:
    net = NeuralNetClassifier(
        module.double(),
        criterion=nn.CrossEntropyLoss,
        lr=0.1,
        max_epochs=epochs,
        batch_size=256,
        train_split=None,
        verbose=0,
    )
    return net.fit(X, y)


def mlp(n_features: int, n_hidden: int, n_outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_features, n_hidden), nn.Tanh(), nn.Linear(n_hidden, n_outputs))


def peer_jobs(quick: bool) -> Iterator[Job]:
    split = load("digits", None).subset(200 if quick else None)  # type: ignore[arg-type]
    X, y = split.X_train, split.y_train
    if quick:
        X = X[:, 20:28]
    rng = np.random.default_rng(0)
    groups = rng.random((3 if quick else N_GROUPS, len(X))) < GROUP_SHARE
    torch.manual_seed(0)
    epochs = 2 if quick else 50
    linear = trained(nn.Sequential(nn.Linear(X.shape[1], 10)), X, y, epochs)
    yield Job("digits head", linear, X, y, True, groups)
    network = trained(mlp(X.shape[1], 4 if quick else 32, 10), X, y, epochs)
    yield Job("digits MLP, last layer", network, X, y, True, groups)
    yield Job("digits MLP, all layers", network, X, y, False, groups)


def ours(job: Job) -> np.ndarray:
    if not job.last_layer_only:
        return network_changes(job, "dense")
    head = read_head(job.net, job.X, job.y)
    objective = HeadObjective(head.design, head.targets, head.loss, DAMPING, n_outputs=10)
    influence = HeadInfluence(objective.stationary_at(head.theta), head.theta)
    sums = influence.curvature.solve(influence.gradient_sum(job.groups.T))
    return sums.T / influence.weight_sum


def network_changes(job: Job, curvature: Any) -> np.ndarray:
    gradients = NetworkGradients(job.net, job.X, job.y, layers=job.layers)
    # One coordinate: here only the changes are asked for.
    influence = NetworkInfluence(gradients, DAMPING, curvature=curvature, n_components=1)
    steps = [influence.first_order_step(g) / influence.size_factor(g) for g in job.groups]
    return np.array(steps)


class ByHand:
    """The network as torch.func sees it, with parameters in the order of `NetworkGradients`."""

    def __init__(self, job: Job) -> None:
        self.X, self.y = torch.as_tensor(job.X), torch.as_tensor(job.y)
        self._module = job.net.module_
        self.layout = NetworkGradients(job.net, job.X[:2], job.y[:2], layers=job.layers)
        self._state = {n: t.detach() for n, t in self._module.named_parameters()}
        self.theta = self.layout.flatten(self.layout.parameters)
        self._groups = torch.as_tensor(job.groups, dtype=torch.float64)

    def logits(self, theta: torch.Tensor, X: torch.Tensor) -> torch.Tensor:
        return functional_call(self._module, self._state | self.layout.unflatten(theta), (X,))

    def row_loss(self, theta: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(self.logits(theta, x[None]), y[None])

    def group_sums(self) -> torch.Tensor:
        """Sums of centred gradients, of shape (n_params, n_groups)."""
        G = vmap(grad(self.row_loss), in_dims=(None, 0, 0))(self.theta, self.X, self.y)
        return (G - G.mean(dim=0)).T @ self._groups.T

    def gauss_newton(self) -> torch.Tensor:
        J = vmap(jacrev(lambda t, x: self.logits(t, x[None])[0]), in_dims=(None, 0))(
            self.theta, self.X
        )
        m = self.logits(self.theta, self.X).softmax(dim=1).detach()
        CJ = m[..., None] * (J - (m[:, None] @ J))
        return torch.einsum("nkp,nkq->pq", J, CJ) / len(J)

    def product(self, rows: np.ndarray, V: torch.Tensor) -> torch.Tensor:
        """Mean Gauss-Newton matrix of these rows times V of shape (n_params, k)."""
        X = self.X[rows]
        f = partial(self._logits_of, X)
        logits, pull_back = vjp(f, self.theta)[:2]
        m = logits.softmax(dim=1).detach()

        def one(v: torch.Tensor) -> torch.Tensor:
            u = jvp(f, (self.theta,), (v,))[1]
            return pull_back(m * (u - (m * u).sum(dim=1, keepdim=True)) / len(X))[0]

        return vmap(one)(V.T).T

    def _logits_of(self, X: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        return self.logits(theta, X)


def by_hand(job: Job) -> np.ndarray:
    net = ByHand(job)
    H = net.gauss_newton() + DAMPING * torch.eye(len(net.theta), dtype=torch.float64)
    return (torch.linalg.solve(H, net.group_sums()) / len(job.X)).T.numpy()


def by_lissa(job: Job, depth: int = LISSA_DEPTH) -> np.ndarray:
    net, n = ByHand(job), len(job.X)
    # Room for batches whose largest eigenvalue is above that of all rows.
    scale = 2 * largest_eigenvalue(net.product, len(net.theta), n) + DAMPING
    found = lissa(net.product, net.group_sums(), n, damping=DAMPING, scale=scale, depth=depth)
    return (found / n).T.numpy()


def by_curvlinops(job: Job) -> np.ndarray:
    curvlinops = import_module("curvlinops")
    net = ByHand(job)
    named = dict(job.net.module_.named_parameters())
    layout = net.layout
    parameters = [named[name] for name in layout.parameters]
    data = [(net.X, net.y)]
    operator = curvlinops.GGNLinearOperator(
        job.net.module_, nn.CrossEntropyLoss(), parameters, data, check_deterministic=False
    )
    sums = layout.unflatten(net.group_sums().T)
    B = torch.cat([t.flatten(1) for t in sums.values()], dim=1).T
    eye = torch.eye(len(B), dtype=torch.float64)
    X = torch.linalg.solve(operator @ eye + DAMPING * eye, B)
    pieces = X.T.split([p.numel() for p in parameters], dim=1)
    by_name = {
        name: piece.reshape(-1, *named[name].shape)
        for name, piece in zip(layout.parameters, pieces, strict=True)
    }
    return (layout.flatten(by_name, 1) / len(job.X)).detach().numpy()


def methods(job: Job, depth: int) -> dict[str, Callable[[Job], np.ndarray]]:
    found: dict[str, Callable[[Job], np.ndarray]] = {"ours": ours}
    if not job.last_layer_only:
        found["ours, conjugate gradients"] = partial(network_changes, curvature="kronecker")
    found |= {"torch.func by hand": by_hand, "LiSSA": partial(by_lissa, depth=depth)}
    if find_spec("curvlinops"):
        found["curvlinops, dense"] = by_curvlinops
    return found


def peers(args: argparse.Namespace) -> Iterator[Figure]:
    for job in peer_jobs(args.quick):
        exact = by_hand(job)
        ways = methods(job, 20 if args.quick else LISSA_DEPTH)
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        errors = {}
        for _ in range(1 if args.quick else 3):
            for way, run in ways.items():
                start = perf_counter()
                found = run(job)
                seconds[way].append(perf_counter() - start)
                lengths = np.linalg.norm(exact, axis=1)
                errors[way] = np.median(np.linalg.norm(found - exact, axis=1) / lengths)
        for way in ways:
            took = float(np.median(seconds[way]))
            report(f"{job.name}, {way}: {took:.3f} s, error {errors[way]:.2g}")
            yield Figure(job.name, way, None, None, "seconds", took)
            ratio = took / float(np.median(seconds["ours"]))
            yield Figure(job.name, way, None, None, "time_ratio", ratio)
            yield Figure(job.name, way, None, None, "relative_error", float(errors[way]))


Forecast = Callable[[np.ndarray], dict[str, float]]


def head_forecast(objective: HeadObjective) -> Forecast:
    influence = HeadInfluence(objective, refit_head(objective).theta)

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

    def forecast(drop: np.ndarray) -> dict[str, float]:
        found = influence.forecast(drop)
        minimise(net, X[~drop], y[~drop], max_iter)
        moved = layout.flatten(layout.parameters) - theta
        net.module_.load_state_dict(start)
        return {
            "first_order": found.first_order,
            "kept_hessian": found.kept_hessian,
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
            # Single rows differ more than groups do.
            for _ in range(n_groups if args.quick or share > 1 / n_samples else 2 * n_groups):
                drop = np.zeros(n_samples, dtype=bool)
                n_drop = max(1, round(share * n_samples))
                drop[rng.choice(n_samples, n_drop, replace=False)] = True
                found.append(forecast(drop))
            observed = np.array([f["observed"] for f in found])
            for way in ("first_order", "kept_hessian"):
                predicted = np.array([f[way] for f in found])
                error = float(np.median(np.abs(predicted - observed) / observed))
                correlation = float(np.corrcoef(predicted, observed)[0, 1])
                report(f"{name}, {share:.2%}, {way}: r = {correlation:.4f}, error {error:.2g}")
                yield Figure(name, way, share, 0, "correlation", correlation)
                yield Figure(name, way, share, 0, "median_relative_error", error)


def made_up_head(n: int, d: int, n_classes: int) -> tuple[HeadObjective, np.ndarray]:
    """Gaussian classes in float32, and parameters that tell some of them apart."""
    rng = np.random.default_rng(0)
    centres = 0.3 * rng.standard_normal((n_classes, d), dtype=np.float32)
    y = rng.integers(n_classes, size=n)
    design = np.ones((n, d + 1), dtype=np.float32)
    for start in range(0, n, 10_000):
        rows = slice(start, min(start + 10_000, n))
        noise = rng.standard_normal((len(y[rows]), d), dtype=np.float32)
        design[rows, :d] = centres[y[rows]] + noise
    theta = np.zeros((n_classes, d + 1))
    theta[:, :d] = 0.1 * centres
    objective = HeadObjective(design, y, SoftmaxCrossEntropy(), 1e-4, n_outputs=n_classes)
    return objective.stationary_at(theta), theta


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
    for curvature in CURVATURES:
        start = perf_counter()
        head_influence(objective, theta, curvature=curvature).row_norms()
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

    influence: Any = timed(
        "influence", lambda: head_influence(objective, theta, curvature="kronecker")
    )
    assert isinstance(influence, WideHeadInfluence)
    timed("row lengths", influence.row_norms)
    drop = np.random.default_rng(1).random(n) < 0.4
    timed("one change", lambda: influence.first_order_step(drop))
    found = timed(
        "coordinates", lambda: head_coordinates(influence, 1024 if not args.quick else 50)
    )
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
    args = parser.parse_args(argv)
    # Waiting for each other, several threads take longer than one on jobs as small as these.
    limit_threads(1)
    folder = None if args.quick and args.out is None else output_folder(args)
    for part in ["peers", "retraining"] if args.part == "all" else [args.part]:
        try:
            figures = list(PARTS[part](args))
        except FileNotFoundError as error:
            parser.exit(2, f"{error}\n")
        if folder:
            write_figures(folder, f"influence_{part}", figures)
        print(table(figures))


if __name__ == "__main__":
    main()
