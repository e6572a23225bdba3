"""Other influence-function packages on the same jobs, where they are installed.

All of them are given the same network in float64, the same rows and, where they take it, the sums
of centred gradients of the groups (`ByHand.group_sums`, which is in their time): what is measured
is how they solve with the curvature. Their answers are the changes ``H^-1 g / n`` of the groups.
kronfluence keeps ``H^-1 g`` to itself and returns influences on rows, ``g^T H^-1 g_i``: its error
is that of these.

On all layers of a network packages differ in what H is: the Gauss-Newton matrix or the Hessian,
which need not be positive definite.

All run together, with this package, in one environment (pyDVL asks for numpy < 2 and, for
influence, its extra): ``numpy<2 pyDVL[influence] captum dattri kronfluence
curvlinops-for-pytorch``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from .influence_jobs import DAMPING, ByHand, Job

BATCH = 512
DISTRIBUTIONS = ("pyDVL", "captum", "dattri", "kronfluence", "curvlinops-for-pytorch")


@dataclass(frozen=True)
class Peer:
    """A method of another package.

    package : what must be importable for it to run.
    matrix : what stands for H on all layers: "Gauss-Newton", "Hessian" or "Kronecker".
    solve : of a job, changes of shape (n_groups, n_params), or influences on all rows of shape
        (n_groups, n_samples) where `on_rows`.
    """

    name: str
    package: str
    matrix: str
    solve: Callable[[Job], np.ndarray]
    on_rows: bool = False


class _Prepared:
    """A copy of the job's module and its rows, for a package to do with as it likes."""

    def __init__(self, job: Job) -> None:
        self.job, self.by_hand = job, ByHand(job)
        self.module = copy.deepcopy(job.net.module_).eval()
        named = dict(self.module.named_parameters())
        for name, parameter in named.items():
            parameter.requires_grad_(name in self.by_hand.layout.parameters)
        self.parameters = {name: named[name] for name in self.by_hand.layout.parameters}
        self.layers = [name.rpartition(".")[0] for name in self.parameters if "weight" in name]

    def loader(self, batch_size: int = BATCH) -> DataLoader[Any]:
        data = TensorDataset(self.by_hand.X, self.by_hand.y)
        return DataLoader(data, batch_size=batch_size, shuffle=False)

    def sums(self) -> torch.Tensor:
        """Centred sums of the groups, in the module's order, of shape (n_groups, n_params)."""
        by_name = self.by_hand.layout.unflatten(self.by_hand.group_sums().T)
        return torch.cat([by_name[name].flatten(1) for name in self.parameters], dim=1)

    def changes(self, solved: torch.Tensor) -> np.ndarray:
        """What was solved for, of that shape, in the order of the package and divided by n."""
        pieces = solved.detach().split([p.numel() for p in self.parameters.values()], dim=1)
        by_name = {
            name: piece.reshape(-1, *parameter.shape)
            for (name, parameter), piece in zip(self.parameters.items(), pieces, strict=True)
        }
        return (self.by_hand.layout.flatten(by_name, 1) / len(self.job.X)).numpy()


def pydvl_direct(job: Job) -> np.ndarray:
    functional = import_module("pydvl.influence.torch.functional")
    operator = import_module("pydvl.influence.torch.operator")
    it = _Prepared(job)
    H = functional.hessian(
        it.module, nn.functional.cross_entropy, it.loader(), restrict_to=_detached(it)
    )
    solver = operator.DirectSolveOperator(H, DAMPING, in_place_regularization=True)
    return it.changes(solver.apply(it.sums()))


def pydvl_cg(job: Job, block: bool) -> np.ndarray:
    """Conjugate gradients with the tolerances that `CgInfluence` has by default."""
    operator = import_module("pydvl.influence.torch.operator")
    it = _Prepared(job)
    H = operator.HessianOperator(
        it.module, nn.functional.cross_entropy, it.loader(), restrict_to=_detached(it)
    )
    solver = operator.CgOperator(H, DAMPING, rtol=1e-4, atol=1e-6, use_block_cg=block)
    return it.changes(solver.apply(it.sums()))


def _detached(it: _Prepared) -> dict[str, torch.Tensor]:
    return {name: parameter.detach() for name, parameter in it.parameters.items()}


def captum_naive(job: Job) -> np.ndarray:
    """All directions are kept; ``R R^T`` stands for the inverse Hessian."""
    influence = import_module("captum.influence._core.influence_function")
    it = _Prepared(job)
    n = len(job.X)

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        # Captum sums losses over all rows.
        return nn.functional.cross_entropy(outputs, targets, reduction="none") / n

    naive = influence.NaiveInfluenceFunction(
        it.module,
        it.loader(),
        checkpoint="",
        checkpoints_load_func=lambda *_: 1.0,
        layers=it.layers,
        loss_fn=loss,
        projection_dim=None,
        hessian_reg=DAMPING,
    )
    return it.changes(it.sums() @ naive.R @ naive.R.T)


def _dattri_task(it: _Prepared) -> Any:
    task = import_module("dattri.task")

    def loss(parameters: Any, data: Any) -> torch.Tensor:
        X, y = data
        return nn.functional.cross_entropy(torch.func.functional_call(it.module, parameters, X), y)

    return task.AttributionTask(loss, it.module, it.module.state_dict())


def dattri_explicit(job: Job, batch_size: int | None) -> np.ndarray:
    """With all rows in one batch; inverses of batches would be added up."""
    algorithm = import_module("dattri.algorithm.influence_function")
    it = _Prepared(job)
    solver = algorithm.IFAttributorExplicit(
        _dattri_task(it), layer_name=list(it.parameters), regularization=DAMPING
    )
    solver.cache(it.loader(batch_size or len(job.X)))
    return it.changes(solver.transform_test_rep(0, it.sums()))


def dattri_ekfac(job: Job) -> np.ndarray:
    algorithm = import_module("dattri.algorithm.influence_function")
    it = _Prepared(job)
    solver = algorithm.IFAttributorEKFAC(
        _dattri_task(it), module_name=list(it.layers), damping=DAMPING
    )
    solver.cache(it.loader())
    return it.changes(solver.transform_test_rep(0, it.sums()))


def kronfluence_scores(job: Job) -> np.ndarray:
    """Influences ``g^T H^-1 g_i`` of groups on rows, of shape (n_groups, n_samples)."""
    analyzer = import_module("kronfluence.analyzer")
    arguments = import_module("kronfluence.arguments")
    task_module = import_module("kronfluence.task")
    it = _Prepared(job)
    X, y = it.by_hand.X, it.by_hand.y
    W = torch.as_tensor(job.groups, dtype=torch.float64)
    W = W - W.mean(dim=1, keepdim=True)

    class Task(task_module.Task):  # type: ignore[name-defined]
        def compute_train_loss(self, batch: Any, model: Any, sample: bool = False) -> torch.Tensor:
            logits = model(batch[0])
            labels = batch[1]
            if sample:
                labels = torch.multinomial(logits.detach().softmax(dim=1), 1).flatten()
            return nn.functional.cross_entropy(logits, labels, reduction="sum")

        def compute_measurement(self, batch: Any, model: Any) -> torch.Tensor:
            # A group is one query, whose rows are positions of a sequence.
            logits = model(X[None]).flatten(0, 1)
            losses = nn.functional.cross_entropy(logits, y, reduction="none")
            return (batch[0][0] * losses).sum()

        def get_influence_tracked_modules(self) -> list[str]:
            return it.layers

    task = Task()
    module = analyzer.prepare_model(it.module, task)
    double = torch.float64
    with TemporaryDirectory() as folder:
        analysis = analyzer.Analyzer(
            "job", module, task, cpu=True, disable_tqdm=True, output_dir=folder
        )
        analysis.fit_all_factors(
            "factors",
            TensorDataset(X, y),
            per_device_batch_size=BATCH,
            factor_args=arguments.FactorArguments(
                strategy="ekfac",
                activation_covariance_dtype=double,
                gradient_covariance_dtype=double,
                per_sample_gradient_dtype=double,
                lambda_dtype=double,
            ),
        )
        analysis.compute_pairwise_scores(
            "scores",
            "factors",
            query_dataset=TensorDataset(W),
            train_dataset=TensorDataset(X, y),
            per_device_query_batch_size=1,
            per_device_train_batch_size=BATCH,
            score_args=arguments.ScoreArguments(
                damping_factor=DAMPING,
                per_sample_gradient_dtype=double,
                precondition_dtype=double,
                score_dtype=double,
            ),
        )
        scores = analysis.load_pairwise_scores("scores")
    return scores["all_modules"].numpy()


def _curvlinops_matrix(it: _Prepared) -> Any:
    curvlinops = import_module("curvlinops")
    return curvlinops.GGNLinearOperator(
        it.module,
        nn.CrossEntropyLoss(),
        list(it.parameters.values()),
        list(it.loader()),
        check_deterministic=False,
    )


def curvlinops_dense(job: Job) -> np.ndarray:
    it = _Prepared(job)
    eye = torch.eye(len(it.by_hand.theta), dtype=torch.float64)
    H = _curvlinops_matrix(it) @ eye + DAMPING * eye
    return it.changes(torch.linalg.solve(H, it.sums().T).T)


def curvlinops_cg(job: Job) -> np.ndarray:
    """Conjugate gradients with the tolerance they have by default."""
    curvlinops = import_module("curvlinops")
    examples = import_module("curvlinops.examples")
    it = _Prepared(job)
    shapes = [tuple(p.shape) for p in it.parameters.values()]
    eye = examples.IdentityLinearOperator(shapes, torch.device("cpu"), torch.float64)
    H = _curvlinops_matrix(it) + DAMPING * eye
    return it.changes((curvlinops.CGInverseLinearOperator(H) @ it.sums().T).T)


def curvlinops_kfac(job: Job, operator: str) -> np.ndarray:
    curvlinops = import_module("curvlinops")
    it = _Prepared(job)
    factors = getattr(curvlinops, operator)(
        it.module,
        nn.CrossEntropyLoss(),
        list(it.parameters.values()),
        list(it.loader()),
        check_deterministic=False,
        fisher_type="type-2",
        separate_weight_and_bias=False,
    )
    inverse = curvlinops.KFACInverseLinearOperator(factors, damping=DAMPING, use_exact_damping=True)
    return it.changes((inverse @ it.sums().T).T)


ALL = (
    Peer("pyDVL, direct", "pydvl", "Hessian", pydvl_direct),
    Peer("pyDVL, CG", "pydvl", "Hessian", partial(pydvl_cg, block=False)),
    Peer("pyDVL, block CG", "pydvl", "Hessian", partial(pydvl_cg, block=True)),
    Peer("captum, naive", "captum", "Hessian", captum_naive),
    Peer("dattri, explicit", "dattri", "Hessian", partial(dattri_explicit, batch_size=None)),
    Peer(
        "dattri, explicit, batches", "dattri", "Hessian", partial(dattri_explicit, batch_size=BATCH)
    ),
    Peer("dattri, EK-FAC", "dattri", "Kronecker", dattri_ekfac),
    Peer("kronfluence, EK-FAC", "kronfluence", "Kronecker", kronfluence_scores, on_rows=True),
    Peer("curvlinops, dense", "curvlinops", "Gauss-Newton", curvlinops_dense),
    Peer("curvlinops, CG", "curvlinops", "Gauss-Newton", curvlinops_cg),
    Peer(
        "curvlinops, K-FAC", "curvlinops", "Kronecker",
        partial(curvlinops_kfac, operator="KFACLinearOperator"),
    ),
    Peer(
        "curvlinops, EK-FAC", "curvlinops", "Kronecker",
        partial(curvlinops_kfac, operator="EKFACLinearOperator"),
    ),
)  # fmt: skip


def installed() -> list[Peer]:
    return [peer for peer in ALL if find_spec(peer.package)]
