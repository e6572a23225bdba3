"""What a pruning costs: promised, bounded, and checked."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._compat import Task
from ..influence import HeadFit, Influence, MatchedCoordinates, influences_of
from ..selection import InfeasibleProblemError, Selection, SelectionProblem, draw_dropped
from ..utils import telling
from .reference import Aim

Norm = Literal["loss", "parameter"]

# Refits on random rows, and the numbers (rows kept times parameters) beyond which one is enough.
_N_REFITS, _LONG_REFIT = 3, 2e7
# In words: shares of what random rows do at which choosing was worth it, and at which nothing is
# left to say; and how far beyond the prediction makes it doubtful.
_WORTH_CHOOSING, _HARDLY_MOVES, _FAR_BEYOND = 0.7, 0.05, 10.0
# A length that is nothing but rounding.
_ROUNDING = 1e-10


@dataclass(frozen=True, repr=False)
class Certificate:
    """How far dropping the chosen rows moves the head, and how that compares.

    Every change is in the unit of ``norm``: for "loss" it is ``½ Δθᵀ H Δθ``, a rise of the
    training objective in units of the loss (nats for cross-entropy), H being the Hessian of the
    mean loss on all rows; for "parameter" it is ``‖Δθ‖₂``. All are computed in float64 from the
    rows that were returned, in all parameters of the head. What is said of the distribution has no
    unit; it is summed in float64 from features in float32.

    Attributes
    ----------
    n_samples, n_dropped, n_kept : int
        Rows in all, dropped and kept.
    norm : {"loss", "parameter"}
        Unit of the changes.
    predicted_change : float
        First order, with the size factor: ``Δθ = N/(N − Σ ν_i w_i) · Σ w_i s_i``. For a ratio
        this was made small against ``random_change``, but not as small as it can be.
    kept_hessian_change : float
        One Newton step with the Hessian of the kept rows. For a ratio this was made small next, at
        which ``predicted_change`` may have risen a little; where fewer rows than parameters are
        left, both may have risen for what retraining costs.
    actual_change : float
        What the head does when it is refitted on the kept rows. NaN for more layers than the last:
        a network that is trained again ends elsewhere even on the same rows.
    random_change : float
        First-order change for random rows, as many of each class: the expected value for the norm
        "loss", the root mean square for "parameter"; where weights differ, the mean of some
        thousand draws. What ``predicted_change`` compares with.
    random_actual_change : float
        What the head does when it is refitted on random rows, as many of each class or group: the
        mean of three draws, of one where a refit is long. What ``actual_change`` compares with.
        NaN where that is, and where the refit does not converge.
    distribution_error, random_distribution_error : float
        How far the kept rows are from the distribution that was aimed at: the maximum mean
        discrepancy in the features that were held; and how far random rows, as many of each class
        or group, are from all rows (a root mean square). NaN where no distribution was held.
    distribution_tilt : float
        How far the distribution that was aimed at is itself from all rows, on the same scale. For a
        ratio it has more rows where they are sparse or their target is uncertain, since other
        models learn most from these; for a tolerance, and with costs, it is that of all rows (0).
    least_weight, greatest_weight : float
        Of the kept rows' weights, whose mean is 1; both are 1 without ``reweight``. The three
        changes and that of the distribution are those of the weighted rows.
    effective_rows : float
        ``(Σ v)² / Σ v²``: as many rows of equal weight average as well.
    n_reference : int
        Reference rows; 0 without any. With them, every change is one from the head of the
        *reference* rows to that of the rows kept, and the distribution's from the one aimed at.
    reference_score, reference_damping : float
        What their head scores on reference rows that were held out (accuracy, or R²), and the
        damping that was chosen there. NaN without any.
    reference_similarity : float
        1 where the reference rows look like training rows drawn at random, in all but their
        labels; near 0 where they are others, so that their own distribution is aimed at. NaN
        without any.
    n_suspect, n_suspect_kept : int
        Training rows whose labels, by the reference rows, are more likely wrong than right; and how
        many of them are kept.
    lower_bound : float
        No set of as many rows under the same rules has a smaller first-order change; 0 where
        nothing better is known, which is the rule with many rows: sets of almost no change exist.
        NaN, as are ``gap`` and ``saving_bound``, for a Kronecker-factored curvature, in whose
        coordinates a bound says nothing of the change itself.
    gap : float
        How far the selection can be from the best one, as a share; 0 is proven optimal. For a
        ratio the share is one of the length whose size ``predicted_change`` is, and near 1
        wherever ``lower_bound`` is 0; for a tolerance one of ``saving_bound``.
    saving_bound : float
        For a tolerance: no set within it drops more rows (or saves more, where costs were
        given). Infinite for a ratio.
    status : str
        How the selection ended.
    n_integers, n_nodes : int
        What ``scipy.optimize.milp`` decided: how many rows of each of so many cells go, or, of few
        rows, which; and the branch-and-bound nodes that it visited. 0 where the rules leave no
        count open.
    milp_gap, milp_seconds : float
        The relative gap that it proved for these counts (NaN where it gave none), and its time.
    gradient_norm : float
        Norm of the gradient at the head that influences were taken at.
    n_iter : int
        Newton steps that the head was refitted with.
    n_networks : int
        Networks that are matched together. Changes are means over them (the roots of mean
        squares, for the norm "parameter"), parameters and coordinates sums, ``gradient_norm`` and
        ``n_iter`` the largest.
    curvature : {"dense", "kronecker"}, or both with a comma
        Which curvature the coordinates are of. Changes are always measured with the exact one.
    n_parameters : int
        Parameters that influence was taken on.
    n_coordinates : int
        Coordinates that the selection matched.
    coordinate_share : float
        Share of ``Σ ‖z_i‖²`` that these hold.
    coordinate_error : float
        Relative error of the first-order change that they predict for random sets of 40 % of the
        rows; 0 where they are exact. Near 1, choosing can gain little over random rows.
    seconds : tuple of (str, float)
        Wall-clock seconds of each stage, in order.
    """

    n_samples: int
    n_dropped: int
    n_kept: int
    norm: Norm
    predicted_change: float
    kept_hessian_change: float
    actual_change: float
    random_change: float
    random_actual_change: float
    distribution_error: float
    random_distribution_error: float
    distribution_tilt: float
    least_weight: float
    greatest_weight: float
    effective_rows: float
    n_reference: int
    reference_score: float
    reference_damping: float
    reference_similarity: float
    n_suspect: int
    n_suspect_kept: int
    lower_bound: float
    gap: float
    saving_bound: float
    status: str
    n_integers: int
    n_nodes: int
    milp_gap: float
    milp_seconds: float
    gradient_norm: float
    n_iter: int
    n_networks: int
    curvature: str
    n_parameters: int
    n_coordinates: int
    coordinate_share: float
    coordinate_error: float
    seconds: tuple[tuple[str, float], ...] = ()

    def __repr__(self) -> str:
        """Return one aligned line for each quantity."""
        share = self.n_dropped / self.n_samples
        unit = "rise of the loss" if self.norm == "loss" else "distance of the parameters"
        stages = ", ".join(f"{name} {seconds:.2f}" for name, seconds in self.seconds)
        solver = self.status
        if np.isfinite(self.saving_bound):
            solver += f", none saves more than {self.saving_bound:.6g}"
        lines = [
            (
                "rows",
                f"{self.n_kept} kept, {self.n_dropped} dropped of {self.n_samples} ({share:.1%})",
            ),
            ("norm", f"{self.norm} ({unit})"),
            ("predicted change", f"{self.predicted_change:.4g}"),
            ("  kept rows' Hessian", f"{self.kept_hessian_change:.4g}"),
            ("  actual, head refitted", f"{self.actual_change:.4g}"),
            ("random rows, predicted", f"{self.random_change:.4g}"),
            ("  actual, head refitted", f"{self.random_actual_change:.4g}"),
            ("lower bound, gap", f"{self.lower_bound:.4g}, {self.gap:.2%}"),
            ("solver", solver),
            ("milp", f"{self.n_integers:,} integers, {self.n_nodes:,} nodes"),
            ("head", f"gradient norm {self.gradient_norm:.2g} after {self.n_iter} steps"),
            ("seconds", stages),
        ]
        if not np.isnan(self.distribution_error):
            error = (
                f"{self.distribution_error:.4g} off its aim, random rows "
                f"{self.random_distribution_error:.4g}; tilted by {self.distribution_tilt:.4g}"
            )
            lines.insert(7, ("distribution", error))
        if self.least_weight < self.greatest_weight:
            weights = (
                f"{self.least_weight:.3g} to {self.greatest_weight:.3g}, worth "
                f"{self.effective_rows:.0f} rows"
            )
            lines.insert(1, ("weights", weights))
        if self.n_reference:
            lines[1:1] = [
                (
                    "reference rows",
                    f"{self.n_reference}, whose head scores {self.reference_score:.3f} held out",
                ),
                ("suspect labels", f"{self.n_suspect}, {self.n_suspect_kept} of them kept"),
            ]
        if self.n_networks > 1:
            lines.insert(-2, ("networks", f"{self.n_networks}, of whose changes these are means"))
        if self.coordinate_error:
            matched = (
                f"{self.n_coordinates:,} of {self.n_parameters:,} ({self.curvature}), "
                f"{self.coordinate_share:.1%} of the energy, off by {self.coordinate_error:.1%}"
            )
            lines.insert(-2, ("coordinates", matched))
        table = "\n".join(f"  {name:<24} {value}" for name, value in lines)
        words = textwrap.fill(self.summary(), 96, initial_indent="  ", subsequent_indent="  ")
        return f"Certificate\n{table}\n{words}"

    def summary(self) -> str:
        """Return in words what to expect, and when to distrust it."""
        if not self.n_dropped:
            return "No row is dropped, so nothing moves."
        sentences = ["Changes are those from the head of the reference rows."]
        if not self.n_reference:
            sentences = []
        share = _times(
            self.actual_change, self.random_actual_change, in_unit_of(self.norm, _ROUNDING)
        )
        if np.isnan(self.actual_change):
            sentences.append(
                "What training more layers than the last does is not known beforehand: compare "
                "scores on rows held out."
            )
        elif np.isnan(share):
            sentences.append("On random rows the last layer could not be refitted to compare with.")
        elif share < _WORTH_CHOOSING:
            sentences.append(
                f"Refitted on these rows, the last layer moves {share:.2g} times as much as on "
                "random ones."
            )
        else:
            sentences.append(
                f"Choosing gained little: refitted on these rows, the last layer moves {share:.2g} "
                "times as much as on random ones. Keep more rows, or raise damping."
            )
        off = _times(self.distribution_error, self.random_distribution_error, _ROUNDING)
        compared = (
            f"The rows kept miss the distribution they aim at by {off:.2g} times what random rows "
            "miss that of all rows"
        )
        if np.isnan(self.distribution_error):
            sentences.append("The distribution was not held: other models may find these rows odd.")
        elif round(off, 1) <= 1:
            sentences.append(f"{compared}, so other models should find them no worse.")
        else:
            sentences.append(
                f"{compared}, so other models may find them worse: raise distribution_weight."
            )
        if self.distribution_tilt > self.random_distribution_error:
            sentences.append(
                "On purpose they hold more sparse and uncertain rows, and fewer contradicted "
                "labels, than all rows do."
            )
        if self.actual_change > _FAR_BEYOND * self.predicted_change and share >= _HARDLY_MOVES:
            sentences.append(
                "Distrust the prediction: few rows are left for so many parameters, and refitting "
                "goes further than one Newton step says."
            )
        if self.status == "time limit":
            sentences.append("time_limit ended the search; with more time the rows may be better.")
        return " ".join(sentences)


def _times(change: float, random: float, rounding: float) -> float:
    """Return the change in units of that of random rows; 0 where it is no more than rounding."""
    if change <= rounding:
        return 0.0
    return change / random if random else np.inf


@dataclass(frozen=True)
class Choice:
    """The rows to drop, and the problem that they solve.

    Attributes
    ----------
    selection : Selection
        What was chosen.
    problem : SelectionProblem
        What was asked.
    weights : ndarray of shape (n_kept,) or None
        Weights of the rows kept, of mean 1; None where all are 1.
    """

    selection: Selection
    problem: SelectionProblem
    weights: NDArray[np.float64] | None = None

    @property
    def dropped(self) -> NDArray[Any]:
        """The mask of dropped rows; with weights v, the share ``1 - v_i`` of each row's weight."""
        drop = self.selection.drop
        if self.weights is None:
            return drop
        share = np.ones(len(drop))
        share[~drop] = 1 - self.weights
        return share

    def random_rows(self, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Draw rows to drop, as many of each group, where the problem leaves a choice."""
        problem, drop = self.problem, self.selection.drop
        labels = np.where(problem.free, problem.groups, -1)
        n_dropped = problem.count(drop & problem.free)
        return problem.must_drop | draw_dropped(labels, n_dropped, None, rng)


def in_unit_of(norm: Norm, length: float) -> float:
    """Return the change that a length ``‖Zᵀw‖₂`` stands for: ``½ length²`` for the loss norm."""
    return 0.5 * length**2 if norm == "loss" else length


def length_in(norm: Norm) -> Callable[[float], float]:
    """Return the inverse of `in_unit_of`: from a change to a length."""
    return (lambda change: float(np.sqrt(2 * change))) if norm == "loss" else float


def beyond_tolerance(
    error: InfeasibleProblemError,
    influence: Influence,
    must_drop: NDArray[np.bool_],
    *,
    tolerance: float,
    causes: dict[str, str],
    is_balanced: bool,
) -> InfeasibleProblemError:
    """Return the solver's error about a length as one about the change that the user limits.

    ``must_drop`` holds the rows that go in any case, and ``causes`` why: the parameter and its
    remedy.
    """
    if error.change is None:
        return error
    change = in_unit_of(influence.norm, error.change)
    sets, remedies = "that meet the quotas", ["widen the quotas"]
    if influence.measure(influence.first_order_step(must_drop)) > tolerance:
        sets = f"that include the {int(must_drop.sum())} rows of {' and '.join(causes)}"
        remedies = list(causes.values())
    found = ""
    if np.isfinite(change):
        found = f"; the smallest change found is {change:.3g}"
        # Rounded up, so that the value that is named can be met.
        remedies.insert(0, f"raise the tolerance to {1.005 * change:.3g}")
    if error.timed_out:
        found += "; time_limit ended the search"
        remedies.append("raise time_limit")
    if is_balanced:
        remedies.append("set distribution_weight to 0")
    message = (
        f"tolerance={tolerance:g}, but no rows within it were found {sets}{found}. "
        f"To go on, {', or '.join(remedies)}."
    )
    return InfeasibleProblemError(message, tolerance=tolerance, change=change)


def require_exact(coordinates: MatchedCoordinates) -> None:
    """Raise ValueError where a bound on the coordinates would not bound the change."""
    if coordinates.relative_error:
        raise ValueError(
            "tolerance bounds the change in all parameters, and the coordinates are off by "
            f"{coordinates.relative_error:.0%}; take curvature='dense' and n_components of all "
            "parameters, or give prune_ratio instead."
        )


def single_row_changes(influence: Influence) -> NDArray[np.float64]:
    """Return the first-order change for dropping each row alone, of shape (n_samples,).

    ``‖N/(N − ν_i) z_i‖``, or half its square for the loss norm; infinite for a row that carries
    all of the weight.
    """
    weights, total = influence.sample_weight, influence.weight_sum
    rest = total - weights
    lengths = influence.row_norms() * total
    norms = np.divide(lengths, rest, out=np.full(len(rest), np.inf), where=rest > 0)
    return 0.5 * norms**2 if influence.norm == "loss" else norms


class StageClock:
    """Seconds of each stage, printed where ``verbose`` asks for it; callbacks are told as well."""

    def __init__(self, verbose: int = 0, task: Task | None = None) -> None:
        self.verbose, self._task = verbose, task or Task()
        self.seconds: tuple[tuple[str, float], ...] = ()

    @contextmanager
    def stage(self, name: str, n_parts: int | None = 0) -> Iterator[None]:
        """Add the seconds spent inside to ``seconds``, and tell the callbacks of its parts.

        ``n_parts`` is how many will be told by `part_done`; None where that is not known.
        """
        start = time.perf_counter()
        with self._task.part(name, n_parts) as task, telling(task.tick):
            yield
        self.add(name, time.perf_counter() - start)

    def add(self, name: str, seconds: float) -> None:
        """Add the seconds of something that was timed elsewhere."""
        self.seconds += ((name, seconds),)
        self.say(f"{name:<12} {seconds:8.2f} s")

    def say(self, line: str) -> None:
        """Print a line where ``verbose`` asks for it."""
        if self.verbose:
            print(f"[InfluencePruner] {line}")


class _Distribution(NamedTuple):
    """What a certificate says of the distribution, with the size factors; NaN where not held."""

    error: float = np.nan
    random_error: float = np.nan
    tilt: float = np.nan


def _of_distribution(influence: Influence, chosen: Choice) -> _Distribution:
    problem, solver = chosen.problem, chosen.selection.certificate
    if not problem.is_balanced:
        return _Distribution()
    embedding = problem.coordinates.block(1)
    moved = influence.size_factor(chosen.dropped) * embedding.total(chosen.dropped)
    aim = np.zeros(embedding.n_coordinates)
    if problem.kept_share is not None:
        weights = problem.sample_weight
        aim_factor = weights.sum() / (problem.kept_share @ weights)
        aim = aim_factor * embedding.total(1.0 - problem.kept_share)
    error, tilt = (embedding.scale * float(np.linalg.norm(v)) for v in (moved - aim, aim))
    random_error = solver.random_size_factors[1] * solver.random_imbalances[0]
    return _Distribution(error, random_error, tilt)


def certify(
    influence: Influence,
    coordinates: MatchedCoordinates,
    head_fit: HeadFit,
    chosen: Choice,
    aim: Aim | None = None,
    *,
    random_state: int = 0,
) -> Certificate:
    """Compute the certificate of a choice from the rows it drops.

    ``aim`` is what reference rows say; ``random_state`` seeds the draws of random rows to compare
    with.
    """
    selection = chosen.selection
    solver, drop = selection.certificate, selection.drop
    norm, n_dropped = influence.norm, int(drop.sum())
    forecast = influence.forecast(chosen.dropped)
    weights = np.ones(1) if chosen.weights is None else chosen.weights
    # Leading coordinates are a projection, so what bounds them bounds the whole; those of another
    # curvature bound nothing.
    bounds = 1.0 if influence.is_exact else np.nan
    distribution = _of_distribution(influence, chosen)
    return Certificate(
        n_samples=len(drop),
        n_dropped=n_dropped,
        n_kept=len(drop) - n_dropped,
        norm=norm,
        predicted_change=forecast.first_order,
        kept_hessian_change=forecast.kept_hessian,
        actual_change=forecast.refitted,
        random_actual_change=_random_actual_change(influence, chosen, random_state),
        distribution_error=distribution.error,
        random_distribution_error=distribution.random_error,
        distribution_tilt=distribution.tilt,
        random_change=in_unit_of(
            norm,
            solver.random_size_factors[0] * coordinates.length_ratio * solver.random_objective,
        ),
        least_weight=float(weights.min()),
        greatest_weight=float(weights.max()),
        effective_rows=(len(drop) - n_dropped) / float(np.mean(weights**2)),
        n_reference=0 if aim is None else aim.n_rows,
        reference_score=np.nan if aim is None else aim.score,
        reference_damping=np.nan if aim is None else aim.damping,
        reference_similarity=np.nan if aim is None else aim.similarity,
        n_suspect=0 if aim is None else int(aim.suspect.sum()),
        n_suspect_kept=0 if aim is None else int((aim.suspect & ~drop).sum()),
        lower_bound=bounds * in_unit_of(norm, solver.least_size_factor * solver.lower_bound),
        gap=bounds * solver.gap,
        saving_bound=bounds * solver.saving_bound,
        status=solver.status,
        n_integers=solver.n_integers,
        n_nodes=solver.n_nodes + solver.cell_nodes,
        milp_gap=solver.cell_gap,
        milp_seconds=solver.cell_seconds,
        gradient_norm=head_fit.gradient_norm,
        n_iter=head_fit.n_iter,
        n_networks=len(influences_of(influence)),
        curvature=influence.curvature_name,
        n_parameters=influence.shape[1],
        n_coordinates=coordinates.Z.shape[1],
        coordinate_share=coordinates.energy_share,
        coordinate_error=coordinates.relative_error,
    )


def _random_actual_change(influence: Influence, chosen: Choice, random_state: int) -> float:
    """Return the mean change of the head refitted on random rows, as many of each group."""
    rng, drop = np.random.default_rng(random_state), chosen.selection.drop
    is_long = (len(drop) - drop.sum()) * influence.shape[1] > _LONG_REFIT
    changes = [
        influence.refitted_change(chosen.random_rows(rng))
        for _ in range(1 if is_long else _N_REFITS)
    ]
    return float(np.mean(changes))
