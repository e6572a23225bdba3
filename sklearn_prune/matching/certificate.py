"""The cost of a pruning: predicted, bounded, and checked by refitting."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from ..influence import Influence, Norm, influences_of
from ..utils import OutOfTimeError, time_limited
from .choice import Choice
from .matched import Matched
from .units import in_unit_of

# Refits on random rows; beyond this many rows kept times parameters, only one is done.
_N_REFITS, _LONG_REFIT = 3, 2e7
# For the summary. Below this share of the change by random rows, choosing was worth it; below the
# second, the head hardly moves. If the actual change is this many times the predicted one, the
# prediction is doubtful.
_WORTH_CHOOSING, _HARDLY_MOVES, _FAR_BEYOND = 0.7, 0.05, 10.0
# A length that is nothing but rounding.
_ROUNDING = 1e-10


@dataclass(frozen=True, repr=False)
class Certificate:
    """How far dropping the chosen rows moves the head (the last layer), compared with random rows.

    Every change is in the unit of ``norm``: for "loss" it is ``½ Δθᵀ H Δθ``, a rise of the
    training objective in units of the loss (nats for cross-entropy), where H is the Hessian of the
    damped mean loss on all rows; for "parameter" it is ``‖Δθ‖₂``. All changes are computed in
    float64 from the rows that were returned, in all parameters of the head. Distances between
    distributions have no unit; they are summed in float64 from features in float32.

    Attributes
    ----------
    n_samples, n_dropped, n_kept : int
        Number of rows in all, dropped, and kept.
    norm : {"loss", "parameter"}
        Unit of the changes.
    predicted_change : float
        First order, with the size factor: ``Δθ = N/(N − Σ ν_i w_i) · Σ w_i s_i``. With a
        ``prune_ratio``, the selection makes it much smaller than ``random_change``, but not as
        small as possible.
    kept_hessian_change : float
        One Newton step with the Hessian of the kept rows. With a ``prune_ratio``, the selection
        makes this small next, which may raise ``predicted_change`` a little; if fewer rows than
        parameters are kept, it may raise both to reduce what retraining costs.
    actual_change : float
        Change of the head when it is refitted on the kept rows. NaN for more layers than the last,
        since a network that is trained again ends elsewhere even on the same rows; also NaN if
        ``refits_timed_out`` or the refit does not converge.
    random_change : float
        First-order change for random rows, as many of each class or group: the expected value for
        the norm "loss", the root mean square for "parameter". If weights differ, the size factor in
        it is estimated from up to 2,000 draws. Compare ``predicted_change`` with it.
    random_actual_change : float
        Change of the head when it is refitted on random rows, as many of each class or group: the
        mean of three draws, or one draw if a refit is long or X is a Dask collection. Compare
        ``actual_change`` with it. NaN if that is NaN for lack of a refit, or if a refit does not
        converge.
    refits_timed_out : bool
        Whether ``time_limit`` was reached before the head was refitted. Changes that need a refit
        are then NaN.
    distribution_error, random_distribution_error : float
        Maximum mean discrepancy, in the features that were matched, between the kept rows and their
        target distribution; and between random rows, as many of each class or group, and all rows
        (a root mean square). NaN if no distribution was matched.
    distribution_tilt : float
        Distance between the target distribution and that of all rows, on the same scale. With a
        ``prune_ratio``, the target has more rows in sparse regions and where y is uncertain, since
        other models learn most from these; with a tolerance or costs, it is the distribution of all
        rows, and this is 0.
    least_weight, greatest_weight : float
        Least and greatest weight of a kept row, where the mean is 1; both are 1 without
        ``reweight``. With it, all changes and the distribution are those of the weighted rows.
    effective_rows : float
        ``(Σ v)² / Σ v²``: the number of equally weighted rows whose mean is as precise.
    n_reference : int
        Number of reference rows; 0 without any. With them, every change is from the head of the
        *reference* rows to that of the rows kept, and ``distribution_error`` is the distance from
        their target distribution.
    reference_score, reference_damping : float
        Score of their head on held-out reference rows (accuracy, or R²), and the damping that was
        chosen by it. NaN without reference rows.
    reference_similarity : float
        1 if the columns of the reference rows look like those of random training rows; near 0 if
        they do not, so that the target is the distribution of the reference rows themselves. NaN
        without reference rows.
    n_suspect, n_suspect_kept : int
        Number of training rows whose labels are more likely wrong than right according to the
        reference rows, and how many of these are kept.
    lower_bound : float
        No set of as many rows under the same rules has a smaller first-order change. With many rows
        it is mostly 0, since sets of almost no change exist. For a Kronecker-factored curvature it
        is NaN, as are ``gap`` and ``saving_bound``, since a bound in its coordinates does not bound
        the change.
    gap : float
        How far the selection can be from optimal, as a share; 0 means proven optimal. With a
        ``prune_ratio``, it is ``1 - lower_bound / predicted_change`` for the rows without weights,
        in lengths (square roots of changes for the norm "loss"), and near 1 if ``lower_bound`` is
        0; with a tolerance, it is a share of ``saving_bound``.
    saving_bound : float
        With a tolerance, no set within it drops more rows (or saves more, if costs were given).
        Infinite with a ``prune_ratio``.
    status : {"optimal", "feasible", "time limit", "nothing to drop"}
        How the selection ended: proven optimal, by itself, by ``time_limit``, or by itself without
        a row that the tolerance allows to be dropped.
    n_integers, n_nodes : int
        Number of integers that ``scipy.optimize.milp`` decided (how many rows of each cell to drop
        or, with few rows, which ones), and of branch-and-bound nodes that it visited. 0 if the
        rules leave no count open.
    milp_gap, milp_seconds : float
        Relative gap that milp proved for the counts of the cells (NaN if none), and its time.
    gradient_norm : float
        Norm of the objective's gradient at the head at which influences were computed.
    n_iter : int
        Newton steps that the fit of the head took.
    n_networks : int
        Number of networks that are matched together. Changes are means over them (root mean squares
        for the norm "parameter"); the numbers of parameters and coordinates are sums;
        ``gradient_norm`` and ``n_iter`` are the largest.
    curvature : {"dense", "kronecker"}, or both with a comma
        Curvature that the coordinates are computed with. Changes use the exact Hessian.
    n_parameters : int
        Number of parameters that influences were computed on.
    n_coordinates : int
        Number of coordinates that the selection matched.
    coordinate_share : float
        Share of ``Σ ‖z_i‖²`` in these coordinates.
    coordinate_error : float
        Relative error of the first-order change by these coordinates for random sets of 40 % of the
        rows; 0 if they are exact. If it is near 1, choosing can gain little over random rows.
    seconds : tuple of (str, float)
        Wall-clock seconds of each stage, in order.
    n_passes, bytes_moved : int
        Of a Dask collection: how often all its partitions were computed, and the bytes that their
        arguments and results took. 0 in memory.
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
    refits_timed_out: bool
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
    n_passes: int = 0
    bytes_moved: int = 0

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
            ("  actual, head refitted", self._refitted(self.actual_change)),
            ("random rows, predicted", f"{self.random_change:.4g}"),
            ("  actual, head refitted", self._refitted(self.random_actual_change)),
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
        if self.n_passes:
            moved = f"{self.n_passes} over all partitions, {self.bytes_moved / 1e6:.3g} MB moved"
            lines.insert(-1, ("passes", moved))
        table = "\n".join(f"  {name:<24} {value}" for name, value in lines)
        words = textwrap.fill(self.summary(), 96, initial_indent="  ", subsequent_indent="  ")
        return f"Certificate\n{table}\n{words}"

    def to_dict(self) -> dict[str, object]:
        """Return the attributes as JSON has them.

        Returns
        -------
        certificate : dict
            Of str, int, float, bool and None, and of the seconds of each stage under "seconds".
            None stands for NaN and infinity, which JSON lacks.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["seconds"] = dict(self.seconds)
        return {
            name: None if isinstance(value, float) and not np.isfinite(value) else value
            for name, value in values.items()
        }

    def _refitted(self, change: float) -> str:
        is_cut = self.refits_timed_out and np.isnan(change)
        return "not computed, out of time" if is_cut else f"{change:.4g}"

    def summary(self) -> str:
        """Return in words what to expect, and why to doubt it."""
        if not self.n_dropped:
            # The head of reference rows is not that of all rows.
            return "No row is dropped" + ("." if self.n_reference else ", so nothing moves.")
        sentences = ["Changes are measured from the head of the reference rows."]
        if not self.n_reference:
            sentences = []
        share = _times(
            self.actual_change, self.random_actual_change, in_unit_of(self.norm, _ROUNDING)
        )
        if self.refits_timed_out and np.isnan(share):
            sentences.append(
                "time_limit left no time to refit the last layer on these rows and on random ones."
            )
        elif np.isnan(self.actual_change):
            sentences.append(
                "The effect of retraining more layers than the last is not known in advance: "
                "compare scores on held-out rows."
            )
        elif np.isnan(share):
            sentences.append(
                "The last layer could not be refitted on random rows, to compare with."
            )
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
            f"The rows kept are {off:.2g} times as far from their target distribution as random "
            "rows are from that of all rows"
        )
        if np.isnan(self.distribution_error):
            sentences.append("The distribution was not matched, so other models may do worse.")
        elif round(off, 1) <= 1:
            sentences.append(f"{compared}, so other models should do no worse on them.")
        else:
            sentences.append(
                f"{compared}, so other models may do worse on them: raise distribution_weight."
            )
        if self.distribution_tilt > self.random_distribution_error:
            sentences.append(
                "By design they have more rows from sparse and uncertain regions than all rows do, "
                "and fewer labels that their neighbours contradict."
            )
        if self.actual_change > _FAR_BEYOND * self.predicted_change and share >= _HARDLY_MOVES:
            sentences.append(
                "Do not trust the prediction: few rows are left for so many parameters, and "
                "refitting moves the last layer further than one Newton step predicts."
            )
        if self.status == "time limit":
            sentences.append("time_limit ended the search; with more time the rows may be better.")
        return " ".join(sentences)


def _times(change: float, random: float, rounding: float) -> float:
    """Return ``change / random``; 0 if the change is no more than rounding."""
    if change <= rounding:
        return 0.0
    return change / random if random else np.inf


class _Distribution(NamedTuple):
    """What a certificate says about the distribution, size factors included; NaN if not matched."""

    error: float = np.nan
    random_error: float = np.nan
    tilt: float = np.nan


def _measure_distribution(influence: Influence, choice: Choice) -> _Distribution:
    problem, solver = choice.problem, choice.selection.certificate
    if not problem.is_balanced:
        return _Distribution()
    embedding = problem.coordinates.block(1)
    moved = influence.size_factor(choice.dropped) * embedding.total(choice.dropped)
    aim = np.zeros(embedding.n_coordinates)
    if problem.kept_share is not None:
        weights = problem.sample_weight
        aim_factor = weights.sum() / (problem.kept_share @ weights)
        aim = aim_factor * embedding.total(1.0 - problem.kept_share)
    error, tilt = (embedding.scale * float(np.linalg.norm(v)) for v in (moved - aim, aim))
    random_error = solver.random_size_factors[1] * solver.random_imbalances[0]
    return _Distribution(error, random_error, tilt)


class _Changes(NamedTuple):
    """How far the head moves when rows are dropped; NaN if that is not known."""

    first_order: float
    kept_hessian: float = np.nan
    refitted: float = np.nan


def certify(
    matched: Matched,
    choice: Choice,
    *,
    deadline: float = np.inf,
    random_state: int = 0,
) -> Certificate:
    """Compute the certificate of a choice from the rows it drops.

    Parameters
    ----------
    matched : Matched
        What the rows were chosen to match.
    choice : Choice
        The rows.
    deadline : float, default=inf
        ``time.perf_counter()`` value at which refits end; changes that need one are then NaN.
    random_state : int, default=0
        Seeds the draws of random rows.
    """
    influence, aim, norm = matched.influence, matched.aim, matched.influence.norm
    solver, drop = choice.selection.certificate, choice.selection.drop
    n_dropped = int(drop.sum())
    changes = _changes(influence, choice, deadline)
    random_changes = _random_changes(influence, choice, deadline, random_state)
    timed_out = changes is None or random_changes is None
    if changes is None:
        step = influence.first_order_step(choice.dropped)
        changes = _Changes(influence.measure(step))
    weights = np.ones(1) if choice.weights is None else choice.weights
    # Leading coordinates are a projection, so a lower bound in them holds for the whole. Those of
    # another curvature bound nothing.
    bounds = 1.0 if influence.is_exact else np.nan
    distribution = _measure_distribution(influence, choice)
    return Certificate(
        n_samples=len(drop),
        n_dropped=n_dropped,
        n_kept=len(drop) - n_dropped,
        norm=norm,
        predicted_change=changes.first_order,
        kept_hessian_change=changes.kept_hessian,
        actual_change=changes.refitted,
        random_actual_change=np.nan if random_changes is None else float(np.mean(random_changes)),
        refits_timed_out=timed_out,
        distribution_error=distribution.error,
        random_distribution_error=distribution.random_error,
        distribution_tilt=distribution.tilt,
        random_change=in_unit_of(
            norm,
            solver.random_size_factors[0]
            * matched.coordinates.length_ratio
            * solver.random_objective,
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
        gradient_norm=matched.gradient_norm,
        n_iter=matched.n_iter,
        n_networks=len(influences_of(influence)),
        curvature=influence.curvature_name,
        n_parameters=influence.shape[1],
        n_coordinates=matched.coordinates.Z.shape[1],
        coordinate_share=matched.coordinates.energy_share,
        coordinate_error=matched.coordinates.relative_error,
    )


def n_random_refits(n_kept: float, n_params: int) -> int:
    """Return on how many draws of random rows the head is refitted."""
    return 1 if n_kept * n_params > _LONG_REFIT else _N_REFITS


def _changes(influence: Influence, choice: Choice, deadline: float) -> _Changes | None:
    """Return how dropping the rows changes the head; None if the time ran out."""
    try:
        with time_limited(deadline):
            forecast = influence.forecast(choice.dropped)
    except OutOfTimeError:
        return None
    return _Changes(forecast.first_order, forecast.kept_hessian, forecast.refitted)


def _random_changes(
    influence: Influence, choice: Choice, deadline: float, random_state: int
) -> list[float] | None:
    """Return the head's change on random rows, one number per draw; None if there was no time.

    Random rows are as many of each group as in the choice.
    """
    rng, support = np.random.default_rng(random_state), choice.support
    changes: list[float] = []
    try:
        with time_limited(deadline):
            for _ in range(n_random_refits(support.sum(), influence.shape[1])):
                changes.append(influence.refitted_change(choice.random_rows(rng)))
    except OutOfTimeError:
        pass
    return changes or None
