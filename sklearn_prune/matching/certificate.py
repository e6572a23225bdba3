"""What a pruning costs: promised, bounded, and checked."""

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

# Refits on random rows, and the numbers (rows kept times parameters) beyond which one is enough.
_N_REFITS, LONG_REFIT = 3, 2e7
# For the summary, as shares of what random rows do: below the first, choosing was worth it; below
# the second, the head hardly moves. Beyond the third, the prediction is doubtful.
_WORTH_CHOOSING, _HARDLY_MOVES, _FAR_BEYOND = 0.7, 0.05, 10.0
# A length that is nothing but rounding.
_ROUNDING = 1e-10


@dataclass(frozen=True, repr=False)
class Certificate:
    """How far dropping the chosen rows moves the head, and how that compares.

    Every change is in the unit of ``norm``: for "loss" it is ``½ Δθᵀ H Δθ``, a rise of the
    training objective in units of the loss (nats for cross-entropy), H being the Hessian of the
    mean loss on all rows; for "parameter" it is ``‖Δθ‖₂``. All are computed in float64 from the
    rows that were returned, in all parameters of the head. Distances between distributions have no
    unit; they are summed in float64 from features in float32.

    Attributes
    ----------
    n_samples, n_dropped, n_kept : int
        Rows in all, dropped and kept.
    norm : {"loss", "parameter"}
        Unit of the changes.
    predicted_change : float
        First order, with the size factor: ``Δθ = N/(N − Σ ν_i w_i) · Σ w_i s_i``. At a ratio, the
        selection makes it small against ``random_change``, but not as small as possible.
    kept_hessian_change : float
        One Newton step with the Hessian of the kept rows. At a ratio, the selection makes this
        small next, which may raise ``predicted_change`` a little; if fewer rows than parameters are
        kept, it may raise both to reduce what retraining costs.
    actual_change : float
        What the head does when it is refitted on the kept rows. NaN for more layers than the last,
        as a network that is trained again ends elsewhere even on the same rows; and if
        ``refits_timed_out``.
    random_change : float
        First-order change for random rows, as many of each class: the expected value for the norm
        "loss", the root mean square for "parameter"; if weights differ, the mean of some thousand
        draws. Compare ``predicted_change`` with it.
    random_actual_change : float
        What the head does when it is refitted on random rows, as many of each class or group: the
        mean of three draws, or one draw if a refit is long. Compare ``actual_change`` with it. NaN
        where that is, and if a refit does not converge.
    refits_timed_out : bool
        Whether ``time_limit`` ended before the head was refitted. The changes that a refit would
        tell are then NaN.
    distribution_error, random_distribution_error : float
        Maximum mean discrepancy, in the features that were matched, between the kept rows and the
        distribution that they aim at; and between random rows, as many of each class or group, and
        all rows (a root mean square). NaN if no distribution was matched.
    distribution_tilt : float
        How far the distribution that was aimed at is from that of all rows, on the same scale. At a
        ratio, it has more rows where they are sparse or their target is uncertain, since other
        models learn most from these; under a tolerance, and with costs, it is that of all rows (0).
    least_weight, greatest_weight : float
        Of the kept rows' weights, whose mean is 1; both are 1 without ``reweight``. With it, all
        changes and the distribution are those of the weighted rows.
    effective_rows : float
        ``(Σ v)² / Σ v²``: the number of equally weighted rows whose mean is as precise.
    n_reference : int
        Reference rows; 0 without any. With them, every change is one from the head of the
        *reference* rows to that of the rows kept, and the distribution's from the one aimed at.
    reference_score, reference_damping : float
        What their head scores on reference rows that were held out (accuracy, or R²), and the
        damping that was chosen there. NaN without any.
    reference_similarity : float
        1 if the reference rows look like training rows drawn at random, their labels aside; near 0
        if they do not, so that their own distribution is aimed at. NaN without any.
    n_suspect, n_suspect_kept : int
        Training rows whose labels, by the reference rows, are more likely wrong than right; and how
        many of them are kept.
    lower_bound : float
        No set of as many rows under the same rules has a smaller first-order change. With many rows
        it is mostly 0, as sets of almost no change exist. NaN, as are ``gap`` and ``saving_bound``,
        for a Kronecker-factored curvature, in whose coordinates a bound says nothing of the change.
    gap : float
        How far the selection can be from the best one, as a share; 0 is proven optimal. At a ratio,
        a share of the length whose size ``predicted_change`` is, near 1 wherever ``lower_bound`` is
        0; under a tolerance, a share of ``saving_bound``.
    saving_bound : float
        Under a tolerance, no set within it drops more rows (or saves more, if costs were given).
        Infinite at a ratio.
    status : str
        How the selection ended.
    n_integers, n_nodes : int
        What ``scipy.optimize.milp`` decided: how many rows of each cell go or, of few rows, which
        ones; and the branch-and-bound nodes that it visited. 0 if the rules leave no count open.
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
        Curvature that the coordinates are computed with. Changes use the exact Hessian.
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
        return "not computed for want of time" if is_cut else f"{change:.4g}"

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
        if self.refits_timed_out and np.isnan(share):
            sentences.append(
                "time_limit left no time to refit the last layer on these rows and on random ones."
            )
        elif np.isnan(self.actual_change):
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


class _Distribution(NamedTuple):
    """What a certificate says about the distribution, size factors included; NaN if not matched."""

    error: float = np.nan
    random_error: float = np.nan
    tilt: float = np.nan


def _of_distribution(influence: Influence, choice: Choice) -> _Distribution:
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
    """How far the head moves when rows are dropped; NaN where that is not known."""

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
        What the rows were chosen by.
    choice : Choice
        The rows.
    deadline : float, default=inf
        ``time.perf_counter()`` value at which refits end; what they would tell is then NaN.
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
    # Leading coordinates are a projection, so what bounds them bounds the whole; those of another
    # curvature bound nothing.
    bounds = 1.0 if influence.is_exact else np.nan
    distribution = _of_distribution(influence, choice)
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


def _changes(influence: Influence, choice: Choice, deadline: float) -> _Changes | None:
    """Return what dropping the rows does to the head; None if the time ran out."""
    try:
        with time_limited(deadline):
            forecast = influence.forecast(choice.dropped)
    except OutOfTimeError:
        return None
    return _Changes(forecast.first_order, forecast.kept_hessian, forecast.refitted)


def _random_changes(
    influence: Influence, choice: Choice, deadline: float, random_state: int
) -> list[float] | None:
    """Return what the head does on random rows, a number a draw; None if the time ran out at once.

    There are as many rows of each group as in the choice.
    """
    rng, support = np.random.default_rng(random_state), choice.support
    is_long = support.sum() * influence.shape[1] > LONG_REFIT
    changes: list[float] = []
    try:
        with time_limited(deadline):
            for _ in range(1 if is_long else _N_REFITS):
                changes.append(influence.refitted_change(choice.random_rows(rng)))
    except OutOfTimeError:
        pass
    return changes or None
